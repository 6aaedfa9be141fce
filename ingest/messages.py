"""The contracts of what comes in: prices with their trace, states of price sources, settlement events.

Decimals travel as JSON strings, so that no reader passes them through a binary float. Unknown fields are kept
(`model_extra`); an unknown `schema_version` is refused.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticSerializationError

from infra.runtime.clock import UtcTime
from infra.runtime.ids import stable_id
from ingest.errors import FromFutureError, InvalidMessageError, UnknownVersionError

SIMULATED = "simulated"
ALLOWED_SKEW = timedelta(minutes=2)
PRICE_DECIMALS = 9
READING_DECIMALS = 38
QUANTITY_DECIMALS = 18
# BIGNUMERIC holds more; 20 digits before the point and 18 after it are what every reader of ours keeps exactly.
QUANTITY_LIMIT = Decimal(10) ** 20
PRICE_LIMIT = Decimal(10) ** 15


PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def _no_float(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError("must be a string such as '0.1': a JSON number loses digits")
    # Decimal also takes '1_000', digits of other scripts and blanks.
    if isinstance(value, str) and not PLAIN_NUMBER.fullmatch(value):
        raise ValueError("must be a plain decimal such as '0.1'")
    return value


SYMBOL_PATTERN = r"^[A-Z][A-Z0-9]{1,11}$"
AssetSymbol = Annotated[str, Field(pattern=SYMBOL_PATTERN, examples=["BTC"])]
AccountId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", examples=["acct-0001"])]
MessageId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
PriceUsd = Annotated[
    Decimal, BeforeValidator(_no_float), Field(gt=0, lt=PRICE_LIMIT, decimal_places=PRICE_DECIMALS, allow_inf_nan=False)
]
ConfidenceUsd = Annotated[
    Decimal, BeforeValidator(_no_float), Field(ge=0, lt=PRICE_LIMIT, decimal_places=PRICE_DECIMALS, allow_inf_nan=False)
]
# A reading keeps what its source gave: Pyth's exponents reach further than NUMERIC, BIGNUMERIC holds 38 decimals.
ReadingUsd = Annotated[
    Decimal,
    BeforeValidator(_no_float),
    Field(gt=0, lt=PRICE_LIMIT, decimal_places=READING_DECIMALS, allow_inf_nan=False),
]
ReadingConfidenceUsd = Annotated[
    Decimal,
    BeforeValidator(_no_float),
    Field(ge=0, lt=PRICE_LIMIT, decimal_places=READING_DECIMALS, allow_inf_nan=False),
]
Quantity = Annotated[
    Decimal,
    BeforeValidator(_no_float),
    Field(gt=0, lt=QUANTITY_LIMIT, decimal_places=QUANTITY_DECIMALS, allow_inf_nan=False),
]
SourceName = Annotated[str, Field(min_length=1, max_length=64, examples=["chainlink", "pyth"])]
Reference = Annotated[str, Field(max_length=128, description="round id, slot, or date of the close")]
Code = Annotated[str, Field(min_length=1, max_length=64, description="stable, for programs")]
Reason = Annotated[str, Field(max_length=500, description="for people; names no secret")]


class Quality(StrEnum):
    """Whether a published price may be relied upon."""

    OK = "ok"
    DEGRADED = "degraded"


class BreakerState(StrEnum):
    """Whether a source counts: closed does, open does not, half-open must first show that it is well again."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Side(StrEnum):
    """Which side of an account a settlement changes."""

    COLLATERAL = "collateral"
    BORROW = "borrow"


class Kind(StrEnum):
    """What a settlement did."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    SEIZURE = "seizure"
    DRAW = "draw"
    REPAYMENT = "repayment"
    INTEREST = "interest"


KINDS_OF_SIDE: dict[Side, frozenset[Kind]] = {
    Side.COLLATERAL: frozenset({Kind.DEPOSIT, Kind.WITHDRAWAL, Kind.SEIZURE, Kind.INTEREST}),
    Side.BORROW: frozenset({Kind.DRAW, Kind.REPAYMENT, Kind.INTEREST}),
}
DECREASES = frozenset({Kind.WITHDRAWAL, Kind.SEIZURE, Kind.REPAYMENT})


class Message(BaseModel):
    """What all our messages share: immutable, unknown fields kept, a version."""

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: Literal[1] = 1

    def to_json(self) -> bytes:
        """The message as it travels."""
        return self.model_dump_json(by_alias=True).encode()

    def unknown_fields(self) -> str | None:
        """The fields that this version does not know, as JSON text; None where there are none."""
        return unknown_fields(self)


def unknown_fields(*parts: BaseModel) -> str | None:
    """The fields of the parts that this version does not know, as JSON text; None where there are none."""
    found = {name: value for part in parts for name, value in (part.model_extra or {}).items()}
    return json.dumps(found, sort_keys=True, default=str) if found else None


class PriceSource(BaseModel):
    """One input of a price."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Annotated[str, Field(min_length=1, max_length=64, examples=["chainlink", "pyth", SIMULATED])]
    price_usd: PriceUsd | None
    observed_at: UtcTime
    reference: Reference
    is_simulated: bool = Field(default=False, description="whether the source serves made-up prices")


