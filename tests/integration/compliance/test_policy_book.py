"""Policies are recorded once and keep their meaning."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from compliance.errors import PolicyInvalidError
from compliance.policy.book import POLICIES, PolicyBook, policy_files
from infra.runtime.clock import FixedClock

ROWS = text("select * from compliance.policies order by policy_version")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped policies in a folder of their own."""
    for path in policy_files(POLICIES):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def test_record__keeps_each_version_once_with_its_text(engine: Engine, clock: FixedClock, folder: Path) -> None:
    book = PolicyBook.load(folder)
    assert book.record(engine, clock) == 3
    first = clock.now()
    clock.advance(timedelta(days=1))
    assert book.record(engine, clock) == 0
    with engine.connect() as connection:
        rows = connection.execute(ROWS).all()
    assert [row.policy_version for row in rows] == ["2025-11-01", "2026-03-01", "2026-07-01"]
    for row in rows:
        policy = book.version(row.policy_version)
        assert (row.name, row.effective_from, row.recorded_at) == (policy.name, policy.effective_from, first)
        assert row.content == (folder / f"{row.policy_version}.yaml").read_text(encoding="utf-8")
        assert row.content_hash == book.content_hashes()[row.policy_version]


def test_record__refuses_other_content_under_a_version_and_records_nothing(
    engine: Engine, clock: FixedClock, folder: Path
) -> None:
    (folder / "2026-07-01.yaml").rename(folder / "later.txt")
    PolicyBook.load(folder).record(engine, clock)
    (folder / "later.txt").rename(folder / "2026-07-01.yaml")
    changed = folder / "2025-11-01.yaml"
    changed.write_text(changed.read_text(encoding="utf-8").replace("max_count_1h: 10", "max_count_1h: 11"))
    with pytest.raises(PolicyInvalidError, match=r"2025-11-01 was recorded with other content; .*2025-11-01\.yaml"):
        PolicyBook.load(folder).record(engine, clock)
    with engine.connect() as connection:
        assert [row.policy_version for row in connection.execute(ROWS)] == ["2025-11-01", "2026-03-01"]


def test_record__lets_comments_change(engine: Engine, clock: FixedClock, folder: Path) -> None:
    PolicyBook.load(folder).record(engine, clock)
    commented = folder / "2025-11-01.yaml"
    commented.write_text("# Once more.\n" + commented.read_text(encoding="utf-8"), encoding="utf-8")
    assert PolicyBook.load(folder).record(engine, clock) == 0


def test_record__by_several_at_once_gives_one_row_each(engine: Engine, clock: FixedClock) -> None:
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda _: PolicyBook.load().record(engine, clock), range(4)))
    assert sum(added) == 3


@pytest.mark.parametrize("statement", ["update compliance.policies set name = 'x'", "delete from compliance.policies"])
def test_policies__are_append_only(engine: Engine, clock: FixedClock, statement: str) -> None:
    PolicyBook.load().record(engine, clock)
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
