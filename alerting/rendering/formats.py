"""Numbers and times as the people of one locale write them, fast enough for thousands of alerts a second.

The patterns are Babel's and are read once; Babel itself takes longer for one figure than an alert may take.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale
from babel.dates import format_date
from babel.numbers import NumberPattern, get_currency_symbol

_DIGITS = Context(prec=400, traps=[InvalidOperation])
# Beyond this many digits a figure is written with an exponent: it is a fault of the source, and nobody counts zeros.
_MAX_DIGITS = 40
_MAX_PERCENT_DECIMALS = 9
_MAX_PRICE_DECIMALS = 40
_CACHED_DATES = 64
_QUANTA = tuple(Decimal((0, (1,), -decimals)) for decimals in range(_MAX_PRICE_DECIMALS + 1))


class Formats:
    """The number and time formats of one locale."""

    def __init__(self, locale: Locale) -> None:
        symbols = locale.number_symbols["latn"]
        marks = {",": symbols["group"], ".": symbols["decimal"], "-": symbols["minusSign"]}
        self._marks = str.maketrans(marks) if any(mark != sign for mark, sign in marks.items()) else None
        self._minus = symbols["minusSign"]
        self._usd = _affixes(locale.currency_formats["standard"], "¤", get_currency_symbol("USD", locale))
        self._percent = _affixes(locale.percent_formats[None], "%", symbols["percentSign"])
        self._date: Callable[[date], str] = lru_cache(_CACHED_DATES)(lambda day: format_date(day, "medium", locale))

    def usd(self, value: Decimal) -> str:
        """An amount in USD and cents, half to even."""
        return self._framed(value, 2, ROUND_HALF_EVEN, self._usd)

    def usd_raised(self, value: Decimal) -> str:
        """An amount in USD and cents, rounded up: a sum that must suffice."""
        return self._framed(value, 2, ROUND_CEILING, self._usd)

    def price(self, value: Decimal) -> str:
        """The price of one unit in USD: cents from 10 USD, four decimals from one cent, below it four digits."""
        return self._framed(value, _price_decimals(value), ROUND_HALF_EVEN, self._usd)

    def percent(self, value: Decimal, decimals: int = 1) -> str:
        """A percentage, rounded down, so that 29.99 never reads as the threshold 30."""
        return self._framed(value, decimals, ROUND_FLOOR, self._percent)

    def plain_percent(self, value: Decimal) -> str:
        """A percentage with the decimals that it has: `30%`, `97.5%`."""
        return self.percent(value, percent_decimals(value))

    def moment(self, at: datetime, zone: ZoneInfo) -> str:
        """Date and time to the second, with the zone's name."""
        local = at.astimezone(zone)
        clock = f"{local.hour:02}:{local.minute:02}:{local.second:02}"
        name = "UTC" if zone.key == "UTC" else f"({zone.key})"
        return f"{self._date(local.date())}, {clock} {name}"

    def minute(self, at: datetime, zone: ZoneInfo) -> str:
        """Date and time to the minute, without the zone."""
        local = at.astimezone(zone)
        return f"{self._date(local.date())}, {local.hour:02}:{local.minute:02}"

    def _framed(self, value: Decimal, decimals: int, rounding: str, affixes: tuple[str, str, str, str]) -> str:
        if value.adjusted() >= _MAX_DIGITS:
            text = f"{value:.3E}"
        else:
            rounded = value.quantize(_QUANTA[decimals], rounding, _DIGITS)
            text = format(rounded if rounded else abs(rounded), ",f")
        is_negative = text[0] == "-"
        if is_negative:
            text = text[1:]
        if self._marks is not None:
            text = text.translate(self._marks)
        prefix, suffix, negative_prefix, negative_suffix = affixes
        return negative_prefix + text + negative_suffix if is_negative else prefix + text + suffix


def percent_decimals(value: Decimal | None) -> int:
    """How many decimals a percentage has without trailing zeros, at most nine."""
    if value is None or not value:
        return 0
    exponent = value.normalize(_DIGITS).as_tuple().exponent
    return min(max(0, -int(exponent)), _MAX_PERCENT_DECIMALS)


@lru_cache(maxsize=1024)
def zone_of(key: str) -> ZoneInfo:
    """The time zone of that name; UTC, which is always shown with its name, where there is none."""
    try:
        return ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def clock_time(at: datetime, zone: ZoneInfo) -> str:
    """Hour and minute with the zone's short name, for text messages."""
    local = at.astimezone(zone)
    return f"{local.hour:02}:{local.minute:02} {local.tzname() or 'UTC'}"


def _price_decimals(value: Decimal) -> int:
    if not value or value.adjusted() >= 1:
        return 2
    if value.adjusted() >= -2:
        return 4
    return min(3 - value.adjusted(), _MAX_PRICE_DECIMALS)


def _affixes(pattern: NumberPattern, mark: str, symbol: str) -> tuple[str, str, str, str]:
    """What stands before and after a number, then the same for one below zero."""
    prefix, negative_prefix = pattern.prefix
    suffix, negative_suffix = pattern.suffix
    return (
        prefix.replace(mark, symbol),
        suffix.replace(mark, symbol),
        negative_prefix.replace(mark, symbol),
        negative_suffix.replace(mark, symbol),
    )
