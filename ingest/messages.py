"""The contracts of `market.prices.v1` and `settlement.events.v1`.

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
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticSerializationError

from infra.runtime.clock import as_utc
from infra.runtime.ids import stable_id
from ingest.errors import FromFutureError, InvalidMessageError, UnknownVersionError

ALLOWED_SKEW = timedelta(minutes=2)
PRICE_DECIMALS = 9
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


AssetSymbol = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,11}$", examples=["BTC"])]
AccountId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", examples=["acct-0001"])]
MessageId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
PriceUsd = Annotated[
    Decimal, BeforeValidator(_no_float), Field(gt=0, lt=PRICE_LIMIT, decimal_places=PRICE_DECIMALS, allow_inf_nan=False)
]
ConfidenceUsd = Annotated[
    Decimal, BeforeValidator(_no_float), Field(ge=0, lt=PRICE_LIMIT, decimal_places=PRICE_DECIMALS, allow_inf_nan=False)
]
Quantity = Annotated[
    Decimal,
    BeforeValidator(_no_float),
    Field(gt=0, lt=QUANTITY_LIMIT, decimal_places=QUANTITY_DECIMALS, allow_inf_nan=False),
]
UtcTime = Annotated[AwareDatetime, AfterValidator(as_utc)]


class Quality(StrEnum):
    """Whether a published price may be relied upon."""

    OK = "ok"
    DEGRADED = "degraded"


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
        return json.dumps(self.model_extra, sort_keys=True, default=str) if self.model_extra else None


class PriceSource(BaseModel):
    """One input of a price."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Annotated[str, Field(min_length=1, max_length=64, examples=["chainlink", "pyth", "simulated"])]
    price_usd: PriceUsd | None
    observed_at: UtcTime
    reference: Annotated[str, Field(max_length=128, description="round id, slot, or date of the close")]


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
        """Whether any input was made up by the simulator."""
        return any(source.name == SIMULATED for source in self.sources)


SIMULATED = "simulated"


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


M = TypeVar("M", PriceMessage, SettlementEvent)
_DATED = {PriceMessage: "observed_at", SettlementEvent: "occurred_at"}


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
    dated: datetime = getattr(message, _DATED[model])
    if dated > now + ALLOWED_SKEW:
        raise FromFutureError(f"{_DATED[model]} {dated.isoformat()} lies after the clock ({now.isoformat()})")
    return message


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
