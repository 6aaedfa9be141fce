"""The numbers of compliance as a dashboard shows them; what is not known is null, never zero."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from compliance.api.schemas import Shown, UtcTime

AgeSeconds = Annotated[float | None, Field(description="age of the oldest; null where there is none")]


class ProviderState(StrEnum):
    """How a provider of identity checks stands; `unknown` where nothing was asked of it lately."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class KycFunnel(Shown):
    """Verifications that began within the window, by state, and how long decisions took from submission."""

    window_days: int
    by_state: dict[str, int]
    decided: int
    within_target: int = Field(description="of the decided")
    target_s: float | None = Field(description="null where no policy is in force")
    median_s: float | None
    p95_s: float | None
    waiting: int = Field(description="submitted and not decided, of any age")
    oldest_waiting_s: AgeSeconds


class CaseCounts(Shown):
    """Cases of one kind that are not closed."""

    kind: str
    open: int
    unassigned: int
    awaiting_approval: int
    escalated: int
    sla_breached: int
    oldest_s: AgeSeconds
    next_due_at: UtcTime | None


class Waiting(Shown):
    """Rows that wait for something."""

    count: int
    oldest_s: AgeSeconds


class ListState(Shown):
    """The version of a list that is searched; null where none is, and then nothing can be screened by it."""

    list_name: str
    list_version_id: str | None
    entries: int | None
    wallets: int | None
    published_on: date | None
    loaded_at: UtcTime | None
    age_s: float | None
    refused_since: int = Field(description="files that were refused since")


class PolicyState(Shown):
    """The policy in force."""

    version: str
    name: str
    effective_from: UtcTime
    countries_as_of: date
    countries_age_days: int
    countries_overdue: str | None = Field(description="what to do where the country lists are too old; null otherwise")


class ProviderView(Shown):
    """What a provider answered within the last hour."""

    provider: str
    state: ProviderState
    answers: int
    errors: int
    last_answer_at: UtcTime | None
    last_error_at: UtcTime | None


class MetricsView(Shown):
    """Compliance now."""

    measured_at: UtcTime
    is_ready: bool = Field(description="whether a policy is in force and a list is loaded")
    not_ready_reason: str | None
    kyc: KycFunnel
    cases: list[CaseCounts]
    sla_breached: int
    undecided: Waiting = Field(description="transactions without a decision")
    held: Waiting = Field(description="transactions in review or blocked that no officer decided")
    unpublished: Waiting = Field(description="accepted settlements that are not published yet")
    outbox: Waiting = Field(description="events of cases that are not published yet")
    lists: list[ListState]
    policy: PolicyState | None = Field(description="null where none is in force")
    providers: list[ProviderView]
    ledger: dict[str, int] = Field(description="rows of each hash chain")
