"""The work on cases over HTTP: the queue, one case with its history, and every step of an officer's decision."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from compliance import cases
from compliance.api.access import GUARDS, ActorDependency
from compliance.api.case_schemas import (
    AssignInput,
    CaseDetail,
    CaseList,
    CaseView,
    CommentInput,
    OutcomeInput,
    PersonName,
    ReasonInput,
    Words,
    case_detail,
    case_view,
)
from compliance.api.dependencies import CasePath, ServicesDependency, errors
from compliance.api.outcomes import carry_out
from compliance.api.schemas import Id
from compliance.api.services import Services
from compliance.cases import Case, CaseKind, CasePriority, CaseState, QueueFilters
from compliance.errors import CaseConflictError, CaseNotFoundError, ComplianceInputError
from compliance.model import Actor

MAX_LIMIT = 200
router = APIRouter(prefix="/v1/compliance/cases", tags=["compliance"], dependencies=GUARDS)
_FOUND = errors(s404=CaseNotFoundError.code)
_CHANGED = errors(s404=CaseNotFoundError.code, s409=CaseConflictError.code)


@router.get("", responses=errors(s422=f"request_invalid, {ComplianceInputError.code}"))
def list_cases(
    services: ServicesDependency,
    state: Annotated[list[CaseState] | None, Query(max_length=5, description="none: those that are not closed")] = None,
    kind: CaseKind | None = None,
    priority: CasePriority | None = None,
    assignee: PersonName | None = None,
    is_unassigned: bool | None = None,
    account_id: Id | None = None,
    user_id: Id | None = None,
    subject_id: Id | None = None,
    is_breached: Annotated[bool | None, Query(description="past the due time, or closed late")] = None,
    words: Annotated[Words | None, Query(description="in the title, or the id of the case or its subject")] = None,
    cursor: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,512}$", description="next_cursor")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> CaseList:
    """Cases that fit all filters, the one due first in front."""
    now = services.clock.now()
    filters = QueueFilters(
        at=now,
        states=tuple(state) if state else None,
        kind=kind,
        priority=priority,
        assignee=assignee,
        is_unassigned=is_unassigned,
        account_id=account_id,
        user_id=user_id,
        subject_id=subject_id,
        is_breached=is_breached,
        words=words,
        limit=limit,
        cursor=cursor,
    )
    with services.engine.connect() as connection:
        page = cases.queue(connection, filters)
    return CaseList(cases=[case_view(each, now) for each in page.cases], next_cursor=page.next_cursor)


@router.get("/{case_id}", responses=_FOUND)
def get_case(services: ServicesDependency, case_id: CasePath) -> CaseDetail:
    """One case with everything that happened to it, oldest first."""
    with services.engine.connect() as connection:
        case = cases.read_case(connection, case_id)
        history = cases.case_history(connection, case_id)
    return case_detail(case, history, services.clock.now())


@router.post("/{case_id}/assign", responses=_CHANGED)
def assign_case(services: ServicesDependency, actor: ActorDependency, case_id: CasePath, body: AssignInput) -> CaseView:
    """Give a case to somebody, or take it."""
    assignee = body.assignee or actor.name

    def change(connection: Connection, at: datetime) -> Case:
        return cases.assign(connection, case_id, version=body.version, assignee=assignee, actor=actor, at=at)

    return _changed(services, change)


@router.post("/{case_id}/comment", responses=_CHANGED)
def comment_case(
    services: ServicesDependency, actor: ActorDependency, case_id: CasePath, body: CommentInput
) -> CaseView:
    """Add a remark, which is kept for good."""

    def change(connection: Connection, at: datetime) -> Case:
        return cases.comment(connection, case_id, version=body.version, text=body.comment, actor=actor, at=at)

    return _changed(services, change)


@router.post("/{case_id}/propose", responses=_CHANGED)
def propose_outcome(
    services: ServicesDependency, actor: ActorDependency, case_id: CasePath, body: OutcomeInput
) -> CaseView:
    """Propose what should become of the case; another person approves or rejects it."""

    def change(connection: Connection, at: datetime) -> Case:
        _refuse_verification(connection, case_id)
        return cases.propose(
            connection, case_id, version=body.version, outcome=body.outcome, reason=body.reason, actor=actor, at=at
        )

    return _changed(services, change)


@router.post("/{case_id}/approve", responses=_CHANGED)
def approve_proposal(
    services: ServicesDependency, actor: ActorDependency, case_id: CasePath, body: ReasonInput
) -> CaseView:
    """Approve what another person proposed: the case is closed, and what was proposed is carried out."""

    def change(connection: Connection, at: datetime) -> Case:
        return cases.approve(connection, case_id, version=body.version, reason=body.reason, actor=actor, at=at)

    return _closed(services, actor, body.reason, change)


@router.post("/{case_id}/reject-proposal", responses=_CHANGED)
def reject_proposal(
    services: ServicesDependency, actor: ActorDependency, case_id: CasePath, body: ReasonInput
) -> CaseView:
    """Refuse what was proposed; the case returns to where it was."""

    def change(connection: Connection, at: datetime) -> Case:
        return cases.reject_proposal(connection, case_id, version=body.version, reason=body.reason, actor=actor, at=at)

    return _changed(services, change)


@router.post("/{case_id}/escalate", responses=_CHANGED)
def escalate_case(
    services: ServicesDependency, actor: ActorDependency, case_id: CasePath, body: ReasonInput
) -> CaseView:
    """Call for an officer; a proposal that waits is withdrawn."""

    def change(connection: Connection, at: datetime) -> Case:
        return cases.escalate(connection, case_id, version=body.version, reason=body.reason, actor=actor, at=at)

    return _changed(services, change)


@router.post("/{case_id}/close", responses=_CHANGED)
def close_case(services: ServicesDependency, actor: ActorDependency, case_id: CasePath, body: OutcomeInput) -> CaseView:
    """Close a case on one person's decision, and carry it out; `forbidden` for outcomes that need four eyes."""

    def change(connection: Connection, at: datetime) -> Case:
        _refuse_verification(connection, case_id)
        return cases.close_case(
            connection, case_id, version=body.version, outcome=body.outcome, reason=body.reason, actor=actor, at=at
        )

    return _closed(services, actor, body.reason, change)


def _changed(services: Services, change: Callable[[Connection, datetime], Case]) -> CaseView:
    now = services.clock.now()
    with services.engine.begin() as connection:
        case = change(connection, now)
    return case_view(case, now)


def _closed(services: Services, actor: Actor, reason: str, change: Callable[[Connection, datetime], Case]) -> CaseView:
    now = services.clock.now()
    with services.engine.begin() as connection:
        case = change(connection, now)
    # Idempotent; where this process ends here, `resume_approved` carries it out.
    carry_out(services, case, actor, reason)
    return case_view(case, now)


def _refuse_verification(connection: Connection, case_id: str) -> None:
    """A verification that is decided closes its case; a case that is closed alone would leave it undecided."""
    case = cases.read_case(connection, case_id)
    if case.kind is CaseKind.KYC:
        raise CaseConflictError(
            f"Case {case_id} ends with its verification: POST /v1/compliance/kyc/{case.subject_id}/decision."
        )
