"""Cases that several people change at once, and changes that are rolled back."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from compliance import cases, chain
from compliance.chain import verify
from compliance.errors import CaseConflictError
from compliance.model import SYSTEM, Actor, Role
from infra.runtime.clock import FixedClock

ANA = Actor("ana", Role.ANALYST)
OLU = Actor("olu", Role.OFFICER)


@pytest.fixture
def at(clock: FixedClock) -> datetime:
    return clock.now()


def opened(connection: Connection, at: datetime, number: int = 0) -> str:
    return cases.open_case(
        connection,
        kind="aml",
        subject_id="tx_1",
        title="A case",
        priority="high",
        sla=timedelta(hours=4),
        at=at,
        body={"number": number},
    )


def kinds(connection: Connection, case_id: str) -> list[str]:
    return [event.kind for event in cases.case_history(connection, case_id)]


def test_open_case__at_once_is_one_case(engine: Engine, at: datetime) -> None:
    def work(number: int) -> str:
        with engine.begin() as connection:
            return opened(connection, at, number)

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(work, range(8)))
    assert len(found) == 1
    with engine.connect() as connection:
        assert cases.read_case(connection, found.pop()).version == 8
        assert verify(connection).chains["case_events"].rows == 8


def test_steps__of_two_people_at_once_let_one_pass(engine: Engine, at: datetime) -> None:
    with engine.begin() as connection:
        case_id = opened(connection, at)

    def work(name: str) -> str:
        try:
            with engine.begin() as connection:
                cases.assign(connection, case_id, version=1, assignee=name, actor=ANA, at=at)
        except CaseConflictError:
            return ""
        return name

    with ThreadPoolExecutor(4) as pool:
        passed = [name for name in pool.map(work, ["a", "b", "c", "d"]) if name]
    with engine.connect() as connection:
        assert [cases.read_case(connection, case_id).assignee] == passed
        assert kinds(connection, case_id) == ["opened", "assigned"]


def test_open_case__beside_a_closing_one_never_joins_a_closed_case(engine: Engine, at: datetime) -> None:
    with engine.begin() as connection:
        case_id = opened(connection, at)
    with ThreadPoolExecutor(1) as pool, engine.connect() as closing:
        cases.close_case(closing, case_id, version=1, outcome="rejected", reason="x", actor=OLU, at=at)

        def work() -> str:
            with engine.begin() as connection:
                return opened(connection, at, 1)

        waiting = pool.submit(work)
        closing.commit()
        found = waiting.result(30)
    with engine.connect() as connection:
        assert found != case_id
        assert cases.read_case(connection, found).state == "open"


def test_steps__beside_a_decision_about_the_same_subject_do_not_deadlock(engine: Engine, at: datetime) -> None:
    with engine.begin() as connection:
        case_id = opened(connection, at)
    waits = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%compliance.%'")

    def work() -> int:
        with engine.begin() as connection:
            return cases.comment(connection, case_id, version=1, text="x", actor=ANA, at=at).version

    with ThreadPoolExecutor(1) as pool, engine.connect() as deciding:
        chain.append_decision(
            deciding,
            subject_kind="transaction",
            subject_id="tx_1",
            outcome="review",
            reason="x",
            actor=SYSTEM,
            policy_version="2026-01",
            list_versions={},
            evidence={},
            at=at,
        )
        commenting = pool.submit(work)
        with engine.connect() as watching:
            ends = time.monotonic() + 20
            while not watching.execute(waits).scalar_one() and time.monotonic() < ends:
                watching.rollback()
                time.sleep(0.01)
        assert opened(deciding, at) == case_id
        deciding.commit()
        assert commenting.result(30) == 2


def test_change__and_its_record_are_one_transaction(engine: Engine, at: datetime) -> None:
    with engine.begin() as connection:
        case_id = opened(connection, at)
        before = cases.read_case(connection, case_id)
    with engine.connect() as connection:
        cases.close_case(connection, case_id, version=1, outcome="rejected", reason="x", actor=OLU, at=at)
        connection.rollback()
    with engine.connect() as connection:
        assert cases.read_case(connection, case_id) == before
        assert kinds(connection, case_id) == ["opened"]
        assert connection.execute(text("select message ->> 'kind' from compliance.outbox")).scalars().all() == [
            "case_opened"
        ]
        assert verify(connection).chains["case_events"].rows == 1
