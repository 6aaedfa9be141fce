"""What callers send and see of transaction monitoring: a movement goes in, a decision with its rules comes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, PrivateAttr, model_validator

from compliance.aml.admission import transaction_of_event
from compliance.api.case_schemas import Version
from compliance.api.schemas import AmountUsd, Body, Country, Id, Line, QuantityText, Shown, UtcTime, Why
from compliance.model import AmlResult, Decision, RuleOutcome, RuleSeverity, Transaction
from infra.runtime.clock import UtcTime as EventTime
from ingest.messages import AccountId, AssetSymbol, Kind, SettlementEvent, Side

# Value that moves between the desk and somebody else; interest and seizures move within the desk's own books.
TRANSFERS = frozenset({Kind.DEPOSIT, Kind.WITHDRAWAL, Kind.DRAW, Kind.REPAYMENT})
Address = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9:._-]*$", description="as on the chain")
]
Chain = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", examples=["ethereum"])]
TxHash = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,127}$")]


class _Movement(Body):
    """What a transaction and a settlement have in common; a transfer names its counterparty."""

    account_id: AccountId
    asset: AssetSymbol
    side: Side
    kind: Kind
    quantity: QuantityText = Field(description="greater than zero, as a string")
    occurred_at: EventTime
    chain: Chain
    tx_hash: TxHash
    counterparty_address: Address | None = Field(default=None, description="needed where value moves between two")
    counterparty_country: Country | None = Field(default=None, description="null: not known, which rules say")
    has_travel_rule_data: bool | None = Field(default=None, description="whether originator and beneficiary are known")
    is_self_hosted: bool | None = Field(default=None, description="whether the counterparty's wallet is self-hosted")
    has_ownership_proof: bool | None = Field(
        default=None, description="whether a self-hosted wallet is proven to be the customer's; null counts as no"
    )

    @model_validator(mode="after")
    def _has_counterparty(self) -> Self:
        if self.kind in TRANSFERS and self.counterparty_address is None:
            raise ValueError(f"a {self.kind.value} needs counterparty_address: nobody can be screened without")
        return self


class SettlementInput(_Movement):
    """A settlement that the escrow wants accepted; a field that it does not have is refused."""

    event_id: Id
    _event: SettlementEvent = PrivateAttr()

    @model_validator(mode="after")
    def _is_an_event(self) -> Self:
        self._event = SettlementEvent(**self.model_dump())
        return self

    def event(self) -> SettlementEvent:
        """The message that other rooms receive once it is accepted."""
        return self._event

    def transaction(self) -> Transaction:
        """The settlement as monitoring sees it; what it is worth is for us to say."""
        return transaction_of_event(self._event)


class TransactionInput(_Movement):
    """A transaction to be judged, that nothing is published for."""

    transaction_id: Id
    amount_usd: AmountUsd | None = Field(default=None, description="null: valued at the latest price")

    _event: SettlementEvent = PrivateAttr()

    @model_validator(mode="after")
    def _is_an_event(self) -> Self:
        own = {"transaction_id", "amount_usd"}
        self._event = SettlementEvent(event_id=self.transaction_id, **self.model_dump(exclude=own))
        return self

    def transaction(self) -> Transaction:
        """The transaction as monitoring sees it."""
        return replace(transaction_of_event(self._event), amount_usd=self.amount_usd)


class RuleView(Shown):
    """One rule's answer; only `no_hit` is clean, and a shadow rule decides nothing."""

    rule_id: str
    outcome: RuleOutcome
    severity: RuleSeverity
    reason: str
    evidence: dict[str, Any] = Field(description="figures that the answer rests on, as strings")
    is_shadow: bool


class AmlResultView(Shown):
    """The decision on a transaction, and what it was judged by."""

    transaction_id: str
    decision: Decision
    reason: str
    results: list[RuleView]
    policy_version: str
    list_versions: dict[str, str] = Field(description="list to version")
    decided_at: UtcTime
    case_id: str | None = Field(description="the case that holds it; null where it was accepted")


def aml_view(result: AmlResult) -> AmlResultView:
    """What callers see of a decision."""
    return AmlResultView.model_validate(result)


class SettlementDecisionInput(Body):
    """The second pair of eyes on a held settlement."""

    reason: Why
    version: Version


class SettlementDecisionView(BaseModel):
    """A held settlement after two people decided."""

    transaction_id: str
    decision: Decision
    reason: Line
    case_id: str | None
