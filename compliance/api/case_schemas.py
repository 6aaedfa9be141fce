"""What callers send and see of cases."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from compliance.api.schemas import Body, Shown, UtcTime, Why
from compliance.cases import Case, CaseEvent, CaseKind, CasePriority, CaseState

MAX_VERSION = 2**31 - 2
Version = Annotated[int, Field(ge=1, le=MAX_VERSION, strict=True, description="the case's version, as it was read")]
PersonName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$", examples=["anna"])]
Words = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]
Outcome = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$", examples=["released"])]


class AssignInput(Body):
    """Who takes the case; null: who asks."""

    version: Version
    assignee: PersonName | None = None


class CommentInput(Body):
    """A remark for the record, without personal data."""

    version: Version
    comment: Why


class ReasonInput(Body):
    """Why, for the record, without personal data."""

    version: Version
    reason: Why


class OutcomeInput(Body):
    """What should become of the case, and why: released, rejected, cleared, confirmed, approved, declined ..."""

    version: Version
    outcome: Outcome
    reason: Why


class ProposalView(Shown):
    """An outcome that somebody proposes; another person approves or rejects it."""

    outcome: str
    reason: str
    by: str
    role: str
    at: UtcTime


class CaseView(Shown):
    """A case; who changes it names its version."""

    case_id: str
    kind: CaseKind
    subject_id: str = Field(description="the transaction, the verification, or the customer or screening")
    account_id: str | None
    user_id: str | None
    title: str
    state: CaseState
    priority: CasePriority
    assignee: str | None
    proposal: ProposalView | None
    outcome: str | None = Field(description="null until it is closed")
    sla_due_at: UtcTime
    is_breached: bool = Field(description="closed late, or open past its due time")
    opened_at: UtcTime
    closed_at: UtcTime | None
    version: int


class CaseList(Shown):
    """Cases, the one due first in front."""

    cases: list[CaseView]
    next_cursor: str | None = Field(description="for the next page; null on the last")


class CaseEventView(Shown):
    """One entry of the history, as the hash chain keeps it."""

    sequence: int
    at: UtcTime
    actor: str
    role: str
    kind: str
    body: dict[str, Any]
    hash: str


class CaseDetail(CaseView):
    """A case with all that happened to it, oldest first."""

    history: list[CaseEventView]


def case_view(case: Case, at: datetime) -> CaseView:
    """What callers see of a case at a time."""
    return CaseView(**_fields(case, at))


def case_detail(case: Case, history: tuple[CaseEvent, ...], at: datetime) -> CaseDetail:
    """The case with its history."""
    return CaseDetail(**_fields(case, at), history=[CaseEventView.model_validate(each) for each in history])


def _fields(case: Case, at: datetime) -> dict[str, Any]:
    own = set(CaseView.model_fields) - {"is_breached", "proposal"}
    proposal = ProposalView.model_validate(case.proposal) if case.proposal is not None else None
    return {name: getattr(case, name) for name in own} | {"is_breached": case.is_breached(at), "proposal": proposal}
