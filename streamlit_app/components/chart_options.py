"""What the charts of the risk pages have in common: units, bins, and options of ECharts that carry their words.

Each point has its words as its name, for functions do not reach the browser: hovering shows them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

MOST_BINS = 48
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_UNITS = ((1e9, "billion USD"), (1e6, "million USD"), (1e3, "thousand USD"))
# Paul Tol's "bright" scheme again; the theme of the page gives all other colours.
CALM, ALARM, SECOND, QUIET = "#4477AA", "#CC3311", "#AA3377", "#8A94A3"
WARNING = "#EE7733"

Option = dict[str, Any]


@dataclass(frozen=True)
class Bin:
    """Values from `low` up to, but not with, `high`; how many lie `beyond` a limit and how many `within` it."""

    low: float
    high: float
    beyond: int
    within: int

    @property
    def middle(self) -> float:
        """Where the column stands."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Unit:
    """What an axis counts in."""

    divisor: float
    words: str

    def of(self, value: Decimal | float) -> float:
        """The value on the axis."""
        return round(float(value) / self.divisor, 6)


def unit_of(values: Sequence[Decimal | float]) -> Unit:
    """The unit in which the largest value has the fewest digits before its point."""
    largest = max((abs(float(value)) for value in values), default=0.0)
    # Two digits more than one: 1,500 USD reads better than 1.5 thousand.
    found = next(((divisor, words) for divisor, words in _UNITS if largest >= 10 * divisor), (1.0, "USD"))
    return Unit(*found)


def bins(values: Sequence[Decimal], limit: Decimal | None = None, most: int = MOST_BINS) -> list[Bin]:
    """Equal bins with round edges over all values; what is at or below `limit`, to the cent, lies beyond it."""
    if not values:
        return []
    low, high = float(min(values)), float(max(values))
    step = _round_step((high - low) / most or abs(low) / most or 1.0)
    first = math.floor(low / step)
    counts: dict[int, list[int]] = {place: [0, 0] for place in range(first, math.floor(high / step) + 1)}
    for value in values:
        # A value on an edge must not fall out by a rounding error.
        place = min(max(math.floor(float(value) / step), first), math.floor(high / step))
        counts[place][0 if is_beyond(value, limit) else 1] += 1
    return [Bin(place * step, (place + 1) * step, *found) for place, found in counts.items()]


def is_beyond(value: Decimal, limit: Decimal | None) -> bool:
    """Whether a P&L is at or below a limit; to the cent, for the two were added up in different orders."""
    return limit is not None and round(value, 2) <= round(limit, 2)


def base(*, legend: bool = True, has_x_name: bool = False, has_y_name: bool = True) -> Option:
    """A frame with room for its labels and names, a legend, and words at the pointer."""
    top = 8 + (28 if legend else 0) + (24 if has_y_name else 0)
    return {
        "grid": {"left": 10, "right": 24, "top": top, "bottom": 36 if has_x_name else 10, "containLabel": True},
        "legend": {"show": legend, "top": 0, "left": 0, "type": "scroll"},
        "tooltip": {"trigger": "item", "formatter": "{b}", "confine": True},
    }


def x_axis(name: str, **more: Any) -> Option:
    """An axis of numbers across, with its unit below."""
    found = {"type": "value", "name": name, "nameLocation": "middle", "nameGap": 28, "axisLabel": {"hideOverlap": True}}
    return found | more


def y_axis(name: str, align: str = "left", **more: Any) -> Option:
    """An axis of numbers upwards, with its unit above."""
    found = {"type": "value", "name": name, "nameLocation": "end", "nameGap": 12, "nameTextStyle": {"align": align}}
    return found | more


def time_axis(**more: Any) -> Option:
    """An axis of times in UTC."""
    return {"type": "time", "axisLabel": {"hideOverlap": True}, **more}


def point(x: date | datetime | float | str, y: float | None, words: str, **more: Any) -> Option:
    """One point with the words that hovering shows."""
    return {"name": words, "value": [x.isoformat() if isinstance(x, date) else x, y], **more}


def series(kind: str, name: str, data: Sequence[Mapping[str, Any]], colour: str, **more: Any) -> Option:
    """A series in one colour."""
    return {"type": kind, "name": name, "data": list(data), "itemStyle": {"color": colour}, **more}


def mark(
    at: float, words: str, colour: str, kind: str = "solid", axis: str = "xAxis", position: str = "insideEndTop"
) -> Option:
    """A line across the chart at a value, with its words along it: `...Top` on the left of an upright line."""
    return {
        axis: at,
        "name": words,
        "lineStyle": {"color": colour, "type": kind, "width": 2},
        "label": {"formatter": "{b}", "position": position},
    }


def _round_step(least: float) -> float:
    """The smallest round number that is not less."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-12))
