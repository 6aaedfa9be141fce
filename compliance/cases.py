"""The work of officers: cases with an explicit table of states, a due time, and four eyes where it matters.

Every change names the version that the person saw, is recorded in the chain of case events with old and new values in
the same transaction, and tells others through the outbox. Closing a case changes nothing else: who closes it then acts
on `outcome` (for a held transaction `Gate.resolve`) in the same transaction or idempotently after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from compliance import case_store, chain
from compliance.authorization import Action, require
from compliance.canonical import plain
from compliance.case_model import (
    FOUR_EYES,
    OUTCOMES,
    PRIORITIES,
    TRANSITIONS,
    Case,
    CaseEvent,
    CaseKind,
    CasePage,
    CasePriority,
    CaseState,
    Proposal,
    QueueFilters,
    Step,
    check_outcome,
    check_text,
    word,
)
from compliance.case_record import store, tell
from compliance.errors import CaseConflictError, ForbiddenError
from compliance.model import SYSTEM, Actor
from infra.runtime.clock import as_utc
from infra.runtime.ids import stable_id

__all__ = [
    "FOUR_EYES",
    "OUTCOMES",
    "TRANSITIONS",
    "Case",
    "CaseEvent",
    "CaseKind",
    "CasePage",
    "CasePriority",
    "CaseState",
    "Proposal",
    "QueueFilters",
    "Step",
    "announce_overdue",
    "approve",
    "assign",
    "case_history",
    "close_case",
    "comment",
    "escalate",
    "open_case",
    "propose",
    "queue",
    "read_case",
    "reject_proposal",
]

MAX_TEXT = 4_000
MAX_TITLE = 200
# What the system does by itself: it never lets pass what was stopped, and proposes and approves nothing.
_SYSTEM_STEPS = frozenset({Step.COMMENT, Step.ESCALATE})
_ACTIONS: Mapping[Step, Action] = {step: Action(step.value) for step in Step}


def open_case(
    connection: Connection,
    *,
    kind: str,
    subject_id: str,
    title: str,
    priority: str,
    sla: timedelta,
    at: datetime,
    actor: Actor = SYSTEM,
    account_id: str | None = None,
    user_id: str | None = None,
    body: Mapping[str, Any] | None = None,
) -> str:
    """The id of the open case of that kind and subject; opened if there is none.

    One that is open gets what is new: a body that it does not have yet, a higher priority, an earlier due time. That
    raises its version, so that nobody closes it without having seen it. The body holds ids and codes only;
    `rule_id` and `policy_version` in it go out with the event. Raises `ComplianceInputError` for unusable values.
    """
    check_text("title", title, MAX_TITLE)
    wanted = Case(
        case_id="",
        kind=word(CaseKind, "kind", kind),
        subject_id=subject_id,
        account_id=account_id,
        user_id=user_id,
        title=title,
        state=CaseState.OPEN,
        priority=word(CasePriority, "priority", priority),
        assignee=None,
        proposal=None,
        outcome=None,
        sla_due_at=as_utc(at) + sla,
        opened_at=as_utc(at),
        closed_at=None,
        version=1,
    )
    details = plain(body or {})
    chain.lock(connection)
    number = 1
    while True:
        found = case_store.lock_open(connection, wanted.kind, subject_id)
        if found is not None:
            _add(connection, found, wanted, details, actor, at)
            return found.case_id
        # A subject's next case after a closed one, even of the same time, has an id of its own.
        case = replace(wanted, case_id=stable_id("cas", kind, subject_id, wanted.opened_at.isoformat(), number))
        if case_store.insert(connection, case):
            break
        number += 1
    opened = {
        "version": 1,
        "kind": case.kind,
        "subject_id": subject_id,
        "title": title,
        "priority": case.priority,
        "sla_due_at": case.sla_due_at,
        "details": details,
    }
    chain.append_event(connection, case.case_id, actor, "opened", opened, at, key="opened")
    tell(connection, case, "case_opened", at, details)
    return case.case_id


def assign(connection: Connection, case_id: str, *, version: int, assignee: str, actor: Actor, at: datetime) -> Case:
    """Give the case to a person; an escalated one stays escalated."""
    check_text("assignee", assignee, MAX_TITLE)
    case = _begin(connection, case_id, version, Step.ASSIGN, actor)
    return _finish(connection, case, Step.ASSIGN, "assigned", actor, at, assignee=assignee)


def comment(connection: Connection, case_id: str, *, version: int, text: str, actor: Actor, at: datetime) -> Case:
    """Add a remark, without personal data."""
    check_text("comment", text, MAX_TEXT)
    case = _begin(connection, case_id, version, Step.COMMENT, actor)
    return _finish(connection, case, Step.COMMENT, "commented", actor, at, note={"text": text})


def propose(
    connection: Connection, case_id: str, *, version: int, outcome: str, reason: str, actor: Actor, at: datetime
) -> Case:
    """Propose an outcome, which another person approves or rejects."""
    check_text("reason", reason, MAX_TEXT)
    case = _begin(connection, case_id, version, Step.PROPOSE, actor)
    check_outcome(case, outcome)
    proposal = Proposal(outcome, reason, actor.name, str(actor.role), as_utc(at), case.state)
    return _finish(connection, case, Step.PROPOSE, "proposed", actor, at, proposal=proposal)


def approve(connection: Connection, case_id: str, *, version: int, reason: str, actor: Actor, at: datetime) -> Case:
    """Close the case with the proposed outcome; raises `ForbiddenError` for the person who proposed it."""
    check_text("reason", reason, MAX_TEXT)
    case = _begin(connection, case_id, version, Step.APPROVE, actor)
    if case.proposal is None:
        raise CaseConflictError(f"Case {case_id} awaits approval of nothing; escalate it.")
    if _same_person(case.proposal.by, actor.name):
        raise ForbiddenError("Four eyes: the person who proposed an outcome does not approve it.")
    note = {"reason": reason, "proposed_by": case.proposal.by}
    return _finish(
        connection, case, Step.APPROVE, "approved", actor, at, note=note, outcome=case.proposal.outcome, closed_at=at
    )


def reject_proposal(
    connection: Connection, case_id: str, *, version: int, reason: str, actor: Actor, at: datetime
) -> Case:
    """Refuse the proposed outcome; the case returns to where the proposal was made."""
    check_text("reason", reason, MAX_TEXT)
    case = _begin(connection, case_id, version, Step.REJECT_PROPOSAL, actor)
    state = case.proposal.from_state if case.proposal is not None else CaseState.ESCALATED
    return _finish(
        connection,
        case,
        Step.REJECT_PROPOSAL,
        "proposal_rejected",
        actor,
        at,
        note={"reason": reason},
        state=state,
        proposal=None,
    )


def escalate(connection: Connection, case_id: str, *, version: int, reason: str, actor: Actor, at: datetime) -> Case:
    """Call for an officer; a proposal that waits is withdrawn."""
    check_text("reason", reason, MAX_TEXT)
    case = _begin(connection, case_id, version, Step.ESCALATE, actor)
    return _finish(connection, case, Step.ESCALATE, "escalated", actor, at, note={"reason": reason}, proposal=None)


def announce_overdue(connection: Connection, case_id: str, *, version: int, at: datetime) -> Case:
    """Say as the system that a case is past its due time, which changes nothing but its version: a proposal stays."""
    case = _begin(connection, case_id, version, Step.COMMENT, SYSTEM)
    return _finish(connection, case, Step.COMMENT, "overdue", SYSTEM, at, note={"sla_due_at": case.sla_due_at})


def close_case(
    connection: Connection, case_id: str, *, version: int, outcome: str, reason: str, actor: Actor, at: datetime
) -> Case:
    """Close the case on one person's decision.

    Raises `ForbiddenError` for outcomes in `FOUR_EYES`, which need a proposal and an approval. The system closes
    cases of identity only.
    """
    check_text("reason", reason, MAX_TEXT)
    case = _begin(connection, case_id, version, Step.CLOSE, actor)
    check_outcome(case, outcome)
    if (case.kind, outcome) in FOUR_EYES:
        raise ForbiddenError(f"Four eyes: {outcome} needs a proposal, which another person approves.")
    return _finish(
        connection, case, Step.CLOSE, "closed", actor, at, note={"reason": reason}, outcome=outcome, closed_at=at
    )


def read_case(connection: Connection, case_id: str) -> Case:
    """The case; raises `CaseNotFoundError`."""
    return case_store.read(connection, case_id)


def queue(connection: Connection, filters: QueueFilters) -> CasePage:
    """A page of cases, the one due first in front."""
    return case_store.queue(connection, filters)


def case_history(connection: Connection, case_id: str) -> tuple[CaseEvent, ...]:
    """Everything that happened to the case, oldest first; raises `CaseNotFoundError`."""
    case_store.read(connection, case_id)
    return case_store.history(connection, case_id)


def _begin(connection: Connection, case_id: str, version: int, step: Step, actor: Actor) -> Case:
    """The case, held by this transaction, if the actor may take the step and has seen its newest version."""
    if actor != SYSTEM:
        require(actor, _ACTIONS[step])
    chain.lock(connection)
    case = case_store.read(connection, case_id, for_update=True)
    is_systems = step in _SYSTEM_STEPS or (step is Step.CLOSE and case.kind is CaseKind.KYC)
    if actor == SYSTEM and not is_systems:
        raise ForbiddenError(f"The system does not {step} a case of kind {case.kind}.")
    if case.version != version:
        raise CaseConflictError(f"Case {case_id} is at version {case.version}, not {version}: read it again.")
    if (case.state, step) not in TRANSITIONS:
        raise CaseConflictError(f"Case {case_id} is {case.state}: {step} is not possible there.")
    return case


def _finish(
    connection: Connection,
    case: Case,
    step: Step,
    kind: str,
    actor: Actor,
    at: datetime,
    *,
    note: Mapping[str, Any] | None = None,
    state: CaseState | None = None,
    **changes: Any,
) -> Case:
    targets = TRANSITIONS[case.state, step]
    target = state if state is not None else next(iter(targets))
    if target not in targets:
        raise CaseConflictError(f"Case {case.case_id} cannot go from {case.state} to {target} by {step}.")
    if changes.get("closed_at") is not None:
        changes["closed_at"] = as_utc(changes["closed_at"])
    after = replace(case, state=target, version=case.version + 1, **changes)
    store(connection, case, after, kind, actor, at, dict(note or {}))
    if kind == "escalated":
        tell(connection, after, "case_escalated", at, {})
    elif kind == "overdue":
        tell(connection, after, "case_overdue", at, {})
    elif after.state is CaseState.CLOSED:
        tell(connection, after, "case_closed", at, {})
    return after


def _add(
    connection: Connection, case: Case, wanted: Case, details: Mapping[str, Any], actor: Actor, at: datetime
) -> None:
    """Give an open case what another finding about its subject adds; nothing where it is known."""
    after = replace(
        case,
        priority=max(case.priority, wanted.priority, key=PRIORITIES.index),
        sla_due_at=min(case.sla_due_at, wanted.sla_due_at),
        version=case.version + 1,
    )
    known = [event.body.get("details") for event in case_store.history(connection, case.case_id)]
    is_new = bool(details) and details not in known
    if is_new or after.priority != case.priority or after.sla_due_at != case.sla_due_at:
        store(connection, case, after, "added", actor, at, {"details": details} if is_new else {})


def _same_person(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
