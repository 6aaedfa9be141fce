"""What callers see of prices and of their sources; USD for one unit, as strings that keep every digit, times UTC."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from infra.runtime.clock import as_utc
from infra.runtime.cursors import OpaqueCursor
from ingest.messages import BreakerState

ExactDecimal = Annotated[
    Decimal,
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
    WithJsonSchema({"type": "string", "format": "decimal", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}),
]
Usd = Annotated[ExactDecimal, Field(examples=["65000.25"])]
UtcTime = Annotated[datetime, AfterValidator(as_utc)]


class View(BaseModel):
    """A part of a response."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class PriceState(StrEnum):
    """Whether a price may be relied upon now."""

    OK = "ok"
    DEGRADED = "degraded"
    STALE = "stale"
    MISSING = "missing"


class PriceInputView(View):
    """One input of a price, as the price named it."""

    name: str = Field(description="source", examples=["chainlink"])
    price_usd: Usd | None = Field(description="null where the source gave none")
    observed_at: UtcTime = Field(description="the source's time (UTC)")
    reference: str = Field(description="round id, slot, or day of the close")
    is_simulated: bool = Field(description="whether the source serves made-up prices")


class PriceView(View):
    """The last price of one asset."""

    asset: str = Field(description="symbol", examples=["BTC"])
    status: PriceState
    price_usd: Usd | None = Field(description="null where there is no price: an older one is not repeated")
    confidence_usd: Usd | None = Field(description="half width of the interval; null where no source gave one")
    quality: Literal["ok", "degraded"] | None = Field(description="as it was published; null if nothing was")
    reason: str | None = Field(description="why the status is not ok")
    price_id: str | None
    observed_at: UtcTime | None = Field(description="time of the oldest input (UTC)")
    published_at: UtcTime | None = Field(description="when the oracle published it (UTC)")
    age_seconds: int | None = Field(description="whole seconds since observed_at")
    is_simulated: bool | None = Field(description="whether any input was made up")
    sources: list[PriceInputView]


class PriceList(View):
    """The last price of every asset, by symbol."""

    prices: list[PriceView]


class TickView(View):
    """One reading that was looked at for a price; one that was rejected has no price and no tick_id."""

    source: str = Field(examples=["pyth"])
    tick_id: str | None
    price_usd: Usd | None = Field(description="exactly as the source gave it")
    confidence_usd: Usd | None
    observed_at: UtcTime | None = Field(description="the source's time (UTC)")
    received_at: UtcTime = Field(description="when the oracle received it (UTC)")
    reference: str = Field(description="round id or slot; empty where it has none")
    used: bool = Field(description="whether the price rests on it")
    exclusion_code: str | None = Field(description="why it was not used, for programs", examples=["stale"])
    exclusion_reason: str | None = Field(description="why it was not used, for people")


class PriceTraceView(PriceView):
    """The last price of one asset with everything that was looked at for it."""

    inputs: list[TickView] = Field(description="empty where the price came without a trace")


class PublishedPriceView(View):
    """One price as it was published."""

    price_id: str
    price_usd: Usd | None
    confidence_usd: Usd | None
    quality: Literal["ok", "degraded"]
    reason: str | None = Field(description="why the quality is degraded")
    observed_at: UtcTime = Field(description="time of the oldest input (UTC)")
    published_at: UtcTime = Field(description="when the oracle published it (UTC)")
    is_simulated: bool
    sources: list[PriceInputView]


class PriceHistoryPage(View):
    """Prices of one asset, newest first."""

    asset: str
    prices: list[PublishedPriceView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")


class OracleSourceView(View):
    """How the oracle stands to one of its sources."""

    source: str = Field(examples=["chainlink"])
    state: Literal["closed", "half_open", "open", "unknown"] = Field(
        description="closed: it counts; half_open: on probation; open: it does not count; unknown: the oracle is silent"
    )
    since: UtcTime | None = Field(description="when that state began (UTC); null where it is unknown")
    last_known_state: BreakerState | None
    failures: int = Field(description="failures in a row when it was last told")
    last_error_code: str | None
    last_error_reason: str | None
    last_error_at: UtcTime | None = Field(description="UTC")
    last_answered_at: UtcTime | None = Field(description="when it was last read completely (UTC)")
    last_tick_at: UtcTime | None = Field(description="when it last gave a reading (UTC)")
    stated_at: UtcTime | None = Field(description="when the oracle last said so (UTC)")
    age_seconds: int | None = Field(description="whole seconds since stated_at")


class OracleSourceList(View):
    """Every source, by name."""

    sources: list[OracleSourceView]


class HistoryCursor(OpaqueCursor):
    """The place behind one price in its history; opaque to callers."""

    published_at: UtcTime = Field(alias="t")
    price_id: str = Field(min_length=1, max_length=128, alias="p")
