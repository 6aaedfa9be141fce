"""The words that the parts of compliance share: roles, transactions, results of rules and screenings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """What a person or program may do; see `compliance/authorization.py`."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    OFFICER = "officer"
    ADMIN = "admin"
    AUDITOR = "auditor"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person or program with a role, or `system`."""

    name: str
    role: Role | None = None


SYSTEM = Actor("system")


class Direction(StrEnum):
    """Whether value comes to the desk or leaves it."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class Transaction:
    """A settlement event as monitoring sees it; `amount_usd` None: no usable price, which no rule takes for zero.

    `is_settled_unasked`: it had happened before anybody asked the gate.
    """

    transaction_id: str
    account_id: str
    direction: Direction
    kind: str
    side: str
    asset: str
    quantity: Decimal
    amount_usd: Decimal | None
    chain: str
    occurred_at: datetime
    counterparty_address: str | None = None
    counterparty_country: str | None = None
    has_travel_rule_data: bool | None = None
    is_self_hosted: bool | None = None
    has_ownership_proof: bool | None = None
    is_settled_unasked: bool = False

    @property
    def stated(self) -> dict[str, bool | None]:
        """What only the caller can say, as it is recorded; None: not stated."""
        return {
            "has_travel_rule_data": self.has_travel_rule_data,
            "is_self_hosted": self.is_self_hosted,
            "has_ownership_proof": self.has_ownership_proof,
        }


class RuleOutcome(StrEnum):
    """What a rule says; only `no_hit` is clean."""

    HIT = "hit"
    NO_HIT = "no_hit"
    INSUFFICIENT_HISTORY = "insufficient_history"
    ERROR = "error"


class RuleSeverity(StrEnum):
    """How much a hit weighs; `block` stops the transaction."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule's answer with the figures that it rests on (texts and numbers, no personal data)."""

    rule_id: str
    outcome: RuleOutcome
    severity: RuleSeverity
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    is_shadow: bool = False


class Decision(StrEnum):
    """What becomes of a transaction; `released` and `rejected` are an officer's."""

    ACCEPTED = "accepted"
    REVIEW = "review"
    BLOCKED = "blocked"
    RELEASED = "released"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class AmlResult:
    """The decision on a transaction, every rule's answer, and what they were judged by."""

    transaction_id: str
    decision: Decision
    reason: str
    results: tuple[RuleResult, ...]
    policy_version: str
    list_versions: Mapping[str, str]
    decided_at: datetime
    case_id: str | None = None
