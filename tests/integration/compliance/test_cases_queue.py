"""The queue of cases: filters, breaches of due times, and pages that lose and repeat nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from compliance import cases
from compliance.cases import QueueFilters
from compliance.errors import ComplianceInputError
from compliance.model import Actor, Role

OLU = Actor("olu", Role.OFFICER)
HOUR = timedelta(hours=1)
# Subject, kind, priority, hours until it is due.
BOOK = [
    ("a", "aml", "urgent", 1),
    ("b", "aml", "low", 48),
    ("c", "kyc", "normal", 4),
    ("d", "screening", "high", 4),
    ("e", "screening", "normal", 4),
]


@pytest.fixture(scope="module")
def at() -> datetime:
    return datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def connection(migrated: Engine, at: datetime) -> Iterator[Connection]:
    """The book, read only: `c` is given to ana, `d` escalated, `e` closed an hour after it was due."""
    with migrated.connect() as connection:
        ids = {}
        for subject, kind, priority, hours in BOOK:
            account = f"acc_{subject}"
            ids[subject] = cases.open_case(
                connection,
                kind=kind,
                subject_id=subject,
                title="A case",
                priority=priority,
                sla=hours * HOUR,
                at=at,
                account_id=account,
                user_id=f"usr_{subject}",
            )
        cases.assign(connection, ids["c"], version=1, assignee="ana", actor=OLU, at=at)
        cases.escalate(connection, ids["d"], version=1, reason="x", actor=OLU, at=at)
        late = at + 5 * HOUR
        cases.close_case(connection, ids["e"], version=1, outcome="confirmed", reason="x", actor=OLU, at=late)
        yield connection
        connection.rollback()


def subjects(connection: Connection, filters: QueueFilters) -> str:
    return "".join(case.subject_id for case in cases.queue(connection, filters).cases)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, "abcd"),
        ({"states": ["open"]}, "ab"),
        ({"states": ["closed", "escalated"]}, "de"),
        ({"states": []}, ""),
        ({"kind": "aml"}, "ab"),
        ({"priority": "high"}, "d"),
        ({"assignee": "ana"}, "c"),
        ({"is_unassigned": True}, "abd"),
        ({"is_unassigned": False}, "c"),
        ({"account_id": "acc_b"}, "b"),
        ({"user_id": "usr_d"}, "d"),
        ({"subject_id": "a"}, "a"),
        ({"is_breached": True}, ""),
        ({"is_breached": True, "hours": 2}, "a"),
        ({"is_breached": False, "hours": 2}, "bcd"),
        ({"is_breached": True, "states": ["closed"]}, "e"),
        ({"is_breached": True, "hours": 100}, "abcd"),
        ({"kind": "aml", "priority": "low", "states": ["open"], "is_unassigned": True}, "b"),
    ],
)
def test_queue__lists_what_the_filters_say(
    connection: Connection, at: datetime, filters: dict[str, Any], found: str
) -> None:
    hours = filters.get("hours", 0)
    given = {key: value for key, value in filters.items() if key != "hours"}
    assert sorted(subjects(connection, QueueFilters(at=at + hours * HOUR, **given))) == sorted(found)


def test_queue__begins_with_what_is_due_first(connection: Connection, at: datetime) -> None:
    found = subjects(connection, QueueFilters(at=at))
    assert (found[0], found[-1]) == ("a", "b")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_queue__pages_join_without_loss_or_repetition(connection: Connection, at: datetime, limit: int) -> None:
    filters = QueueFilters(at=at, states=["open", "assigned", "escalated", "closed"], limit=limit)
    whole = [case.case_id for case in cases.queue(connection, replace(filters, limit=100)).cases]
    read: list[str] = []
    pages = 0
    while True:
        page = cases.queue(connection, filters)
        read += [case.case_id for case in page.cases]
        pages += 1
        if page.next_cursor is None:
            break
        filters = replace(filters, cursor=page.next_cursor)
    assert read == whole
    assert (len(read), pages) == (5, -(-5 // limit))


@pytest.mark.parametrize(
    "wrong",
    [
        {"states": ["lost"]},
        {"kind": "fraud"},
        {"priority": "asap"},
        {"limit": 0},
        {"limit": 501},
        {"cursor": ""},
        {"cursor": "x"},
        {"cursor": "bnVsbA"},
        {"cursor": "WyJ4IiwgInkiXQ"},
        {"cursor": "WyIyMDI2LTAxLTMxIiwgInkiXQ"},
        {"cursor": "é"},
        {"cursor": "WzEsIDJd"},
    ],
)
def test_queue__refuses_what_no_case_can_be(connection: Connection, at: datetime, wrong: dict[str, Any]) -> None:
    with pytest.raises(ComplianceInputError):
        cases.queue(connection, QueueFilters(at=at, **wrong))
