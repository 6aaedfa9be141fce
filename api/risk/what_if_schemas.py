"""Request and response of the what-if; USD, percentages in percent, times UTC."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from api.risk.schemas import HealthStatus, LiquidationPriceView, Side, Simulated, Usd, ValueAtRiskView
from api.wire import ExactDecimal, UtcTime, View
from assets.risk.engine.levels import STANDARD_CONFIDENCES
from assets.risk.engine.methods import FALLBACK_MIN_OBSERVATIONS, STANDARD_HORIZONS, STANDARD_WINDOW, Method
from ingest.messages import AccountId, AssetSymbol, PriceUsd, Quantity

MAX_POSITIONS = 500
MAX_CONFIDENCES = 8
MAX_WINDOW = 2_000
DEFAULT_DEADLINE_MS = 5_000
# Below what a request may last, so that what was found in time still arrives.
MAX_DEADLINE_MS = 15_000
RATIO_DECIMALS = 9
LOWEST_PCT, HIGHEST_PCT = -100, 1_000_000


def _unique(values: list[Any]) -> list[Any]:
    """Each value once, as it came first."""
    return list(dict.fromkeys(values))


_DECIMAL_SCHEMA = {"type": "string", "format": "decimal", "pattern": r"^[0-9]+(\.[0-9]+)?$"}
PositiveQuantity = Annotated[Quantity, WithJsonSchema(_DECIMAL_SCHEMA | {"examples": ["1.25"]})]
PositivePrice = Annotated[PriceUsd, WithJsonSchema(_DECIMAL_SCHEMA | {"examples": ["65000.25"]})]
Confidence = Annotated[
    Decimal,
    Field(gt=Decimal("0.5"), lt=1, decimal_places=RATIO_DECIMALS, allow_inf_nan=False),
    WithJsonSchema(_DECIMAL_SCHEMA | {"examples": ["0.99"]}),
]
Percent = Annotated[
    Decimal,
    Field(ge=LOWEST_PCT, le=HIGHEST_PCT, decimal_places=RATIO_DECIMALS, allow_inf_nan=False),
    WithJsonSchema({"type": "string", "format": "decimal", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["30"]}),
]
TargetPercent = Annotated[Percent, Field(gt=LOWEST_PCT)]
Horizon = Literal[1, 10]


class Request(BaseModel):
    """A part of a request: immutable, and a field that is not known is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PositionInput(Request):
    """One position; those of the same asset and side are summed."""

    asset: AssetSymbol
    side: Side
    quantity: PositiveQuantity = Field(description="units, above zero; a string, for a JSON number loses digits")
    price_usd: PositivePrice | None = Field(default=None, description="price of one unit in place of the last close")


class ThresholdsInput(Request):
    """Levels of health in percent; left out: those of the installation."""

    margin_call_pct: Percent | None = Field(default=None, description="a margin call is due below this")
    liquidation_pct: Percent | None = Field(default=None, description="collateral is sold below this")
    cure_target_pct: TargetPercent | None = Field(
        default=None, description="health that the cure amounts restore; the margin call's threshold unless given"
    )


class WhatIfRequest(Request):
    """A portfolio that need not exist, and what is asked about it. Nothing of it is stored or logged."""

    account_id: AccountId | None = Field(default=None, description="a label that comes back; no account is read")
    positions: list[PositionInput] = Field(min_length=1, max_length=MAX_POSITIONS)
    prices: dict[AssetSymbol, PositivePrice] = Field(
        default_factory=dict,
        max_length=MAX_POSITIONS,
        description="prices of one unit in place of the last closes, by asset; of assets without a position: unused",
    )
    as_of: date | None = Field(
        default=None, description="last day of the window; the price set's last day unless given"
    )
    methods: Annotated[list[Method], AfterValidator(_unique), Field(min_length=1)] | None = Field(
        default=None,
        description="left out: historical simulation, or its fallback where it has no figure; each that is named has "
        "rows of its own, without a stand-in except past the deadline",
    )
    confidences: Annotated[list[Confidence], AfterValidator(_unique)] = Field(
        default=list(STANDARD_CONFIDENCES),
        min_length=1,
        max_length=MAX_CONFIDENCES,
        description="as fractions, each above 0.5 and below 1",
    )
    horizons_days: Annotated[list[Horizon], AfterValidator(_unique)] = Field(
        default=[1], min_length=1, max_length=len(STANDARD_HORIZONS)
    )
    window: int = Field(
        default=STANDARD_WINDOW, ge=FALLBACK_MIN_OBSERVATIONS, le=MAX_WINDOW, description="observations in days"
    )
    thresholds: ThresholdsInput = ThresholdsInput()
    intervals: bool = Field(default=True, description="whether to bootstrap intervals, which takes most of the time")
    deadline_ms: int = Field(
        default=DEFAULT_DEADLINE_MS,
        ge=1,
        le=MAX_DEADLINE_MS,
        description="milliseconds after which no further method is begun: it has no figure then, and EWMA delta-normal "
        "stands in",
    )

    @model_validator(mode="after")
    def _one_price_each(self) -> Self:
        given = {(each.asset, each.price_usd) for each in self.positions if each.price_usd is not None}
        given |= {(asset, price) for asset, price in self.prices.items() if asset in {a for a, _ in given}}
        assets = [asset for asset, _ in given]
        twice = sorted({asset for asset in assets if assets.count(asset) > 1})
        if twice:
            raise ValueError(f"more than one price is given for {', '.join(twice)}; give one")
        return self


