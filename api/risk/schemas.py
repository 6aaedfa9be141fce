"""Responses of the risk reads; USD, percentages in percent, times UTC."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from api.wire import ExactDecimal, UtcTime, View
from assets.risk.engine.reverse_stress import Measure, NoFall

Usd = Annotated[ExactDecimal, Field(examples=["65000.25"])]
Simulated = Annotated[bool, Field(description="whether any figure rests on prices that the simulator made up")]


class HealthStatus(StrEnum):
    """State of an account; `unpriced` means that its health is not known."""

    HEALTHY = "healthy"
    MARGIN_CALL = "margin_call"
    LIQUIDATION = "liquidation"
    UNPRICED = "unpriced"
    NO_DEBT = "no_debt"


class PriceStatus(StrEnum):
    """Whether a price may be relied upon."""

    OK = "ok"
    DEGRADED = "degraded"
    STALE = "stale"
    MISSING = "missing"


class Side(StrEnum):
    """Which side of an account a position is on."""

    COLLATERAL = "collateral"
    BORROW = "borrow"


class Threshold(StrEnum):
    """A level of health that starts something."""

    MARGIN_CALL = "margin_call"
    LIQUIDATION = "liquidation"


class PositionView(View):
    """One position, valued at the latest price."""

    asset: str = Field(description="symbol", examples=["BTC"])
    side: Side
    quantity: ExactDecimal = Field(description="settled units; below zero where an event may be missing")
    price_usd: Usd | None = Field(description="last price of one unit in USD; null where there never was one")
    valuation_price_usd: Usd | None = Field(
        description="price that the position is valued at: price_usd, less (collateral) or plus (debt) a multiple of "
        "its confidence where the installation asks for it; null without a price"
    )
    exposure_usd: Usd | None = Field(description="quantity times valuation_price_usd; null without a price")
    price_id: str | None = Field(description="the price used")
    price_status: PriceStatus
    price_observed_at: UtcTime | None = Field(description="time of the price's oldest input (UTC)")
    price_age_seconds: int | None = Field(description="age of the price in seconds")
    is_simulated: Simulated


class ExposureTotals(View):
    """Sums over the positions; a sum is null if a position of that side was never priced."""

    collateral_usd: Usd | None = Field(description="value of what is held, in USD")
    borrow_usd: Usd | None = Field(description="value of what is owed, in USD")
    net_usd: Usd | None = Field(description="collateral_usd less borrow_usd; null where either is")
    is_complete: bool = Field(description="false while any price is missing or stale: the sums then rest on old prices")
    unpriced_assets: list[str] = Field(description="assets whose price is missing or stale")


class ExposureView(View):
    """What an account holds and owes now."""

    account_id: str
    positions: list[PositionView] = Field(description="collateral first, largest first; empty once all is closed")
    totals: ExposureTotals
    is_simulated: Simulated


class ThresholdsView(View):
    """Levels of health, in percent."""

    margin_call_pct: ExactDecimal = Field(description="a margin call is due below this")
    liquidation_pct: ExactDecimal = Field(description="collateral is sold below this")
    early_warning_pct: ExactDecimal | None = Field(description="a warning is given below this; null for none")
    recovery_margin_pct: ExactDecimal = Field(description="points above a threshold that end an episode")


class HealthView(View):
    """Margin health of an account now."""

    account_id: str
    status: HealthStatus
    health_pct: ExactDecimal | None = Field(
        description="(collateral - borrow) / borrow in percent; null without debt, or where an asset never had a price"
    )
    collateral_usd: Usd = Field(description="in USD; leaves out assets that never had a price")
    borrow_usd: Usd = Field(description="in USD; leaves out assets that never had a price")
    thresholds: ThresholdsView
    unpriced_assets: list[str] = Field(description="assets whose price is missing or stale; amounts rest on old prices")
    unpriced_reason: str | None = Field(description="why the status is unpriced, in words; else null")
    has_degraded_price: bool = Field(description="whether a price of degraded quality was used")
    is_confidence_unknown: bool = Field(description="whether valuation asks for a confidence that a price lacks")
    has_negative_position: bool = Field(description="whether a position is below zero; an event may be missing")
    price_ids: list[str] = Field(description="prices used")
    oldest_price_at: UtcTime | None = Field(description="time of the oldest price used (UTC)")
    oldest_price_age_seconds: int | None = Field(description="age of the oldest price used, in seconds")
    late_events_pending: int = Field(description="late events that wait for the next compaction")
    last_event_at: UtcTime | None = Field(description="time of the account's last settlement (UTC)")
    is_simulated: Simulated
    measured_at: UtcTime = Field(description="when the figures were read (UTC)")


class LiquidationPriceView(View):
    """The price of one asset, all others held, at which the account reaches a threshold."""

    asset: str = Field(description="the asset whose price moves", examples=["BTC"])
    threshold: Threshold
    threshold_pct: ExactDecimal = Field(description="health of the threshold in percent")
    trigger_price_usd: Usd | None = Field(description="USD for one unit; null with a reason")
    reason: str | None = Field(description="why no positive price does it, as a code", examples=["no_debt"])
    price_usd: Usd | None = Field(description="last price of one unit in USD")
    has_unpriced_other: bool = Field(description="whether another asset's price is stale or missing")
    is_simulated: Simulated


class MarginHealthView(HealthView):
    """Margin health of an account now, with the prices that would change its state."""

    liquidation_prices: list[LiquidationPriceView] = Field(description="one for each asset and threshold")


class PortfolioPage(View):
    """Accounts in order of urgency: unpriced ones, then the lowest health, then those without debt."""

    portfolios: list[HealthView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")


class ValueAtRiskView(View):
    """One estimate; a loss is positive. A fallback has a figure and a reason: never show it as what it replaces."""

    as_of_date: date = Field(description="last day of the window; positions and closes are of its end (UTC)")
    method: str = Field(examples=["historical_simulation"])
    estimator: str = Field(description="how the figure is taken from the losses", examples=["kth_worst_loss"])
    confidence: ExactDecimal = Field(description="as a fraction", examples=["0.99"])
    horizon_days: int = Field(description="horizon in days")
    horizon_rule: str = Field(description="what the horizon rests on", examples=["one_day", "square_root_of_time"])
    window_observations: int = Field(description="scenarios that the estimate asks for")
    observations: int = Field(description="scenarios that were there for the asset with the fewest")
    tail_observations: int = Field(description="k: scenarios in the tail")
    var_usd: Usd | None = Field(description="Value at Risk in USD; null with a reason")
    es_usd: Usd | None = Field(description="Expected Shortfall in USD; null with a reason")
    var_lower_usd: Usd | None = Field(description="lower bound of the interval of var_usd; null where there is none")
    var_upper_usd: Usd | None = Field(description="upper bound of the interval of var_usd; null where there is none")
    es_lower_usd: Usd | None = Field(description="lower bound of the interval of es_usd; null where there is none")
    es_upper_usd: Usd | None = Field(description="upper bound of the interval of es_usd; null where there is none")
    interval_method: str = Field(description="what the interval of var_usd rests on", examples=["order_statistics"])
    interval_confidence: ExactDecimal = Field(description="of the intervals, as a fraction", examples=["0.95"])
    is_fallback: bool = Field(description="whether the method stands in where historical simulation has no figure")
    reason: str | None = Field(description="why there is no figure, or why the method stands in")
    price_set_id: str = Field(description="closes that the scenarios come from")
    is_simulated: Simulated
    seed: int | None = Field(description="of simulated paths; null where none are drawn")
    code_version: str = Field(description="version of the code that computed the estimate")
    computed_at: UtcTime = Field(description="when the estimate was computed (UTC)")


class NoEstimates(StrEnum):
    """Why there is no estimate."""

    NOT_COMPUTED = "not_computed"
    NO_MATCH = "no_match"


class PartKind(StrEnum):
    """What the parts of the book are."""

    ASSET = "asset"
    ACCOUNT = "account"


class VarReport(View):
    """The latest estimates, one for each confidence, horizon, window and method."""

    estimates: list[ValueAtRiskView]
    reason: NoEstimates | None = Field(
        description="why there is no estimate: none is stored, or none fits the filter; null where there are some"
    )


class AccountVarView(VarReport):
    """The latest estimates for one account."""

    account_id: str


class BookComponentView(View):
    """What one part adds to the book's risk; a negative figure hedges it. Null figures have a reason."""

    part_id: str = Field(description="the asset's symbol, or the account", examples=["BTC"])
    as_of_date: date = Field(description="last day of the window (UTC)")
    method: str = Field(examples=["historical_simulation"])
    estimator: str = Field(examples=["kth_worst_loss"])
    confidence: ExactDecimal = Field(description="as a fraction", examples=["0.99"])
    horizon_days: int = Field(description="horizon in days")
    window_observations: int = Field(description="scenarios that the estimate asks for")
    observations: int = Field(description="scenarios that were there")
    tail_observations: int = Field(description="k: scenarios in the tail")
    exposure_usd: Usd | None = Field(description="held less owed, in USD")
    component_var_usd: Usd | None = Field(description="share of book_var_usd; the shares sum to it")
    component_es_usd: Usd | None = Field(description="share of book_es_usd; the shares sum to it")
    marginal_var_ratio: ExactDecimal | None = Field(description="USD of Value at Risk for a USD of exposure")
    incremental_var_usd: Usd | None = Field(description="Value at Risk of the book less that without the part")
    standalone_var_usd: Usd | None = Field(description="Value at Risk of the part alone")
    book_var_usd: Usd | None = Field(description="Value at Risk of the book")
    book_es_usd: Usd | None = Field(description="Expected Shortfall of the book")
    reason: str | None = Field(description="why there is no figure")
    price_set_id: str = Field(description="closes that the scenarios come from")
    is_simulated: Simulated
    code_version: str = Field(description="version of the code that computed the row")
    computed_at: UtcTime = Field(description="when the row was computed (UTC)")


