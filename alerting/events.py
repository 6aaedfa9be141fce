"""The message of topic `alerts.margin.v1`: one transition of one account's margin severity."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic_core import PydanticSerializationError

from alerting.errors import EventInvalidError, EventVersionError
from infra.runtime.clock import UtcTime

TOPIC = "alerts.margin.v1"
SUBSCRIPTION = "alert-worker"
SCHEMA_VERSION: Literal[1] = 1


class Severity(StrEnum):
    """How an account stands after a transition."""

    EARLY_WARNING = "early_warning"
    MARGIN_CALL = "margin_call"
    LIQUIDATION = "liquidation"
    RECOVERED = "recovered"
    UNPRICED = "unpriced"


def _fixed_point(value: Decimal) -> str:
    return format(value, "f")


WireDecimal = Annotated[Decimal, PlainSerializer(_fixed_point, return_type=str, when_used="json")]
Event = TypeVar("Event", bound=BaseModel)


class LiquidationPrice(BaseModel):
    """The price of one asset at which health reaches a threshold; without a price there is a reason."""

    model_config = ConfigDict(extra="allow", frozen=True)

    asset: str
    threshold_pct: WireDecimal
    price_usd: WireDecimal | None = None
    reason: str | None = None


class MarginEvent(BaseModel):
    """One transition; `margin_event_id` is the same whenever the same transition is decided again.

    `health` and `threshold` are the wire names of `health_pct` and `threshold_pct`, in percent.
    Decimals are strings in JSON. Fields that this release does not know are kept.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    schema_version: Literal[1] = SCHEMA_VERSION
    margin_event_id: str = Field(min_length=1, max_length=200)
    account_id: str = Field(min_length=1, max_length=200)
    severity: Severity
    episode_id: str = Field(min_length=1, max_length=200)
    transition_number: int = Field(ge=1, description="1 for the account's first event, then consecutive")
    previous_severity: Severity | None = Field(default=None, description="null when this event opens the episode")
    health_pct: WireDecimal | None = Field(default=None, alias="health")
    collateral_usd: WireDecimal
    borrow_usd: WireDecimal
    liquidation_prices: tuple[LiquidationPrice, ...] = ()
    price_ids: tuple[str, ...] = ()
    threshold_pct: WireDecimal | None = Field(
        default=None, alias="threshold", description="the threshold that was crossed; null where none was"
    )
    detected_at: UtcTime
    unpriced_assets: tuple[str, ...] = ()
    unpriced_reason: str | None = Field(default=None, description="why the health is not known, in words; else null")
    is_simulated: bool = False

    def to_wire(self) -> bytes:
        """The message as it is published: UTF-8 JSON."""
        return self.model_dump_json().encode()


def parse_margin_event(data: bytes) -> MarginEvent:
    """The event in a message.

    Raises `EventVersionError` for a version other than 1 and `EventInvalidError` for anything else that is no event.
    """
    return parse_event(MarginEvent, "margin event", data)


def parse_event(model: type[Event], what: str, data: bytes) -> Event:
    """The event of this model in a message, of which `what` speaks in errors; all models are of version 1.

    Raises `EventVersionError` for another version and `EventInvalidError` for anything else that is no event.
    """
    try:
        content = json.loads(data, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise EventInvalidError(
            f"The message is not JSON ({error}); publish the wire form of {model.__name__}."
        ) from error
    if not isinstance(content, dict):
        raise EventInvalidError(f"The message is a JSON {type(content).__name__}, not an object.")
    version = content.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise EventVersionError(
            f"schema_version is {str(version)[:40]!r}, this release reads {SCHEMA_VERSION}; "
            "upgrade the worker, then replay the dead letter."
        )
    try:
        event = model.model_validate(content)
        event.model_dump_json()
    except PydanticSerializationError as error:
        raise EventInvalidError(f"The {what} cannot be written again: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise EventInvalidError(f"The {what} is not valid: {wrong}") from error
    return event


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def margin_event_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the wire form."""
    schema = MarginEvent.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": TOPIC, **schema}


def render_json_schema() -> str:
    """The text of the committed schema file."""
    return json.dumps(margin_event_json_schema(), indent=2, sort_keys=True) + "\n"


def seconds_between(event_at: datetime, later: datetime) -> float:
    """Seconds from `event_at` to `later`, to the millisecond."""
    return round((later - event_at).total_seconds(), 3)


if __name__ == "__main__":
    sys.stdout.write(render_json_schema())