class PriceSource(StrEnum):
    """Where the price that a position is valued at comes from."""

    CLOSE = "close"
    OVERRIDE = "override"


class AssetView(View):
    """One asset of the portfolio, and the price it is valued at."""

    asset: str
    collateral_quantity: ExactDecimal = Field(description="units held")
    borrow_quantity: ExactDecimal = Field(description="units owed")
    net_exposure_usd: Usd = Field(description="held less owed, in USD; what Value at Risk is estimated of")
    price_usd: Usd = Field(description="price of one unit in USD")
    price_source: PriceSource = Field(description="close: the last one of the price set; override: of the request")
    price_date: date | None = Field(description="day of the close (UTC); null for an override")
    is_simulated: bool = Field(description="whether closes of the asset are simulated")


class CureView(View):
    """USD that bring health to the target, rounded up: deposited, or else repaid. Zero where it is there already."""

    target_pct: ExactDecimal = Field(description="health in percent that is to be reached")
    deposit_usd: Usd = Field(description="value of collateral to add")
    repay_usd: Usd | None = Field(description="value of debt to pay back")


class WhatIfThresholdsView(View):
    """Levels of health that were used, in percent."""

    margin_call_pct: ExactDecimal = Field(description="a margin call is due below this")
    liquidation_pct: ExactDecimal = Field(description="collateral is sold below this")


class WhatIfHealthView(View):
    """Margin health of the portfolio at the prices used."""

    status: HealthStatus
    health_pct: ExactDecimal | None = Field(description="(collateral - borrow) / borrow in percent; null without debt")
    collateral_usd: Usd
    borrow_usd: Usd
    thresholds: WhatIfThresholdsView
    cure: CureView


class ComponentView(View):
    """What one asset adds to the figures of the whole; a negative one hedges it."""

    asset: str
    exposure_usd: Usd = Field(description="held less owed, in USD")
    component_var_usd: Usd
    component_es_usd: Usd
    marginal_var_ratio: ExactDecimal | None = Field(description="USD of Value at Risk for a USD of exposure")
    incremental_var_usd: Usd = Field(description="Value at Risk of the whole less that without the asset")
    standalone_var_usd: Usd = Field(description="Value at Risk of the asset alone")


class ComponentsView(View):
    """Allocation of Value at Risk and Expected Shortfall by historical simulation to the assets."""

    method: Method
    confidence: ExactDecimal
    horizon_days: int
    window_observations: int
    var_usd: Usd = Field(description="sum of component_var_usd: the estimate, but for the rounding of each component")
    es_usd: Usd = Field(description="sum of component_es_usd: likewise")
    assets: list[ComponentView]


class WhatIfView(View):
    """Health, trigger prices, risk and its components of a portfolio that need not exist."""

    account_id: str | None = Field(description="the label of the request")
    as_of_date: date = Field(description="last day of the window (UTC)")
    price_set_id: str = Field(description="closes that everything rests on")
    is_simulated: Simulated
    code_version: str = Field(description="version of the code that computed this")
    computed_at: UtcTime
    assets: list[AssetView]
    health: WhatIfHealthView
    liquidation_prices: list[LiquidationPriceView] = Field(description="one for each asset and threshold")
    estimates: list[ValueAtRiskView] = Field(description="one for each method, horizon and confidence")
    components: list[ComponentsView] = Field(description="one for each horizon and confidence")
    components_reason: str | None = Field(description="why components are missing; null where none is")
