"""The history of an account's health as a chart of ECharts, in words, and as a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from assets.risk.account_queries import HealthBucket
from assets.risk.queries import MarginEventRow, MarginHealth
from streamlit_app.components import formats, markup
from streamlit_app.components.markup import Cell, Column, text

# Without a snapshot for longer than this many spans the line breaks: nobody knows what was between.
GAP_SPANS = 3
# Middle tones that keep their contrast on the light and on the dark ground; shapes tell the events apart too.
EVENT_SHAPES = {
    "early_warning": ("circle", "#B08D1A"),
    "margin_call": ("diamond", "#D07A12"),
    "liquidation": ("triangle", "#CC4637"),
    "recovered": ("roundRect", "#2F978C"),
    "unpriced": ("pin", "#7C8796"),
}
LINE_COLOUR = "#3B7CC4"


def option(
    trail: Sequence[HealthBucket],
    events: Sequence[MarginEventRow],
    account: MarginHealth,
    bucket: timedelta,
    since: datetime,
    until: datetime,
) -> dict[str, Any]:
    """The chart's option: the line, its thresholds, and the events as marks of their own shapes."""
    series: list[dict[str, Any]] = [
        {
            "name": "Lowest health",
            "type": "line",
            "data": line(trail, bucket),
            "showSymbol": len(trail) < 3,
            "symbolSize": 7,
            "connectNulls": False,
            "lineStyle": {"width": 2},
            "color": LINE_COLOUR,
            "markLine": {
                "symbol": "none",
                "silent": True,
                "data": [
                    _threshold("Margin call", account.margin_call_threshold_pct, "#D07A12", "dashed"),
                    _threshold("Liquidation", account.liquidation_threshold_pct, "#CC4637", "solid"),
                ],
            },
        }
    ]
    floor = min((float(each.lowest_health_pct) for each in trail if each.lowest_health_pct is not None), default=0.0)
    # Both thresholds stand on the chart, however far away the line is.
    lowest = math.floor(min(floor, float(account.liquidation_threshold_pct)) / 5) * 5 - 5
    for severity, (shape, colour) in EVENT_SHAPES.items():
        points = [
            [event.detected_at.isoformat(), _rounded(event.health_pct) if event.health_pct is not None else floor]
            for event in events
            if event.severity == severity
        ]
        if points:
            name = formats.words(severity, formats.SEVERITY_WORDS)
            series.append(
                {"name": name, "type": "scatter", "data": points, "symbol": shape, "symbolSize": 13, "color": colour}
            )
    return {
        "useUTC": True,
        "grid": {"left": 56, "right": 24, "top": 40, "bottom": 40},
        "legend": {"top": 0, "type": "scroll"},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "time", "min": since.isoformat(), "max": until.isoformat(), "name": "UTC"},
        "yAxis": {"type": "value", "min": lowest, "axisLabel": {"formatter": "{value}%"}},
        "series": series,
    }


def line(trail: Sequence[HealthBucket], bucket: timedelta) -> list[list[Any]]:
    """Points of the line: time and percent; a gap where there was no health, or no snapshot for a while."""
    points: list[list[Any]] = []
    before: datetime | None = None
    for each in trail:
        if before is not None and each.bucket_at - before > GAP_SPANS * bucket:
            points.append([(before + bucket).isoformat(), None])
        points.append([each.bucket_at.isoformat(), _rounded(each.lowest_health_pct)])
        before = each.bucket_at
    return points


def summary(trail: Sequence[HealthBucket], events: Sequence[MarginEventRow], label: str, bucket: timedelta) -> str:
    """The chart in words."""
    known = [(each.lowest_health_pct, each.bucket_at) for each in trail if each.lowest_health_pct is not None]
    parts = []
    if known:
        (low, low_at), (high, high_at) = min(known), max(known, key=lambda found: found[0])
        at_low, at_high = formats.moment(low_at), formats.moment(high_at)
        span = f"between {formats.health(low)} ({at_low}) and {formats.health(high)} ({at_high})"
        steady = f"{formats.health(low)} at every point"
        last = f"the last point is {formats.health(known[-1][0])}, of {formats.moment(known[-1][1])}"
        parts.append(f"In the last {label} health was {steady if low == high else span}; {last}.")
    else:
        parts.append(f"In the last {label} no snapshot has a health.")
    unpriced = sum(each.unpriced_snapshots for each in trail)
    if unpriced:
        total = sum(each.snapshots for each in trail)
        parts.append(f"{unpriced:,} of {formats.count(total, 'snapshot')} unpriced, which the line leaves out.")
    marks = Counter(event.severity for event in events)
    named = ", ".join(f"{formats.words(kind, formats.SEVERITY_WORDS)} {number:,}" for kind, number in marks.items())
    parts.append(f"Margin events: {named}." if named else "No margin event.")
    parts.append(f"Each point is the lowest health of {formats.age(bucket.total_seconds())}.")
    return " ".join(parts)


def table(trail: Sequence[HealthBucket]) -> str:
    """Points of the chart in their order."""
    columns = (
        Column("From (UTC)"),
        Column("Lowest health", True),
        Column("Snapshots", True),
        Column("Of them unpriced"),
    )
    rows = [
        (
            text(formats.moment(each.bucket_at)),
            _health(each),
            text(f"{each.snapshots:,}"),
            Cell(markup.tag("unpriced", f"{each.unpriced_snapshots:,} unpriced"))
            if each.unpriced_snapshots
            else text("0"),
        )
        for each in trail
    ]
    return markup.table("History of health", columns, rows)


def _health(each: HealthBucket) -> Cell:
    if each.lowest_health_pct is not None:
        return text(formats.health(each.lowest_health_pct))
    return text("No debt" if each.no_debt_snapshots == each.snapshots else formats.UNKNOWN)


def _threshold(name: str, at: Decimal, colour: str, kind: str) -> Mapping[str, Any]:
    words = f"{name} {formats.plain_percent(at)}"
    return {
        "yAxis": _rounded(at),
        "name": words,
        "lineStyle": {"color": colour, "type": kind},
        "label": {"formatter": words, "position": "insideEndTop", "color": colour},
    }


def _rounded(value: Decimal | None) -> float | None:
    # Chart geometry; rounded down, so that its tooltip never shows a health at the threshold that it is below.
    return None if value is None else float(value.quantize(Decimal("0.0001"), rounding=ROUND_FLOOR))
