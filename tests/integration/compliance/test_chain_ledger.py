"""The record in PostgreSQL: appends are serial and once each, the database refuses changes, verification finds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from compliance import chain
from compliance.chain import GENESIS, ChainState, append_decision, append_event, verify
from compliance.errors import ChainBrokenError, ComplianceInputError
from compliance.model import SYSTEM, Actor, Role

AT = datetime(2026, 1, 31, 12, 0, 0, 120_000, tzinfo=UTC)
ANALYST = Actor("ana", Role.ANALYST)


@pytest.fixture
def connection(migrated: Engine) -> Iterator[Connection]:
    with migrated.connect() as connection:
        yield connection
        connection.rollback()


def event(connection: Connection, number: int, body: Mapping[str, Any] | None = None) -> str:
    return append_event(connection, f"cas_{number}", ANALYST, "commented", body or {"number": number}, AT)


def decision(connection: Connection, number: int, **changes: Any) -> str:
    given_fields: dict[str, Any] = {
        "subject_kind": "transaction",
        "subject_id": f"tx_{number}",
        "outcome": "blocked",
        "reason": "the wallet is on a list",
        "actor": SYSTEM,
        "policy_version": "2026-01",
        "list_versions": {"ofac": "lv_1"},
        "evidence": {"score": 0.98, "amount_usd": Decimal("1234.50"), "at": AT},
        "at": AT,
    }
    return append_decision(connection, **(given_fields | changes))


def fill(connection: Connection, rows: int = 6) -> None:
    for number in range(1, rows + 1):
        event(connection, number)
        decision(connection, number)


def forge(connection: Connection, *statements: str, table: str = "decisions") -> None:
    """What somebody does who owns the database: the trigger is off while it happens."""
    connection.execute(text(f"alter table compliance.{table} disable trigger {table}_append_only"))
    for statement in statements:
        connection.execute(text(statement))
    connection.execute(text(f"alter table compliance.{table} enable trigger {table}_append_only"))


def checked(engine: Engine) -> Mapping[str, ChainState]:
    with engine.connect() as connection:
        return verify(connection).chains


def test_verify__an_empty_record_holds(connection: Connection) -> None:
    assert verify(connection).chains == {"case_events": ChainState(0, GENESIS), "decisions": ChainState(0, GENESIS)}


def test_append__makes_a_chain_that_anybody_can_recompute(connection: Connection) -> None:
    fill(connection)
    rows = connection.execute(text("select * from compliance.decisions order by sequence")).mappings().all()
    before = GENESIS
    for number, row in enumerate(rows, start=1):
        content = {key: value for key, value in row.items() if key != "hash"}
        content["at"] = content["at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        document = json.dumps(content, sort_keys=True, separators=(",", ":"))
        assert (row["sequence"], row["previous_hash"]) == (number, before)
        before = hashlib.sha256(document.encode()).hexdigest()
        assert row["hash"] == before
    assert rows[0]["evidence"] == {"score": "0.98", "amount_usd": "1234.50", "at": "2026-01-31T12:00:00.120000Z"}
    assert verify(connection).chains["decisions"] == ChainState(6, before)


def test_append__the_same_again_changes_nothing(connection: Connection) -> None:
    first = (event(connection, 1), decision(connection, 1))
    state = verify(connection)
    assert (event(connection, 1), decision(connection, 1)) == first
    assert verify(connection) == state
    assert (event(connection, 2), decision(connection, 2)) != first
    assert {name: found.rows for name, found in verify(connection).chains.items()} == {"case_events": 2, "decisions": 2}


def test_append__one_that_is_rolled_back_leaves_no_gap(engine: Engine) -> None:
    with engine.begin() as connection:
        fill(connection, 2)
    with engine.connect() as connection:
        decision(connection, 3)
        event(connection, 3)
        connection.rollback()
    with engine.begin() as connection:
        decision(connection, 4)
    assert {name: found.rows for name, found in checked(engine).items()} == {"case_events": 2, "decisions": 3}


def test_append__many_at_once_are_serial_gapless_and_do_not_block_each_other_for_ever(engine: Engine) -> None:
    def work(worker: int) -> None:
        for number in range(12):
            with engine.begin() as connection:
                # Half of them in one order and half in the other, which would deadlock with a lock a chain.
                if worker % 2:
                    event(connection, worker * 100 + number)
                    decision(connection, worker * 100 + number)
                else:
                    decision(connection, worker * 100 + number)
                    event(connection, worker * 100 + number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert {name: found.rows for name, found in checked(engine).items()} == {"case_events": 48, "decisions": 48}


def test_append__the_same_at_once_is_there_once(engine: Engine) -> None:
    def work(_: int) -> str:
        with engine.begin() as connection:
            return decision(connection, 1)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(12)))) == 1
    assert checked(engine)["decisions"].rows == 1


texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = leaves | st.decimals(allow_nan=False, allow_infinity=False, places=9)
documents = st.dictionaries(texts, st.recursive(values, lambda each: st.lists(each, max_size=3), max_leaves=5))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=documents,
    reason=texts,
    at=st.datetimes(
        min_value=datetime(1900, 1, 1),  # noqa: DTZ001 - the zone is given beside it
        timezones=st.just(UTC),
    ),
)
def test_verify__whatever_was_appended_has_its_hash_when_read_back(
    connection: Connection, body: dict[str, Any], reason: str, at: datetime
) -> None:
    before = verify(connection).chains["decisions"].rows
    append_event(connection, "cas_1", ANALYST, reason, body, at)
    decision(connection, 1, evidence=body, reason=reason, at=at)
    assert verify(connection).chains["decisions"].rows - before in (0, 1)


@pytest.mark.parametrize("table", ["case_events", "decisions"])
@pytest.mark.parametrize("statement", ["update {} set actor = 'x'", "delete from {}", "truncate {}"])
def test_record__the_database_refuses_to_change_it(connection: Connection, table: str, statement: str) -> None:
    fill(connection, 1)
    with pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text(statement.format(f"compliance.{table}")))


_REHASHED = """
    insert into compliance.decisions
    select 3, 'dec_forged', subject_kind, subject_id, outcome, reason, actor, policy_version, list_versions, evidence,
        at, previous_hash, repeat('f', 64)
    from compliance.decisions where sequence = 4
