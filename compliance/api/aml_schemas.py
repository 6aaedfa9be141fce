"""What callers see of monitoring: alerts, their outcomes by rule, and one transaction with its transfers."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, WithJsonSchema

from compliance.api.schemas import Shown, UtcTime
from compliance.api.transaction_schemas import RuleView
from compliance.model import Decision, Direction, RuleOutcome, RuleSeverity
from infra.runtime.cursors import OpaqueCursor

Exact = Annotated[
    Decimal,
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
    WithJsonSchema({"type": "string", "format": "decimal"}),
]
Became = Literal["open", "accepted", "blocked", "released", "rejected", "unknown"]
Figures = Annotated[dict[str, Any], Field(description="figures that the answer rests on, as strings")]


class AlertCursor(OpaqueCursor):
    """The place behind an alert, newest first."""

    at: UtcTime
    alert_id: str = Field(max_length=128, pattern=r"^[A-Za-z0-9_.:-]+$")


class AlertView(Shown):
    """A rule's answer that is not clean, with its transaction as it stands now."""

    alert_id: str
    transaction_id: str
    account_id: str
    rule_id: str
    outcome: RuleOutcome
    severity: RuleSeverity
    evidence: Figures
    policy_version: str
    is_shadow: bool = Field(description="a shadow rule watches and decides nothing")
    case_id: str | None
    raised_at: UtcTime
    became: Became | None = Field(description="of a hit: what became of its transaction; null for other answers")
    decision: Decision | None = Field(description="null: not decided yet, or the transaction is not known")
    direction: Direction | None
    kind: str | None
    asset: str | None
    quantity: Exact | None
    amount_usd: Exact | None = Field(description="null: no usable price")
    occurred_at: UtcTime | None
    is_settled_unasked: bool | None = Field(description="whether it had happened before anybody asked")


class AlertList(Shown):
    """Alerts, the newest first."""

    alerts: list[AlertView]
    next_cursor: str | None = Field(description="for the next page; null on the last")


class RuleOutcomes(Shown):
    """What a rule found, and what became of it; `precision_pct` is of hits that officers decided on."""

    rule_id: str
    is_shadow: bool
    is_in_force: bool | None = Field(description="whether the policy in force runs it so; null without a policy")
    alerts: int
    hits: int
    insufficient_history: int
    errors: int = Field(description="times that it could not run")
    transactions: int
    cases: int
    hits_open: int
    hits_accepted: int
    hits_blocked: int
    hits_released: int = Field(description="an officer found nothing wrong")
    hits_rejected: int = Field(description="an officer found it right to stop")
    hits_unknown: int
    precision_pct: Exact | None = Field(description="rejected of rejected and released; null where there are none")


class AlertSummary(Shown):
    """Outcomes by rule; a rule of the policy in force without alerts has zeros."""

    since: UtcTime
    until: UtcTime
    policy_version: str | None = Field(description="the policy in force; null where none is")
    rules: list[RuleOutcomes]


class AddressView(Shown):
    """A wallet's address as this reader may see it."""

    masked: str = Field(description="first six and last four characters")
    keyed_hash: str | None = Field(description="as in the warehouse; null where no key is there")
    address: str | None = Field(description="whole, only where it was asked for by who may see it")


class NodeView(Shown):
    """One end of transfers: the account, or a counterparty."""

    node_id: str
    kind: Literal["account", "counterparty", "unknown_counterparty"]
    account_id: str | None
    address: AddressView | None
    is_of_transaction: bool = Field(description="whether it is the counterparty of the transaction")
    is_listed: bool | None = Field(description="on an active list for more than mixing; null: not known")
    is_mixer: bool | None = Field(description="on an active list as a mixer; null: not known")
    lists: list[str] = Field(description="active lists that name it")


class EdgeView(Shown):
    """All transfers of one direction between the account and a counterparty."""

    source: str
    target: str
    transfers: int
    stopped: int = Field(description="of them blocked or rejected, which moved nothing")
    unpriced: int = Field(description="of them without a price, which the amount leaves out")
    amount_usd: Exact | None = Field(description="of transfers with a price; null where none has one")


class GraphView(Shown):
    """Who the account exchanged value with until the transaction: the largest counterparties, and how many more."""

    since: UtcTime
    until: UtcTime
    nodes: list[NodeView]
    edges: list[EdgeView]
    more_counterparties: int
    more_amount_usd: Exact | None = Field(description="of what is not shown; null where there is nothing priced")


class TransactionCase(Shown):
    """The case that holds, or held, the transaction."""

    case_id: str
    state: str
    priority: str
    outcome: str | None
    assignee: str | None


class TransactionFile(Shown):
    """A transaction as it was judged, and what it stands among."""

    transaction_id: str
    account_id: str
    direction: Direction
    kind: str
    side: str
    asset: str
    quantity: Exact
    amount_usd: Exact | None = Field(description="null: no usable price")
    chain: str
    occurred_at: UtcTime
    received_at: UtcTime
    published_at: UtcTime | None
    counterparty: AddressView | None
    counterparty_country: str | None
    has_travel_rule_data: bool | None
    is_self_hosted: bool | None
    has_ownership_proof: bool | None
    is_settled_unasked: bool
    decision: Decision | None = Field(description="null: not decided yet")
    decision_reason: str | None
    decided_at: UtcTime | None
    policy_version: str | None
    list_versions: dict[str, str]
    results: list[RuleView] = Field(description="every rule's answer; empty until it is judged")
    case: TransactionCase | None
    graph: GraphView
