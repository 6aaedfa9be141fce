"""What the control of the local Hermes takes and gives."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ingest.messages import PRICE_LIMIT, AssetSymbol

# Pyth's exponents hold more decimals than our messages do.
Price = Annotated[Decimal, Field(gt=0, lt=PRICE_LIMIT, decimal_places=12, allow_inf_nan=False)]


class FailureMode(StrEnum):
    """What goes wrong.

    `http_*` answers every data route with that status and ends open streams. `silent` sends keep-alives only; `frozen`
    repeats the last update for ever. `error_event` and `reset` end streams, with an event or without a word. The
    others spoil each update: no JSON, parsed prices that the binary data contradicts, no binary data, a publish time
    one hour ahead, a negative price. `slow` delays every answer and every event by `delay_s`.
    """

    FROZEN = "frozen"
    SILENT = "silent"
    HTTP_401 = "http_401"
    HTTP_403 = "http_403"
    HTTP_429 = "http_429"
    HTTP_500 = "http_500"
    ERROR_EVENT = "error_event"
    RESET = "reset"
    MALFORMED = "malformed"
    PARSED_MISMATCH = "parsed_mismatch"
    NO_BINARY = "no_binary"
    FROM_FUTURE = "from_future"
    NEGATIVE = "negative"
    SLOW = "slow"


class PriceRequest(BaseModel):
    """New prices in USD; they are published at once, together with all others.

    With `publish_time` (seconds UTC) only the named assets are published, dated so; the next period dates them freshly.
    """

    model_config = ConfigDict(extra="forbid")

    prices: Annotated[dict[AssetSymbol, Price], Field(min_length=1)]
    confidence_bp: Annotated[Decimal, Field(ge=0, le=10_000)] = Decimal(5)
    publish_time: Annotated[int, Field(gt=0, lt=2**32)] | None = None
    expo: Annotated[int, Field(ge=-12, le=0)] = -8


class FailureRequest(BaseModel):
    """Replaces the failure before; lasts for `count` answers or events, for `seconds`, or until it is healed."""

    model_config = ConfigDict(extra="forbid")

    mode: FailureMode
    count: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    retry_after: Annotated[int, Field(ge=0, le=86_400)] | None = None
    text: Annotated[str, Field(max_length=500, pattern=r"^[^\r\n]*$")] = "Slow consumer: disconnected"
    delay_s: Annotated[float, Field(ge=0, le=300)] = 5.0


class PriceState(BaseModel):
    """One price as it stands."""

    price_usd: Decimal
    confidence_usd: Decimal
    expo: int
    publish_time: int


class HermesState(BaseModel):
    """What the server serves, has been asked and does wrong; `requests` counts them by path since the start."""

    prices: dict[str, PriceState]
    slot: int
    requests: dict[str, int]
    open_streams: int
    failure: FailureRequest | None