"""


@pytest.mark.parametrize(
    ("statements", "finding"),
    [
        (["update compliance.decisions set outcome = 'accepted' where sequence = 3"], "decisions: row 3 was changed"),
        (
            ["update compliance.decisions set evidence = '{}' where sequence in (5, 2)"],
            "decisions: row 2 was changed",
        ),
        (["update compliance.decisions set at = 'infinity' where sequence = 4"], "decisions: row 4 was changed"),
        (["update compliance.decisions set at = at + interval '1 us' where sequence = 4"], "row 4 was changed"),
        (["delete from compliance.decisions where sequence = 3"], "row 3 is missing; the next one is row 4"),
        (["delete from compliance.decisions where sequence = 1"], "row 1 is missing"),
        (["delete from compliance.decisions where sequence > 4"], "the head is at row 6, the last row is 4"),
        (["delete from compliance.decisions"], "the head is at row 6, the last row is 0"),
        (["delete from compliance.decisions where sequence = 3", _REHASHED], "row 3 was changed"),
        (
            [
                "delete from compliance.decisions where sequence = 6",
                "update compliance.chain_heads set sequence = 5 where chain = 'decisions'",
            ],
            "row 5 is not the one that the head was set to",
        ),
        (
            [_REHASHED.replace("select 3,", "select 7,")],
            "row 7 was changed",
        ),
        (
            ["update compliance.chain_heads set sequence = 5 where chain = 'decisions'"],
            "the head is at row 5, the last row is 6: rows were added past the head",
        ),
        (["delete from compliance.chain_heads where chain = 'decisions'"], "decisions: the head is gone"),
    ],
)
def test_verify__names_the_first_row_that_does_not_follow(
    connection: Connection, statements: list[str], finding: str
) -> None:
    fill(connection)
    forge(connection, *statements)
    with pytest.raises(ChainBrokenError) as caught:
        verify(connection)
    assert finding in caught.value.message


def test_verify__a_case_event_whose_body_changed_is_named(connection: Connection) -> None:
    fill(connection, 3)
    statement = "update compliance.case_events set body = '{\"number\": 9}' where sequence = 2"
    forge(connection, statement, table="case_events")
    with pytest.raises(ChainBrokenError, match="case_events: row 2 was changed"):
        verify(connection)


def test_verify__a_noted_state_shows_that_everything_was_written_anew(connection: Connection) -> None:
    fill(connection, 3)
    noted = verify(connection).chains
    fill(connection, 5)
    assert verify(connection, noted).chains["decisions"].rows == 5
    forge(
        connection,
        "delete from compliance.decisions",
        f"update compliance.chain_heads set sequence = 0, hash = '{GENESIS}' where chain = 'decisions'",
    )
    for number in range(1, 6):
        decision(connection, number, outcome="accepted")
    assert verify(connection).chains["decisions"].rows == 5
    with pytest.raises(ChainBrokenError, match="row 3 no longer has the hash that was noted"):
        verify(connection, noted)


def test_verify__refuses_an_unknown_chain(connection: Connection) -> None:
    with pytest.raises(ComplianceInputError, match="no chain"):
        verify(connection, {"users": ChainState(1, GENESIS)})


def test_verify__reads_in_chunks_and_sees_one_state_while_others_append(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "ROWS_PER_READ", 2)
    with engine.begin() as connection:
        fill(connection, 5)
    seen: list[int] = []
    follow = chain.follow

    def following(name: str, before: ChainState, row: Mapping[str, Any]) -> ChainState:
        with engine.begin() as connection:
            event(connection, 100 + len(seen))
        seen.append(row["sequence"])
        return follow(name, before, row)

    monkeypatch.setattr(chain, "follow", following)
    with engine.connect() as connection:
        report = verify(connection)
    assert report.chains["case_events"].rows == 5
    assert seen == [1, 2, 3, 4, 5] * 2


def test_append_decision__refuses_a_persons_reason_with_personal_data(connection: Connection) -> None:
    with pytest.raises(ComplianceInputError, match="email address"):
        decision(connection, 1, actor=Actor("olu", Role.OFFICER), reason="asked ann@post.example", at=AT + timedelta(1))
