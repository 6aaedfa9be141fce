"""The work of officers on real PostgreSQL: states, versions, four eyes, the record, and what others are told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from compliance import cases
from compliance.cases import TRANSITIONS, Case, CaseKind, CaseState, Step
from compliance.errors import CaseConflictError, CaseNotFoundError, ComplianceInputError, ForbiddenError
from compliance.events import ComplianceEvent
from compliance.model import SYSTEM, Actor, Role
from infra.runtime.clock import FixedClock

ANA = Actor("ana", Role.ANALYST)
OLU = Actor("olu", Role.OFFICER)
OTTO = Actor("otto", Role.OFFICER)
HOUR = timedelta(hours=1)


@pytest.fixture
def connection(migrated: Engine) -> Iterator[Connection]:
    with migrated.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def at(clock: FixedClock) -> datetime:
    return clock.now()


def opened(connection: Connection, at: datetime, **changes: Any) -> Case:
    given: dict[str, Any] = {
        "kind": "aml",
        "subject_id": "tx_1",
        "title": "Deposit from a listed wallet",
        "priority": "high",
        "sla": 4 * HOUR,
        "at": at,
        "account_id": "acc_1",
        "body": {"rule_id": "sanctioned_wallet", "policy_version": "2026-01"},
    }
    return cases.read_case(connection, cases.open_case(connection, **(given | changes)))


def take(connection: Connection, case: Case, step: Step, actor: Actor, at: datetime, **changes: Any) -> Case:
    """The step with arguments that suit it."""
    calls: dict[Step, tuple[Callable[..., Case], dict[str, Any]]] = {
        Step.ASSIGN: (cases.assign, {"assignee": "ana"}),
        Step.COMMENT: (cases.comment, {"text": "Looked at it."}),
        Step.PROPOSE: (cases.propose, {"outcome": "released", "reason": "Another person of that name."}),
        Step.APPROVE: (cases.approve, {"reason": "Agreed."}),
        Step.REJECT_PROPOSAL: (cases.reject_proposal, {"reason": "Not enough."}),
        Step.ESCALATE: (cases.escalate, {"reason": "Needs an officer."}),
        Step.CLOSE: (cases.close_case, {"outcome": "rejected", "reason": "On the list."}),
    }
    function, arguments = calls[step]
    given = {"version": case.version, "actor": actor, "at": at} | arguments
    return function(connection, case.case_id, **(given | changes))


def brought_to(connection: Connection, state: CaseState, at: datetime) -> Case:
    case = opened(connection, at)
    steps: dict[CaseState, list[Step]] = {
        CaseState.OPEN: [],
        CaseState.ASSIGNED: [Step.ASSIGN],
        CaseState.AWAITING_APPROVAL: [Step.PROPOSE],
        CaseState.ESCALATED: [Step.ESCALATE],
        CaseState.CLOSED: [Step.CLOSE],
    }
    for step in steps[state]:
        case = take(connection, case, step, OLU, at)
    assert case.state is state
    return case


def kinds(connection: Connection, case: Case) -> list[str]:
    return [event.kind for event in cases.case_history(connection, case.case_id)]


def told(connection: Connection) -> list[ComplianceEvent]:
    rows = connection.execute(text("select message from compliance.outbox order by created_at, event_id")).scalars()
    return [ComplianceEvent.model_validate(row) for row in rows]


def test_open_case__is_found_again_and_told_once(connection: Connection, at: datetime) -> None:
    case = opened(connection, at)
    assert opened(connection, at + HOUR) == case
    assert (case.state, case.version, case.sla_due_at) == (CaseState.OPEN, 1, at + 4 * HOUR)
    assert kinds(connection, case) == ["opened"]
    (event,) = told(connection)
    assert (event.kind, event.severity, event.case_id, event.sequence) == ("case_opened", "warning", case.case_id, 1)
    assert (event.rule_id, event.policy_version) == ("sanctioned_wallet", "2026-01")
    assert (event.account_id, event.occurred_at) == ("acc_1", at)


def test_open_case__adds_what_is_new_so_that_nobody_closes_it_unseen(connection: Connection, at: datetime) -> None:
    case = opened(connection, at, priority="normal")
    more = opened(connection, at + HOUR, priority="urgent", sla=HOUR, body={"rule_id": "mixer_exposure"})
    assert (more.case_id, more.version, more.priority) == (case.case_id, 2, "urgent")
    assert more.sla_due_at == at + 2 * HOUR
    last = cases.case_history(connection, case.case_id)[-1]
    assert last.kind == "added"
    assert last.body["details"] == {"rule_id": "mixer_exposure"}
    assert last.body["changes"]["priority"] == {"old": "normal", "new": "urgent"}
    with pytest.raises(CaseConflictError):
        take(connection, case, Step.CLOSE, OLU, at)
    assert opened(connection, at + HOUR, priority="low", body={"rule_id": "mixer_exposure"}) == more


def test_open_case__after_a_closed_one_is_another_case(connection: Connection, at: datetime) -> None:
    found = set()
    for _ in range(3):
        case = opened(connection, at)
        take(connection, case, Step.CLOSE, OLU, at)
        found.add(case.case_id)
    assert len(found) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "fraud"},
        {"priority": "asap"},
        {"title": " "},
        {"title": "x" * 201},
        {"title": "Ask ann@post.example"},
        {"body": {"value": object()}},
    ],
)
def test_open_case__refuses_what_is_unusable(connection: Connection, at: datetime, wrong: dict[str, Any]) -> None:
    with pytest.raises(ComplianceInputError):
        opened(connection, at, **wrong)


@pytest.mark.parametrize(("state", "step"), list(itertools.product(CaseState, Step)))
def test_steps__are_possible_exactly_where_the_table_says(
    connection: Connection, at: datetime, state: CaseState, step: Step
) -> None:
    case = brought_to(connection, state, at)
    before = kinds(connection, case)
    if (state, step) not in TRANSITIONS:
        with pytest.raises(CaseConflictError, match=f"is {state}"):
            take(connection, case, step, OTTO, at)
        assert cases.read_case(connection, case.case_id) == case
        assert kinds(connection, case) == before
        return
    after = take(connection, case, step, OTTO, at)
    assert after.state in TRANSITIONS[state, step]
    assert after == cases.read_case(connection, case.case_id)
    assert after.version == case.version + 1
    assert len(kinds(connection, case)) == len(before) + 1


@pytest.mark.parametrize(
    ("step", "state"),
    [(step, next(state for state, each in TRANSITIONS if each is step)) for step in Step],
)
@pytest.mark.parametrize("version", [0, 99, -1])
def test_steps__of_somebody_who_saw_another_version_are_refused(
    connection: Connection, at: datetime, step: Step, state: CaseState, version: int
) -> None:
    case = brought_to(connection, state, at)
    with pytest.raises(CaseConflictError, match="read it again"):
        take(connection, case, step, OTTO, at, version=version)
    assert cases.read_case(connection, case.case_id) == case


def test_steps__on_a_case_that_is_not_there(connection: Connection, at: datetime) -> None:
    with pytest.raises(CaseNotFoundError, match="cas_x"):
        cases.comment(connection, "cas_x", version=1, text="x", actor=ANA, at=at)
    with pytest.raises(CaseNotFoundError):
        cases.case_history(connection, "cas_x")


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.ADMIN, Role.AUDITOR])
def test_steps__need_a_role_that_works_on_cases(
    connection: Connection, at: datetime, step: Step, role: Role | None
) -> None:
    case = opened(connection, at)
    with pytest.raises(ForbiddenError):
        take(connection, case, step, Actor("p", role), at)


@pytest.mark.parametrize("step", [Step.APPROVE, Step.REJECT_PROPOSAL, Step.CLOSE])
def test_steps__that_decide_are_an_officers(connection: Connection, at: datetime, step: Step) -> None:
    case = brought_to(connection, CaseState.AWAITING_APPROVAL, at)
    with pytest.raises(ForbiddenError, match="role analyst"):
        take(connection, case, step, ANA, at)


def test_approve__closes_with_the_proposed_outcome_and_records_both_people(
    connection: Connection, at: datetime
) -> None:
    case = take(connection, opened(connection, at), Step.PROPOSE, ANA, at)
    assert case.proposal is not None
    assert (case.proposal.by, case.proposal.role, case.proposal.from_state) == ("ana", "analyst", CaseState.OPEN)
    closed = take(connection, case, Step.APPROVE, OLU, at + HOUR)
    assert (closed.state, closed.outcome, closed.closed_at) == (CaseState.CLOSED, "released", at + HOUR)
    proposed, approved = cases.case_history(connection, case.case_id)[1:]
    assert (proposed.kind, proposed.actor, proposed.role) == ("proposed", "ana", "analyst")
    assert (approved.kind, approved.actor, approved.role) == ("approved", "olu", "officer")
    assert approved.body["proposed_by"] == "ana"
    assert approved.body["changes"]["state"] == {"old": "awaiting_approval", "new": "closed"}
    assert approved.body["changes"]["outcome"] == {"old": None, "new": "released"}


@pytest.mark.parametrize("name", ["olu", "OLU", " olu "])
def test_approve__is_never_the_proposers(connection: Connection, at: datetime, name: str) -> None:
    case = take(connection, opened(connection, at), Step.PROPOSE, OLU, at)
    with pytest.raises(ForbiddenError, match="Four eyes"):
        take(connection, case, Step.APPROVE, Actor(name, Role.OFFICER), at)
    assert take(connection, case, Step.APPROVE, OTTO, at).outcome == "released"


@pytest.mark.parametrize(
    ("kind", "outcome", "is_alone"),
    [
        (kind, outcome, (kind, outcome) not in cases.FOUR_EYES)
        for kind in CaseKind
        for outcome in sorted(cases.OUTCOMES[kind])
    ],
)
def test_close_case__one_person_never_lets_pass_what_was_stopped(
    connection: Connection, at: datetime, kind: CaseKind, outcome: str, is_alone: bool
) -> None:
    case = opened(connection, at, kind=kind)
    if is_alone:
        assert take(connection, case, Step.CLOSE, OLU, at, outcome=outcome).outcome == outcome
    else:
        with pytest.raises(ForbiddenError, match="Four eyes"):
            take(connection, case, Step.CLOSE, OLU, at, outcome=outcome)


@pytest.mark.parametrize("step", [Step.CLOSE, Step.PROPOSE])
def test_outcomes__of_another_kind_of_case_are_refused(connection: Connection, at: datetime, step: Step) -> None:
    case = opened(connection, at)
    with pytest.raises(ComplianceInputError, match="rejected, released"):
        take(connection, case, step, OLU, at, outcome="approved")


@pytest.mark.parametrize("state", [CaseState.OPEN, CaseState.ASSIGNED, CaseState.ESCALATED])
def test_reject_proposal__returns_the_case_to_where_it_was(
    connection: Connection, at: datetime, state: CaseState
) -> None:
    case = take(connection, brought_to(connection, state, at), Step.PROPOSE, ANA, at)
    back = take(connection, case, Step.REJECT_PROPOSAL, OLU, at)
    assert (back.state, back.proposal, back.outcome) == (state, None, None)


def test_escalate__withdraws_a_proposal_and_is_told(connection: Connection, at: datetime) -> None:
    case = take(connection, opened(connection, at, priority="low"), Step.PROPOSE, ANA, at)
    after = take(connection, case, Step.ESCALATE, ANA, at + HOUR)
    assert (after.state, after.proposal) == (CaseState.ESCALATED, None)
    event = told(connection)[-1]
    assert (event.kind, event.severity, event.sequence) == ("case_escalated", "warning", 3)


def test_close_case__is_told_without_words_of_people(connection: Connection, at: datetime) -> None:
    take(connection, opened(connection, at, priority="urgent"), Step.CLOSE, OLU, at + HOUR, reason="Words of people")
    first, last = told(connection)
    assert (first.severity, last.kind, last.severity) == ("critical", "case_closed", "info")
    assert "Words" not in last.model_dump_json()
    assert "listed wallet" not in first.model_dump_json()


@pytest.mark.parametrize(("kind", "is_allowed"), [("kyc", True), ("aml", False), ("screening", False)])
def test_system__closes_cases_of_identity_only(
    connection: Connection, at: datetime, kind: str, is_allowed: bool
) -> None:
    case = opened(connection, at, kind=kind)
    outcome = {"kyc": "approved", "aml": "rejected", "screening": "confirmed"}[kind]
    if is_allowed:
        assert take(connection, case, Step.CLOSE, SYSTEM, at, outcome=outcome).state is CaseState.CLOSED
    else:
        with pytest.raises(ForbiddenError, match="system"):
            take(connection, case, Step.CLOSE, SYSTEM, at, outcome=outcome)


@pytest.mark.parametrize("step", [Step.ASSIGN, Step.PROPOSE, Step.APPROVE, Step.REJECT_PROPOSAL])
def test_system__proposes_and_approves_nothing(connection: Connection, at: datetime, step: Step) -> None:
    with pytest.raises(ForbiddenError, match="system"):
        take(connection, opened(connection, at), step, SYSTEM, at)


@pytest.mark.parametrize(
    ("step", "argument"),
    [(Step.COMMENT, "text"), (Step.PROPOSE, "reason"), (Step.ESCALATE, "reason"), (Step.CLOSE, "reason")],
)
@pytest.mark.parametrize("words", ["", " ", "x" * 4001, "a\x00b", "call +46 70 123 45 67"])
def test_words__that_the_record_must_not_hold_are_refused(
    connection: Connection, at: datetime, step: Step, argument: str, words: str
) -> None:
    case = opened(connection, at)
    with pytest.raises(ComplianceInputError):
        take(connection, case, step, OLU, at, **{argument: words})
    assert kinds(connection, case) == ["opened"]