class BookComponentsView(View):
    """Parts of the book, those that add most to its Expected Shortfall first."""

    part_kind: PartKind
    components: list[BookComponentView]
    reason: NoEstimates | None = Field(description="why there is none; null where there are some")


class AssetFallView(View):
    """The smallest fall of one asset, all other prices held, that makes the book lose an amount."""

    asset: str = Field(description="the asset whose price falls", examples=["BTC"])
    measure: Measure = Field(description="equity: collateral less debt; bad_debt: debt beyond its collateral")
    loss_usd: Usd = Field(description="what is to be lost")
    fall_ratio: ExactDecimal | None = Field(description="as a fraction of the price; null with a reason")
    reason: NoFall | None = Field(description="why no fall does it, or why it is unknown")
    accounts: int = Field(description="accounts of the book")
    unpriced_accounts: int = Field(description="accounts of which a side could not be valued")
    as_of_date: date | None = Field(description="day of positions and closes (UTC); null for an empty book")
    price_set_id: str | None = Field(description="closes that it rests on; null for an empty book")


class BookView(View):
    """The book now, and its latest Value at Risk."""

    accounts: int = Field(description="accounts with a position")
    accounts_by_status: dict[HealthStatus, int]
    collateral_usd: Usd = Field(description="in USD; leaves out assets that never had a price")
    borrow_usd: Usd = Field(description="in USD; leaves out assets that never had a price")
    health_pct: ExactDecimal | None = Field(description="health of the whole in percent; null without debt")
    is_complete: bool = Field(description="false while any account with debt is unpriced")
    late_events_pending: int = Field(description="late events that wait for the next compaction")
    oldest_price_age_seconds: int | None = Field(description="age of the oldest price used, in seconds")
    is_simulated: Simulated
    measured_at: UtcTime | None = Field(description="when the figures were read (UTC); null for an empty book")
    value_at_risk: VarReport
