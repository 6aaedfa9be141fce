"""What Hermes answers, as far as the source uses it.

Source: pyth-network/pyth-crosschain, apps/hermes/server/src/api/types.rs.
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ingest.prices.pyth.errors import AccumulatorError, HermesError

INT32, INT64 = 2**31, 2**63


def _feed_id(value: object) -> object:
    return value.lower().removeprefix("0x") if isinstance(value, str) else value


FeedId = Annotated[str, BeforeValidator(_feed_id), Field(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[int, Field(strict=True, ge=-INT64, lt=INT64)]


class Encoding(StrEnum):
    """How binary data is written in JSON."""

    HEX = "hex"
    BASE64 = "base64"


class HermesPrice(BaseModel):
    """`price` and `conf` times 10 to the power of `expo`; `publish_time` in seconds UTC."""

    model_config = ConfigDict(frozen=True)

    price: Annotated[str, Field(pattern=r"^-?[0-9]{1,19}$")]
    conf: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
    expo: Annotated[int, Field(strict=True, ge=-INT32, lt=INT32)]
    publish_time: Seconds


class ParsedPrice(BaseModel):
    """The readable form of one feed's message; what it says counts only once it equals the message."""

    model_config = ConfigDict(frozen=True)

    id: FeedId
    price: HermesPrice


class BinaryUpdate(BaseModel):
    """Accumulator updates as text."""

    model_config = ConfigDict(frozen=True)

    encoding: Encoding
    data: list[str]

    def decoded(self) -> list[bytes]:
        """The updates as bytes; raises `AccumulatorError` where they are not of their encoding."""
        try:
            if self.encoding is Encoding.HEX:
                return [bytes.fromhex(text.removeprefix("0x")) for text in self.data]
            return [base64.b64decode(text, validate=True) for text in self.data]
        except (ValueError, binascii.Error):
            raise AccumulatorError(f"The binary data is not {self.encoding}.") from None


class PriceUpdate(BaseModel):
    """The body of an answer and the data of an event."""

    model_config = ConfigDict(frozen=True)

    binary: BinaryUpdate | None = None
    parsed: list[ParsedPrice]


def parse_update(text: str | bytes) -> PriceUpdate:
    """Read a body; raises `HermesError` (malformed) that names the wrong fields, never their values."""
    try:
        return PriceUpdate.model_validate_json(text)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['type']}" for e in error.errors()[:5])
        raise HermesError("malformed", f"Hermes sent an update that is not of its contract ({wrong}).") from None
