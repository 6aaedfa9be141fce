"""Charts: small ones as SVG text for the live parts and the light page, large ones by Streamlit's own ECharts.

Every chart has a summary in words: a screen reader speaks it, and it stands where the chart cannot be drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

SPARK_WIDTH, SPARK_HEIGHT = 96.0, 26.0
BAR_HEIGHT, BAR_GAP, BAR_LABEL = 20.0, 8.0, 120.0
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 320.0, 120.0


def echarts(key: str, option: Mapping[str, Any], *, title: str, height: int, summary: str) -> None:
    """A chart of ECharts, `height` pixels high, in the theme's colours, under its title and over its summary.

    `option` is plain JSON: functions do not reach the browser. Colours come from the theme unless a series has its own.
    """
    drawn = {"animation": False, **option, "aria": {"enabled": True, "decal": {"show": True}}}
    with st.container(key=f"chart_{key}"):
        st.subheader(title, anchor=False)
        st.echarts_chart(drawn, height=height, renderer="svg", key=key, alt=f"{title}. {summary}")
        st.html(f'<p class="chart-summary">{escape(summary)}</p>')


def sparkline(values: Sequence[float], summary: str) -> str:
    """A line through the values, oldest first, at equal distances; a dot marks the last. Nothing for fewer than two."""
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    # Steady values lie in the middle.
    base = 0.5 if high == low else 0.0
    step = (SPARK_WIDTH - 6) / (len(known) - 1)
    points = [
        (3 + index * step, 3 + (1 - ((value - low) / span + base)) * (SPARK_HEIGHT - 6))
        for index, value in enumerate(known)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return (
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH:.0f} {SPARK_HEIGHT:.0f}" role="img" '
        f'aria-label="{escape(summary)}"><polyline points="{line}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/></svg>'
    )


def bars(rows: Sequence[tuple[str, float, str]], summary: str, *, colours: Mapping[str, str] | None = None) -> str:
    """Horizontal bars: a label, a value and the value in words for each row; bars below zero go to the left.

    `colours` gives the fill of a label; others have the theme's first colour.
    """
    if not rows:
        return ""
    low = min(0.0, *(value for _, value, _ in rows))
    high = max(0.0, *(value for _, value, _ in rows))
    span = (high - low) or 1.0
    width = 200.0
    zero = BAR_LABEL + -low / span * width
    lines = []
    for index, (label, value, words) in enumerate(rows):
        top = index * (BAR_HEIGHT + BAR_GAP)
        length = abs(value) / span * width
        start = zero if value >= 0 else zero - length
        fill = f' style="fill:{escape(colours[label])}"' if colours and label in colours else ""
        lines.append(
            f'<text x="{BAR_LABEL - 8:.0f}" y="{top + 14:.0f}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{start:.1f}" y="{top:.0f}" width="{max(length, 1):.1f}" height="{BAR_HEIGHT:.0f}" rx="3"{fill}/>'
            f'<text class="soft" x="{BAR_LABEL + width + 8:.0f}" y="{top + 14:.0f}">{escape(words)}</text>'
        )
    height = len(rows) * (BAR_HEIGHT + BAR_GAP)
    axis = f'<line x1="{zero:.1f}" y1="0" x2="{zero:.1f}" y2="{height:.0f}"/>'
    return (
        f'<svg class="bars" viewBox="0 0 {BAR_LABEL + width + 130:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(summary)}">{"".join(lines)}{axis}</svg>'
    )


def histogram(counts: Sequence[int], edges: Sequence[str], summary: str, *, marked: int | None = None) -> str:
    """Columns for counts in bins; `edges` are the words at the left, in the middle and at the right.

    The column `marked` has stripes and an own colour, such as the one in which a limit lies.
    """
    if not counts or max(counts) <= 0:
        return ""
    width = HISTOGRAM_WIDTH / len(counts)
    columns = []
    for index, count in enumerate(counts):
        height = count / max(counts) * (HISTOGRAM_HEIGHT - 24)
        kind = ' class="marked"' if index == marked else ""
        columns.append(
            f'<rect{kind} x="{index * width:.1f}" y="{HISTOGRAM_HEIGHT - 18 - height:.1f}" '
            f'width="{max(width - 1, 0.5):.1f}" height="{height:.1f}"/>'
        )
    places = ((0.0, "start"), (HISTOGRAM_WIDTH / 2, "middle"), (HISTOGRAM_WIDTH, "end"))
    labels = "".join(
        f'<text class="soft" x="{x:.0f}" y="{HISTOGRAM_HEIGHT - 4:.0f}" text-anchor="{anchor}">{escape(word)}</text>'
        for (x, anchor), word in zip(places, edges, strict=False)
    )
    return (
        f'<svg class="histogram" viewBox="0 0 {HISTOGRAM_WIDTH:.0f} {HISTOGRAM_HEIGHT:.0f}" role="img" '
        f'aria-label="{escape(summary)}">{"".join(columns)}{labels}</svg>'
    )
