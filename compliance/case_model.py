"""What a case is: its words, its table of states, and which outcomes need four eyes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from compliance.errors import ComplianceInputError
from compliance.pii import refuse_personal_data
from infra.runtime.clock import as_utc

Word = TypeVar("Word", bound=StrEnum)


class CaseKind(StrEnum):
    """What a case is about: a customer's identity, a hit on a list, a transaction."""

    KYC = "kyc"
    SCREENING = "screening"
    AML = "aml"


class CaseState(StrEnum):
    """Where a case stands; `awaiting_approval`: somebody proposed its outcome, another person must look."""

    OPEN = "open"
    ASSIGNED = "assigned"
    AWAITING_APPROVAL = "awaiting_approval"
    ESCALATED = "escalated"
    CLOSED = "closed"


class CasePriority(StrEnum):
    """How soon; in this order."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


PRIORITIES = tuple(CasePriority)


@dataclass(frozen=True, slots=True)
class Proposal:
    """The outcome that somebody proposes; `from_state` is where the case returns to if it is rejected."""

    outcome: str
    reason: str
    by: str
    role: str
    at: datetime
    from_state: CaseState


@dataclass(frozen=True, slots=True)
class Case:
    """A case; `version` rises with each change, and who changes it must have seen the newest one."""

    case_id: str
    kind: CaseKind
    subject_id: str
    account_id: str | None
    user_id: str | None
    title: str
    state: CaseState
    priority: CasePriority
    assignee: str | None
    proposal: Proposal | None
    outcome: str | None
    sla_due_at: datetime
    opened_at: datetime
    closed_at: datetime | None
    version: int

    def is_breached(self, at: datetime) -> bool:
        """Whether it was closed late, or is still open past its due time at `at`."""
        return (self.closed_at or at) > self.sla_due_at


@dataclass(frozen=True, slots=True)
class CaseEvent:
    """One entry of a case's history, as the chain keeps it."""

    sequence: int
    event_id: str
    case_id: str
    at: datetime
    actor: str
    role: str
    kind: str
    body: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class QueueFilters:
    """Which cases to list; None means any. Without `states`, those that are not closed. `at` is now, for breaches.

    `words` stand in the title or in the id of the case or its subject, whatever their case.
    """

    at: datetime
    states: Sequence[str] | None = None
    kind: str | None = None
    priority: str | None = None
    assignee: str | None = None
    is_unassigned: bool | None = None
    account_id: str | None = None
    user_id: str | None = None
    subject_id: str | None = None
    is_breached: bool | None = None
    words: str | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class CasePage:
    """Cases by due time; `next_cursor` is where the next page begins, None at the end."""

    cases: tuple[Case, ...]
    next_cursor: str | None


class Step(StrEnum):
    """What can be done with a case."""

    ASSIGN = "assign"
    COMMENT = "comment"
    PROPOSE = "propose"
    APPROVE = "approve"
    REJECT_PROPOSAL = "reject_proposal"
    ESCALATE = "escalate"
    CLOSE = "close"


_S = CaseState
# A step that is not listed for a state is refused there. A rejected proposal returns to where it was made.
TRANSITIONS: Mapping[tuple[CaseState, Step], frozenset[CaseState]] = {
    (_S.OPEN, Step.ASSIGN): frozenset({_S.ASSIGNED}),
    (_S.OPEN, Step.COMMENT): frozenset({_S.OPEN}),
    (_S.OPEN, Step.PROPOSE): frozenset({_S.AWAITING_APPROVAL}),
    (_S.OPEN, Step.ESCALATE): frozenset({_S.ESCALATED}),
    (_S.OPEN, Step.CLOSE): frozenset({_S.CLOSED}),
    (_S.ASSIGNED, Step.ASSIGN): frozenset({_S.ASSIGNED}),
    (_S.ASSIGNED, Step.COMMENT): frozenset({_S.ASSIGNED}),
    (_S.ASSIGNED, Step.PROPOSE): frozenset({_S.AWAITING_APPROVAL}),
    (_S.ASSIGNED, Step.ESCALATE): frozenset({_S.ESCALATED}),
    (_S.ASSIGNED, Step.CLOSE): frozenset({_S.CLOSED}),
    (_S.ESCALATED, Step.ASSIGN): frozenset({_S.ESCALATED}),
    (_S.ESCALATED, Step.COMMENT): frozenset({_S.ESCALATED}),
    (_S.ESCALATED, Step.PROPOSE): frozenset({_S.AWAITING_APPROVAL}),
    (_S.ESCALATED, Step.CLOSE): frozenset({_S.CLOSED}),
    (_S.AWAITING_APPROVAL, Step.COMMENT): frozenset({_S.AWAITING_APPROVAL}),
    (_S.AWAITING_APPROVAL, Step.APPROVE): frozenset({_S.CLOSED}),
    (_S.AWAITING_APPROVAL, Step.REJECT_PROPOSAL): frozenset({_S.OPEN, _S.ASSIGNED, _S.ESCALATED}),
    (_S.AWAITING_APPROVAL, Step.ESCALATE): frozenset({_S.ESCALATED}),
}
OUTCOMES: Mapping[CaseKind, frozenset[str]] = {
    CaseKind.KYC: frozenset({"approved", "declined", "expired", "failed", "obsolete"}),
    CaseKind.SCREENING: frozenset({"cleared", "confirmed"}),
    CaseKind.AML: frozenset({"released", "rejected"}),
}
# Outcomes that let something pass which was stopped: one person proposes, another one approves.
FOUR_EYES: frozenset[tuple[CaseKind, str]] = frozenset({(CaseKind.SCREENING, "cleared"), (CaseKind.AML, "released")})


def proposal_body(proposal: Proposal | None) -> dict[str, str] | None:
    """A proposal as JSON."""
    if proposal is None:
        return None
    return {
        "outcome": proposal.outcome,
        "reason": proposal.reason,
        "by": proposal.by,
        "role": proposal.role,
        "at": as_utc(proposal.at).isoformat(),
        "from_state": proposal.from_state.value,
    }


def word(words: type[Word], what: str, value: str) -> Word:
    """`value` as one of the words; raises `ComplianceInputError` that lists them."""
    try:
        return words(value)
    except ValueError:
        raise ComplianceInputError(f"{str(value)[:40]!r} is no {what} of a case: {', '.join(words)}.") from None


def check_outcome(case: Case, outcome: str) -> None:
    """Raise `ComplianceInputError` for an outcome that a case of this kind cannot have."""
    known = OUTCOMES[case.kind]
    if outcome not in known:
        raise ComplianceInputError(
            f"{str(outcome)[:40]!r} is no outcome of a case of kind {case.kind}: {', '.join(sorted(known))}."
        )


def check_text(what: str, text: str, longest: int) -> None:
    """Raise `ComplianceInputError` for a text that the record does not take; it is not repeated."""
    if not text.strip() or len(text) > longest or "\x00" in text:
        raise ComplianceInputError(f"The {what} has 1 to {longest} characters.")
    refuse_personal_data(what, text)
