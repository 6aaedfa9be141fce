"""Cases past their due time: escalated or announced once, whoever works on them and whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from compliance import cases, chain
from compliance.cases import Case, CaseState
from compliance.deadlines import REASON, call_for_overdue
from compliance.errors import CaseConflictError
from compliance.events import ComplianceEvent
from compliance.model import SYSTEM, Actor, Role
from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings

ANA, OLU = Actor("ana", Role.ANALYST), Actor("olu", Role.OFFICER)
SLA = timedelta(hours=4)
LATE = SLA + timedelta(microseconds=1)


def opened(engine: Engine, at: datetime, subject: str = "tx_1", priority: str = "normal", kind: str = "aml") -> str:
    with engine.begin() as connection:
        return cases.open_case(
            connection, kind=kind, subject_id=subject, title="A case", priority=priority, sla=SLA, at=at
        )


def read(engine: Engine, case_id: str) -> Case:
    with engine.connect() as connection:
        return cases.read_case(connection, case_id)


def history(engine: Engine, case_id: str) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        return [(event.kind, event.actor) for event in cases.case_history(connection, case_id)]


def told(engine: Engine, kind: str) -> list[ComplianceEvent]:
    statement = text("select message from compliance.outbox where message ->> 'kind' = :kind order by event_id")
    with engine.connect() as connection:
        found = connection.execute(statement, {"kind": kind}).scalars()
        return [ComplianceEvent.model_validate(message) for message in found]


def propose(engine: Engine, case_id: str, at: datetime) -> None:
    with engine.begin() as connection:
        cases.propose(connection, case_id, version=1, outcome="released", reason="It is known.", actor=ANA, at=at)


@pytest.mark.parametrize(("kind", "is_assigned"), [("aml", False), ("kyc", True), ("screening", False)])
def test_overdue__what_nobody_decided_is_escalated_once(
    engine: Engine, clock: FixedClock, kind: str, is_assigned: bool
) -> None:
    case_id = opened(engine, clock.now(), kind=kind)
    if is_assigned:
        with engine.begin() as connection:
            cases.assign(connection, case_id, version=1, assignee="ana", actor=OLU, at=clock.now())
    clock.advance(SLA)
    assert call_for_overdue(engine, clock) == 0
    clock.advance(timedelta(microseconds=1))
    assert [call_for_overdue(engine, clock) for _ in range(3)] == [1, 0, 0]
    clock.advance(timedelta(days=30))
    assert call_for_overdue(engine, clock) == 0
    case = read(engine, case_id)
    assert (case.state, case.assignee) == (CaseState.ESCALATED, "ana" if is_assigned else None)
    assert history(engine, case_id)[-1] == ("escalated", "system")
    [event] = told(engine, "case_escalated")
    assert (event.case_id, event.severity, event.sequence) == (case_id, "warning", case.version)
    assert event.summary.endswith("was escalated. It is past its due time.")
    with engine.connect() as connection:
        assert cases.case_history(connection, case_id)[-1].body["reason"] == REASON
        chain.verify(connection)


def test_overdue__a_proposal_is_kept_and_announced_once(engine: Engine, clock: FixedClock) -> None:
    case_id = opened(engine, clock.now(), priority="urgent")
    propose(engine, case_id, clock.now())
    proposed = read(engine, case_id)
    clock.advance(LATE)
    assert [call_for_overdue(engine, clock), call_for_overdue(engine, clock)] == [1, 0]
    case = read(engine, case_id)
    assert (case.state, case.proposal) == (CaseState.AWAITING_APPROVAL, proposed.proposal)
    [event] = told(engine, "case_overdue")
    assert (event.severity, event.sequence) == ("critical", case.version)
    assert event.summary == "An AML case of priority urgent is awaiting_approval past its due time."
    with engine.begin() as connection:
        closed = cases.approve(connection, case_id, version=case.version, reason="Agreed.", actor=OLU, at=clock.now())
    assert (closed.state, closed.outcome) == (CaseState.CLOSED, "released")
    assert call_for_overdue(engine, clock) == 0


def test_overdue__a_rejected_proposal_leads_back_to_work_and_no_second_call(engine: Engine, clock: FixedClock) -> None:
    case_id = opened(engine, clock.now())
    propose(engine, case_id, clock.now())
    clock.advance(LATE)
    call_for_overdue(engine, clock)
    with engine.begin() as connection:
        version = cases.read_case(connection, case_id).version
        cases.reject_proposal(connection, case_id, version=version, reason="No.", actor=OLU, at=clock.now())
    # Nobody works on it now, so that an officer is called.
    assert [call_for_overdue(engine, clock), call_for_overdue(engine, clock)] == [1, 0]
    assert read(engine, case_id).state is CaseState.ESCALATED


def test_overdue__one_that_was_escalated_in_time_is_announced(engine: Engine, clock: FixedClock) -> None:
    case_id = opened(engine, clock.now())
    with engine.begin() as connection:
        cases.escalate(connection, case_id, version=1, reason="Too hard.", actor=ANA, at=clock.now())
    clock.advance(LATE)
    assert [call_for_overdue(engine, clock), call_for_overdue(engine, clock)] == [1, 0]
    assert history(engine, case_id) == [("opened", "system"), ("escalated", "ana"), ("overdue", "system")]
    assert read(engine, case_id).state is CaseState.ESCALATED


def test_overdue__the_longest_come_first_and_closed_ones_never(engine: Engine, clock: FixedClock) -> None:
    ids = []
    for number in range(4):
        clock.advance(timedelta(minutes=1))
        ids.append(opened(engine, clock.now(), f"tx_{number}"))
    with engine.begin() as connection:
        cases.close_case(connection, ids[0], version=1, outcome="rejected", reason="Bad.", actor=OLU, at=clock.now())
    clock.advance(timedelta(days=1))
    assert [call_for_overdue(engine, clock, limit=2) for _ in range(3)] == [2, 1, 0]
    escalated = [event.case_id for event in sorted(told(engine, "case_escalated"), key=lambda event: event.occurred_at)]
    assert (sorted(escalated), read(engine, ids[0]).state) == (sorted(ids[1:]), CaseState.CLOSED)


def test_overdue__what_somebody_changes_meanwhile_is_left_for_the_next_time(
    engine: Engine, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = opened(engine, clock.now())
    other = opened(engine, clock.now(), "tx_2")
    clock.advance(LATE)
    plain = cases.escalate

    def overtaken(connection: Connection, wanted: str, **how: object) -> Case:
        if wanted == case_id and how["version"] == 1:
            propose(engine, case_id, clock.now())
        return plain(connection, wanted, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(cases, "escalate", overtaken)
    assert call_for_overdue(engine, clock) == 1
    assert (read(engine, case_id).state, read(engine, other).state) == (
        CaseState.AWAITING_APPROVAL,
        CaseState.ESCALATED,
    )
    assert call_for_overdue(engine, clock) == 1
    case = read(engine, case_id)
    assert (case.state, case.proposal is None) == (CaseState.AWAITING_APPROVAL, False)


_DIES = """
import os, signal, sys
from datetime import datetime
from compliance import cases, deadlines
from infra.runtime.clock import FixedClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import load_settings

