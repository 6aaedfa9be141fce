"""Lists as versions in PostgreSQL: loaded whole or refused, one active, deltas counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from compliance.errors import ComplianceInputError, ListRefusedError
from compliance.screening.lists import load_list
from compliance.screening.lists import store as list_store
from infra.runtime.clock import FixedClock

Write = Callable[..., list[Path]]


def person(entry_id: str, *names: str, **more: list[str]) -> dict[str, object]:
    return {"id": entry_id, "schema": "Person", "properties": {"name": list(names), "topics": ["sanction"]} | more}


PEOPLE = [person(f"p{number}", f"Otto Quist{number}") for number in range(40)]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(entities: Sequence[dict[str, object]], cut: int = 0) -> list[Path]:
        path = tmp_path / "list.json"
        content = "\n".join(json.dumps(each) for each in entities)
        path.write_text(content[: len(content) - cut])
        return [path]

    return written


def states(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("select list_name, state from compliance.list_versions order by 1, 2"))
        return [(row.list_name, row.state) for row in rows]


def test_load_list__counts_what_changed_against_the_active_version(
    engine: Engine, clock: FixedClock, write: Write
) -> None:
    first = load_list(engine, clock, "sample", write(PEOPLE))
    assert (first.state, first.entries, first.names, first.added) == ("active", 40, 40, 40)
    clock.advance(timedelta(days=1))
    changed = [*PEOPLE[:38], person("p38", "Another Name"), person("n1", "New One"), person("n2", "New Two")]
    second = load_list(engine, clock, "sample", write(changed))
    assert (second.added, second.changed, second.removed) == (2, 1, 1)
    assert states(engine) == [("sample", "active"), ("sample", "superseded")]
    with engine.connect() as connection:
        assert len(list_store.entry_hashes(connection, second.list_version_id)) == 41
        assert list_store.active_versions(connection) == {"sample": second.list_version_id}


def test_load_list__the_same_content_again_changes_nothing(engine: Engine, clock: FixedClock, write: Write) -> None:
    first = load_list(engine, clock, "sample", write(PEOPLE))
    clock.advance(timedelta(days=1))
    assert load_list(engine, clock, "sample", write(PEOPLE)) == first


def test_load_list__an_earlier_version_comes_back_with_its_entries(
    engine: Engine, clock: FixedClock, write: Write
) -> None:
    first = load_list(engine, clock, "sample", write(PEOPLE))
    load_list(engine, clock, "sample", write([*PEOPLE, person("n1", "New One")]))
    again = load_list(engine, clock, "sample", write(PEOPLE))
    assert (again.list_version_id, again.removed) == (first.list_version_id, 1)
    assert states(engine) == [("sample", "active"), ("sample", "superseded")]


@pytest.mark.parametrize(
    ("entities", "cut", "reason"),
    [
        ([], 0, "empty"),
        ([person("p1", "No Target") | {"properties": {"name": ["A B"]}}], 0, "no entry"),
        (PEOPLE, 9, "cut or damaged"),
        (PEOPLE[:37], 0, "fewer"),
    ],
)
def test_load_list__what_is_refused_is_recorded_and_the_version_before_stays(
    engine: Engine,
    clock: FixedClock,
    write: Write,
    entities: list[dict[str, object]],
    cut: int,
    reason: str,
) -> None:
    before = load_list(engine, clock, "sample", write(PEOPLE))
    for _ in range(2):
        with pytest.raises(ListRefusedError, match=reason):
            load_list(engine, clock, "sample", write(entities, cut))
    with engine.connect() as connection:
        assert list_store.active_versions(connection) == {"sample": before.list_version_id}
        refused = connection.execute(text("select reason from compliance.list_versions where state = 'refused'"))
        assert [reason in row.reason for row in refused] == [True]


def test_load_list__a_person_may_allow_a_smaller_one(engine: Engine, clock: FixedClock, write: Write) -> None:
    load_list(engine, clock, "sample", write(PEOPLE))
    with pytest.raises(ListRefusedError):
        load_list(engine, clock, "sample", write(PEOPLE[:20]))
    assert load_list(engine, clock, "sample", write(PEOPLE[:20]), max_shrinkage=0.5).removed == 20
    assert states(engine) == [("sample", "active"), ("sample", "refused"), ("sample", "superseded")]


def test_load_list__wallets_that_are_gone_are_a_reason_to_refuse(
    engine: Engine, clock: FixedClock, write: Write
) -> None:
    wallet = {"id": "w", "schema": "CryptoWallet", "properties": {"publicKey": ["0x" + "ab" * 20], "holder": ["p1"]}}
    load_list(engine, clock, "sample", write([*PEOPLE, wallet]))
    with pytest.raises(ListRefusedError, match="wallets"):
        load_list(engine, clock, "sample", write(PEOPLE))


def test_load_list__of_two_at_once_one_loads(engine: Engine, clock: FixedClock, write: Write) -> None:
    files = write(PEOPLE)
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda _: load_list(engine, clock, "sample", files), range(4)))
    assert len({version.list_version_id for version in versions}) == 1
    assert states(engine) == [("sample", "active")]


def test_load_list__an_interrupted_load_leaves_nothing(
    engine: Engine, clock: FixedClock, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_list(engine, clock, "sample", write(PEOPLE))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(list_store, "activate", killed)
        with pytest.raises(KeyboardInterrupt):
            load_list(engine, clock, "sample", write([*PEOPLE, person("n1", "New One")]))
    assert states(engine) == [("sample", "active")]
    second = load_list(engine, clock, "sample", write([*PEOPLE, person("n1", "New One")]))
    assert (second.added, first.state) == (1, "active")


@pytest.mark.parametrize("name", ["", "X", "ofac sdn", "a" * 80])
def test_load_list__refuses_a_name_that_is_none(engine: Engine, clock: FixedClock, write: Write, name: str) -> None:
    with pytest.raises(ComplianceInputError):
        load_list(engine, clock, name, write(PEOPLE))
