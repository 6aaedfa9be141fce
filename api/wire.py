"""Field types of every response: decimals as strings that keep each digit, times in UTC."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from infra.runtime.clock import as_utc


def plain(value: Decimal) -> str:
    """`value` without an exponent, as every decimal parser reads it."""
    return format(value, "f")


ExactDecimal = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str),
    WithJsonSchema({"type": "string", "format": "decimal", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}),
]
UtcTime = Annotated[datetime, AfterValidator(as_utc)]


class View(BaseModel):
    """A part of a response; built from our own dataclasses, immutable."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


def listed(joined: str | None) -> list[str]:
    """The items of a comma-separated column; empty for NULL."""
    return joined.split(",") if joined else []
