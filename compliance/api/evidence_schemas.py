"""What callers see of what a case is about: a transaction with its rules, hits on lists, a verification, a customer."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from pydantic import Field

from compliance.api.kyc_schemas import KycView
from compliance.api.schemas import Shown, UtcTime
from compliance.api.transaction_schemas import RuleView
from compliance.kyc.model import Source, Verdict
from compliance.model import Decision
from compliance.screening.model import HitState

WITHHELD_HELP = "withheld from roles that do not see personal data"


class TransactionView(Shown):
    """A transaction as it was judged, with the answer of every rule."""

    transaction_id: str
    account_id: str
    direction: str
    kind: str
    side: str
    asset: str
    quantity: Decimal
    amount_usd: Decimal | None = Field(description="null: no usable price")
    chain: str
    counterparty_address: str | None = Field(description=f"null: none, or {WITHHELD_HELP}")
    counterparty_country: str | None
    stated: dict[str, bool | None] = Field(description="what only the caller could say; null: not stated")
    occurred_at: UtcTime
    received_at: UtcTime
    is_settled_unasked: bool = Field(description="it had happened before anybody asked the gate")
    published_at: UtcTime | None = Field(description="when the gate published it to those who count positions")
    decision: Decision | None = Field(description="null: not decided yet")
    decision_reason: str | None
    decided_at: UtcTime | None
    policy_version: str | None
    list_versions: dict[str, str] = Field(description="list to version")
    rules: list[RuleView]


class CaseHitView(Shown):
    """An entry of a list that the customer may be, graded; what it rests on stays, whatever the list says now."""

    hit_id: str
    list_name: str
    list_version_id: str
    entry_id: str
    listed_kind: str | None = Field(description="null: the entry is not known any more")
    listed_names: list[str] = Field(description=f"the primary name first; {WITHHELD_HELP}")
    listed_birth_dates: list[str] = Field(description=f"dates or their beginnings; {WITHHELD_HELP}")
    listed_countries: list[str]
    programs: list[str]
    topics: list[str] | None = Field(description="null: the entry is not known any more")
    score: float = Field(description="0 to 1, how well the names match; not a probability")
    rank: int = Field(description="1 for the likeliest")
    reasons: list[str] = Field(description=f"in plain words; names and dates of birth in them are {WITHHELD_HELP}")
    state: HitState
    needs_four_eyes: bool | None = Field(description="whether clearing needs two people; null: no policy is in force")
    screened_at: UtcTime
    decided_by: str | None
    decided_at: UtcTime | None
    decision_reason: str | None
    cleared_until: UtcTime | None


class CheckView(Shown):
    """One answer of a provider or an officer; `facts` are codes and times, no personal data."""

    check_id: str
    provider: str
    source: Source
    status: str | None = Field(description="the provider's own word")
    verdict: Verdict
    by: str | None = Field(description="the officer, of an officer's decision")
    occurred_at: UtcTime | None
    received_at: UtcTime
    facts: dict[str, str | list[str]]


class VerificationView(KycView):
    """A verification with all answers, oldest first."""

    customer_kind: str | None
    checks: list[CheckView]


class CaseEvidence(Shown):
    """What a case is about, with the case's version at that moment; parts that it does not have are null or empty."""

    case_id: str
    version: int
    is_withheld: bool = Field(description="whether personal data was left out for the role of who asks")
    transaction: TransactionView | None
    hits: list[CaseHitView]
    has_more_hits: bool
    verification: VerificationView | None


class CustomerView(Shown):
    """The personal data of a case's customer that hits and documents are compared with; reading it is recorded."""

    case_id: str
    user_id: str
    kind: str
    names: list[str]
    birth_date: date | None
    nationality: str | None
    country: str | None = Field(description="residence")
    address: str | None
    document_number: str | None
    email: str | None
    phone: str | None
    kyc_state: str