class PriceMessage(Message):
    """One price of one asset in USD; `price_usd` is None only where quality is degraded and no price exists."""

    price_id: MessageId
    asset: AssetSymbol
    price_usd: PriceUsd | None
    confidence_usd: ConfidenceUsd | None = None
    sources: Annotated[list[PriceSource], Field(min_length=1, max_length=16)]
    observed_at: UtcTime = Field(description="the oldest input's time")
    published_at: UtcTime
    quality: Quality = Quality.OK
    degraded_reason: Annotated[str, Field(max_length=500)] | None = None

    @model_validator(mode="after")
    def _quality_is_explained(self) -> Self:
        if self.quality is Quality.OK and self.price_usd is None:
            raise ValueError("quality ok needs a price_usd")
        if self.quality is Quality.DEGRADED and not self.degraded_reason:
            raise ValueError("quality degraded needs a degraded_reason")
        return self

    @property
    def is_simulated(self) -> bool:
        """Whether any input was made up."""
        return any(source.name == SIMULATED or source.is_simulated for source in self.sources)


class PriceInput(BaseModel):
    """One reading that the oracle looked at for a price, used or not; prices exactly as the source gave them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    tick_id: MessageId
    source: SourceName
    price_usd: ReadingUsd
    confidence_usd: ReadingConfidenceUsd | None = None
    observed_at: UtcTime
    received_at: UtcTime
    reference: Reference
    is_simulated: bool = False
    used: bool
    exclusion_code: Code | None = None
    exclusion_reason: Reason | None = None

    @model_validator(mode="after")
    def _exclusion_is_explained(self) -> Self:
        if self.used != (self.exclusion_code is None):
            raise ValueError("exclusion_code stands where, and only where, the input is not used")
        return self


class RejectedReading(BaseModel):
    """A reading that could not be used at all, received since the price before."""

    model_config = ConfigDict(frozen=True, extra="allow")

    source: SourceName
    code: Code
    reason: Reason
    received_at: UtcTime
    reference: Reference = ""


class PriceTicksMessage(Message):
    """The trace of one published price: every reading that was looked at, and what became of it."""

    price_id: MessageId
    asset: AssetSymbol
    published_at: UtcTime
    inputs: Annotated[list[PriceInput], Field(max_length=16)]
    rejections: Annotated[list[RejectedReading], Field(max_length=32)] = []


class OracleSourceMessage(Message):
    """How the oracle stood to one of its sources at `stated_at`; `since` is when that state began."""

    state_id: MessageId
    source: SourceName
    state: BreakerState
    since: UtcTime
    failures: Annotated[int, Field(ge=0, description="failures in a row")]
    last_error_code: Code | None = None
    last_error_reason: Reason | None = None
    last_error_at: UtcTime | None = None
    last_answered_at: UtcTime | None = None
    last_tick_at: UtcTime | None = None
    stated_at: UtcTime


# What only who settles can say, and monitoring asks for; null: not stated.
Stated = bool | None
STATEMENTS = ("has_travel_rule_data", "is_self_hosted", "has_ownership_proof")


class SettlementEvent(Message):
    """One settled movement of one asset on one side of one account; `quantity` is positive, the kind gives the sign."""

    event_id: MessageId
    account_id: AccountId
    asset: AssetSymbol
    side: Side
    kind: Kind
    quantity: Quantity
    occurred_at: UtcTime
    chain: Annotated[str, Field(min_length=1, max_length=32, examples=["ethereum"])]
    tx_hash: Annotated[str, Field(min_length=1, max_length=128)]
    counterparty_address: Annotated[str, Field(max_length=128)] | None = None
    counterparty_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")] | None = None
    has_travel_rule_data: Stated = Field(default=None, description="whether originator and beneficiary are known")
    is_self_hosted: Stated = Field(default=None, description="whether the counterparty's wallet is self-hosted")
    has_ownership_proof: Stated = Field(default=None, description="whether that wallet is proven to be the customer's")

    @model_validator(mode="after")
    def _kind_fits_side(self) -> Self:
        if self.kind not in KINDS_OF_SIDE[self.side]:
            fitting = ", ".join(sorted(KINDS_OF_SIDE[self.side]))
            raise ValueError(f"kind {self.kind} does not exist on side {self.side}; it may be {fitting}")
        return self

    @property
    def signed_quantity(self) -> Decimal:
        """What the event adds to the position (negative where it takes away)."""
        return -self.quantity if self.kind in DECREASES else self.quantity


def price_id(asset: str, observed_at: datetime, price_usd: Decimal | None, references: list[str]) -> str:
    """The deterministic id of a price: the same inputs published twice are one price."""
    return stable_id("px", asset, observed_at.isoformat(), price_usd, *references)


M = TypeVar("M", PriceMessage, PriceTicksMessage, OracleSourceMessage, SettlementEvent)
_DATED = {
    # The one published last is in force, so one dated ahead would stay so.
    PriceMessage: ("observed_at", "published_at"),
    # Its inputs may be dated in the future: that is then why they were not used.
    PriceTicksMessage: ("published_at",),
    OracleSourceMessage: ("stated_at",),
    SettlementEvent: ("occurred_at",),
}


def parse_message(model: type[M], data: bytes, now: datetime) -> M:
    """Read one message; raises `InvalidMessageError` (or a subclass) that names each wrong field, never its value.

    `now` is the reader's clock: a message dated more than `ALLOWED_SKEW` after it is refused.
    """
    try:
        raw = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidMessageError(f"not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise InvalidMessageError("not a JSON object")
    version = raw.get("schema_version")
    if type(version) is not int or version != 1:
        raise UnknownVersionError(f"schema_version {repr(version)[:40]} is unknown; this reader knows 1")
    try:
        message = model.model_validate(raw)
        message.to_json()
    except PydanticSerializationError:
        raise InvalidMessageError("a text holds half of a surrogate pair, which no UTF-8 writes") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in error.errors())
        raise InvalidMessageError(wrong) from None
    for name in _DATED[model]:
        dated: datetime = getattr(message, name)
        if dated > now + ALLOWED_SKEW:
            raise FromFutureError(f"{name} {dated.isoformat()} lies after the clock ({now.isoformat()})")
    return message


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
