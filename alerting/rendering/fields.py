"""Reading a payload: what is missing or of another type is a `TemplateError` that names the field, never its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from alerting.errors import TemplateError

Payload = Mapping[str, Any]


def required(payload: Payload, name: str) -> Any:
    """The field as it is, which may be null."""
    try:
        return payload[name]
    except KeyError:
        raise TemplateError(f"The payload lacks {name}.") from None


def text(payload: Payload, name: str) -> str:
    """A text that is not empty, on one line."""
    found = optional_text(payload, name)
    if found is None:
        raise TemplateError(f"{name} is empty.")
    return found


def optional_text(payload: Payload, name: str) -> str | None:
    """A text on one line; None where it is null, empty or absent."""
    value = payload.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise TemplateError(f"{name} is a {type(value).__name__}, not a text.")
    return one_line(value) or None


def decimal(payload: Payload, name: str) -> Decimal:
    """A finite number, exact: a decimal, an integer or a text that is one."""
    found = optional_decimal(payload, name)
    if found is None:
        raise TemplateError(f"{name} is null.")
    return found


def optional_decimal(payload: Payload, name: str) -> Decimal | None:
    """A finite number, or None where the field is null; the field must be there."""
    value = required(payload, name)
    if value is None:
        return None
    # A float has lost digits already, and a bool is no amount.
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise TemplateError(f"{name} is a {type(value).__name__}, not an exact number.")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise TemplateError(f"{name} is not a number.") from None
    if not number.is_finite():
        raise TemplateError(f"{name} is not finite.")
    return number


def whole(payload: Payload, name: str) -> int:
    """A whole number."""
    number = decimal(payload, name)
    if number.adjusted() > 30 or number != int(number):
        raise TemplateError(f"{name} is not a whole number.")
    return int(number)


def moment(payload: Payload, name: str) -> datetime:
    """An aware time: a datetime or ISO 8601."""
    value = required(payload, name)
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise TemplateError(f"{name} is not an ISO 8601 time.") from None
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise TemplateError(f"{name} is not a time with its zone.")
    return at


def flag(payload: Payload, name: str) -> bool:
    """A truth value; null or absent is none."""
    value = required(payload, name)
    if not isinstance(value, bool):
        raise TemplateError(f"{name} is neither true nor false.")
    return value


def part(payload: Payload, name: str) -> Payload:
    """An object."""
    value = required(payload, name)
    if not isinstance(value, Mapping):
        raise TemplateError(f"{name} is not an object.")
    return value


def parts(payload: Payload, name: str) -> Sequence[Any]:
    """A list; empty where it is null or absent."""
    value = payload.get(name) or ()
    if not isinstance(value, list | tuple):
        raise TemplateError(f"{name} is not a list.")
    return value


def one_line(value: str) -> str:
    """`value` without line breaks and without what cannot be seen, so that it cannot pass for a line of ours."""
    if value.isprintable():
        return value.strip()
    return "".join(each for each in " ".join(value.split()) if each.isprintable())
