"""States of a verification, what providers say in our words, and the records that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import SecretStr

MANUAL = "manual"


class KycState(StrEnum):
    """Where a case stands; only `approved` lets a customer deal."""

    CREATED = "created"  # No provider has it yet.
    PENDING = "pending"  # A provider waits for the customer.
    SUBMITTED = "submitted"  # The customer has done their part.
    IN_REVIEW = "in_review"  # A person must look.
    APPROVED = "approved"
    DECLINED = "declined"
    EXPIRED = "expired"  # Not finished in time, or approved too long ago.
    FAILED = "failed"  # The customer did not get through; they may try anew.


_S = KycState
DECIDED = frozenset({_S.APPROVED, _S.DECLINED, _S.EXPIRED, _S.FAILED})

# Answers come in any order, so that every state before the end may be skipped. What has ended changes only by being
# looked at by a person; and an approval ends with its validity.
TRANSITIONS: Mapping[KycState, frozenset[KycState]] = {
    _S.CREATED: frozenset(_S) - {_S.CREATED},
    _S.PENDING: frozenset(_S) - {_S.CREATED, _S.PENDING},
    _S.SUBMITTED: frozenset({_S.IN_REVIEW, *DECIDED}),
    _S.IN_REVIEW: DECIDED,
    _S.APPROVED: frozenset({_S.IN_REVIEW, _S.EXPIRED}),
    _S.DECLINED: frozenset({_S.IN_REVIEW}),
    _S.EXPIRED: frozenset({_S.IN_REVIEW}),
    _S.FAILED: frozenset({_S.IN_REVIEW}),
}


class Verdict(StrEnum):
    """What one answer means."""

    APPROVED = "approved"
    DECLINED = "declined"
    PENDING = "pending"
    REVIEW = "review"  # Also whatever we do not know.
    EXPIRED = "expired"
    FAILED = "failed"
    ERROR = "error"  # No answer; says nothing of the customer.


class Source(StrEnum):
    """How an answer came to us."""

    CREATE = "create"
    POLL = "poll"
    WEBHOOK = "webhook"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider says of a case; `occurred_at` is when it became so, by the provider's clock.

    `is_exact`: the provider told the time; else it is when it was seen. `facts` is what of the payload is kept.
    """

    status: str
    verdict: Verdict
    occurred_at: datetime
    is_exact: bool = True
    submitted_at: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """A stored answer. `considered`: the checks that an officer had before them, for one that is an officer's."""

    check_id: str
    provider: str
    source: Source
    status: str | None
    verdict: Verdict
    occurred_at: datetime | None
    received_at: datetime
    submitted_at: datetime | None = None
    considered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Handoff:
    """What leads a customer to the provider: a `link`, or a `token` for its component; shown once, never stored.

    A link is for one use; who needs another one begins the verification again, which makes none.
    """

    kind: str
    value: SecretStr


@dataclass(frozen=True, slots=True)
class KycCase:
    """One attempt to verify one customer; `is_cached`: an earlier result that still counts was returned."""

    kyc_case_id: str
    user_id: str
    state: KycState
    state_reason: str | None
    provider: str | None
    provider_reference: str | None
    idempotency_key: str = field(repr=False)
    submitted_at: datetime | None
    decided_at: datetime | None
    expires_at: datetime | None
    next_poll_at: datetime | None
    polls: int
    policy_version: str
    version: int
    created_at: datetime
    updated_at: datetime
    handoff: Handoff | None = field(default=None, repr=False)
    is_cached: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a webhook; `is_new` is false for one that came before, `kyc_case_id` None for nobody's."""

    provider: str
    event_id: str
    is_new: bool
    kyc_case_id: str | None
    state: KycState | None