plain, left = cases.escalate, [1]

def dying(*given, **how):
    case = plain(*given, **how)
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left.pop()
    return case

cases.escalate = dying
deadlines.call_for_overdue(postgres_engine(load_settings(), "dies"), FixedClock(datetime.fromisoformat(sys.argv[1])))
"""


def test_overdue__killed_before_it_commits_repeats_and_tells_once(
    engine: Engine, clock: FixedClock, postgres_settings: Settings
) -> None:
    ids = [opened(engine, clock.now(), f"tx_{number}") for number in range(3)]
    clock.advance(LATE)
    url = postgres_settings.postgres_url
    environment = os.environ | {"BALLAST_POSTGRES_URL": url.get_secret_value()}
    command = [sys.executable, "-c", _DIES, clock.now().isoformat()]
    died = subprocess.run(command, env=environment, timeout=60, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(told(engine, "case_escalated")) == 1
    assert [call_for_overdue(engine, clock), call_for_overdue(engine, clock)] == [2, 0]
    assert [len(history(engine, case_id)) for case_id in ids] == [2, 2, 2]
    assert len({event.event_id for event in told(engine, "case_escalated")}) == 3


def test_announcement__is_the_systems_and_of_the_version_that_it_saw(engine: Engine, clock: FixedClock) -> None:
    case_id = opened(engine, clock.now())
    with engine.begin() as connection, pytest.raises(CaseConflictError):
        cases.announce_overdue(connection, case_id, version=2, at=clock.now())
    with engine.begin() as connection:
        cases.close_case(connection, case_id, version=1, outcome="rejected", reason="Bad.", actor=OLU, at=clock.now())
        with pytest.raises(CaseConflictError):
            cases.announce_overdue(connection, case_id, version=2, at=clock.now())
    assert [actor for _, actor in history(engine, case_id)] == [SYSTEM.name, "olu"]
