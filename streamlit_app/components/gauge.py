"""The gauge of margin health from 0 to 100 percent, drawn as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from html import escape

from streamlit_app.components import formats

SCALE_END_PCT = Decimal(100)
# Where "watch" ends and the green begins: for the eye only, no rule rests on it.
WATCH_END_PCT = Decimal(50)
CENTRE_X, CENTRE_Y, RADIUS, WIDTH = 180.0, 168.0, 132.0, 26


class GaugeState(StrEnum):
    """What the gauge can say about the health."""

    PRICED = "priced"
    UNPRICED = "unpriced"
    NO_DEBT = "no_debt"


@dataclass(frozen=True)
class Zone:
    """A part of the scale in percent, from (inclusive) to (exclusive)."""

    kind: str
    label: str
    start_pct: Decimal
    end_pct: Decimal


@dataclass(frozen=True)
class Gauge:
    """What the gauge shows: health in percent (with `UNPRICED` the last value, None if there is none)."""

    health_pct: Decimal | None
    state: GaugeState
    zones: tuple[Zone, ...]


def zones_of(liquidation_pct: Decimal, margin_call_pct: Decimal) -> tuple[Zone, ...]:
    """The zones for the thresholds of the marts; empty ones are left out."""
    edges = [
        ("liquidation", "Liquidation", Decimal(0), liquidation_pct),
        ("margin_call", "Margin call", liquidation_pct, margin_call_pct),
        ("watch", "Watch", margin_call_pct, max(margin_call_pct, WATCH_END_PCT)),
        ("healthy", "Healthy", max(margin_call_pct, WATCH_END_PCT), SCALE_END_PCT),
    ]
    clamped = [Zone(kind, label, _clamp(start), _clamp(end)) for kind, label, start, end in edges]
    return tuple(zone for zone in clamped if zone.end_pct > zone.start_pct)


def zone_at(zones: Sequence[Zone], health_pct: Decimal) -> Zone | None:
    """The zone in which a health lies; beyond either end of the scale the last zone of that end."""
    if not zones:
        return None
    if health_pct < zones[0].start_pct:
        return zones[0]
    return next((zone for zone in zones if zone.start_pct <= health_pct < zone.end_pct), zones[-1])


def spoken(gauge: Gauge) -> str:
    """The gauge in one sentence, for people who do not see it."""
    if gauge.state is GaugeState.NO_DEBT:
        return "Margin health: no debt, so there is no health to show."
    if gauge.state is GaugeState.UNPRICED:
        last = formats.health(gauge.health_pct)
        return f"Margin health: unpriced. Last value {last}, which is not current."
    zone = zone_at(gauge.zones, gauge.health_pct) if gauge.health_pct is not None else None
    name = f", zone {zone.label.lower()}" if zone else ""
    return f"Margin health {formats.health(gauge.health_pct)}{name}, on a scale from 0 to 100%."


def gauge_svg(gauge: Gauge) -> str:
    """The gauge as an SVG element that carries its own description."""
    arcs = _arcs(gauge)
    ticks = "".join(_tick(at) for at in _tick_marks(gauge.zones))
    label = escape(spoken(gauge))
    return (
        f'<svg class="gauge" viewBox="0 0 360 200" role="img" aria-label="{label}"><title>{label}</title>{_DEFS}'
        f"{arcs}{ticks}{_needle(gauge)}{_words(gauge)}</svg>"
    )


def legend(zones: Sequence[Zone]) -> str:
    """What the colours mean, with the thresholds in numbers."""
    items = (f'<li><i class="{zone.kind}"></i>{escape(words)}</li>' for zone, words in spans(zones))
    return f'<ul class="legend">{"".join(items)}</ul>'


def spans(zones: Sequence[Zone]) -> list[tuple[Zone, str]]:
    """Each zone with its name and where it lies: `Margin call 15% to 30%`."""
    found = []
    for index, zone in enumerate(zones):
        start, end = formats.plain_percent(zone.start_pct), formats.plain_percent(zone.end_pct)
        span = f"below {end}" if index == 0 else f"{start} or more" if zone is zones[-1] else f"{start} to {end}"
        found.append((zone, f"{zone.label} {span}"))
    return found


_DEFS = (
    '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="8" height="8" class="hatch-ground"/><line x1="0" y1="0" x2="0" y2="8" class="hatch"/>'
    "</pattern></defs>"
)


def _clamp(value: Decimal) -> Decimal:
    return min(SCALE_END_PCT, max(Decimal(0), value))


def _point(pct: Decimal, radius: float) -> tuple[float, float]:
    angle = math.pi * (1 - float(_clamp(pct)) / 100)
    return CENTRE_X + radius * math.cos(angle), CENTRE_Y - radius * math.sin(angle)


def _path(start_pct: Decimal, end_pct: Decimal) -> str:
    (x0, y0), (x1, y1) = _point(start_pct, RADIUS), _point(end_pct, RADIUS)
    return f"M{x0:.2f} {y0:.2f}A{RADIUS:.0f} {RADIUS:.0f} 0 0 1 {x1:.2f} {y1:.2f}"


def _arc(zone: Zone) -> str:
    # A gap of half a percent separates the zones also for those who do not see the colours.
    gap = Decimal("0.4")
    start = zone.start_pct + (gap if zone.start_pct > 0 else 0)
    end = zone.end_pct - (gap if zone.end_pct < SCALE_END_PCT else 0)
    return f'<path class="zone-{zone.kind}" d="{_path(start, end)}" fill="none" stroke-width="{WIDTH}"/>'


def _arcs(gauge: Gauge) -> str:
    whole = f'<path d="{_path(Decimal(0), SCALE_END_PCT)}" fill="none" stroke-width="{WIDTH}"'
    match gauge.state:
        case GaugeState.PRICED:
            return "".join(_arc(zone) for zone in gauge.zones)
        case GaugeState.UNPRICED:
            return f'{whole} stroke="url(#hatch)"/>'
        case GaugeState.NO_DEBT:
            return f'{whole} class="none"/>'


def _tick_marks(zones: Sequence[Zone]) -> list[Decimal]:
    return sorted({Decimal(0), SCALE_END_PCT, *(zone.end_pct for zone in zones)})


def _tick(at: Decimal) -> str:
    x, y = _point(at, RADIUS + WIDTH / 2 + 12)
    return f'<text class="tick" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{at.normalize():f}</text>'


def _needle(gauge: Gauge) -> str:
    if gauge.state is not GaugeState.PRICED or gauge.health_pct is None:
        return ""
    (x0, y0), (x1, y1) = (
        _point(gauge.health_pct, RADIUS - WIDTH / 2 - 22),
        _point(gauge.health_pct, RADIUS + WIDTH / 2 + 1),
    )
    return (
        f'<line class="needle" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'
        f'<circle class="knob" cx="{x0:.1f}" cy="{y0:.1f}" r="4"/>'
    )


def _words(gauge: Gauge) -> str:
    match gauge.state:
        case GaugeState.NO_DEBT:
            value, word = "No debt", "nothing to measure"
        case GaugeState.UNPRICED:
            value = "Unpriced"
            word = "no last value" if gauge.health_pct is None else f"last value {formats.health(gauge.health_pct)}"
        case GaugeState.PRICED:
            zone = zone_at(gauge.zones, gauge.health_pct) if gauge.health_pct is not None else None
            value = formats.health(gauge.health_pct)
            word = f"{zone.label}{_beyond(gauge.health_pct)}" if zone else ""
    return (
        f'<text class="value" x="{CENTRE_X:.0f}" y="156" text-anchor="middle">{escape(value)}</text>'
        f'<text class="word" x="{CENTRE_X:.0f}" y="190" text-anchor="middle">{escape(word)}</text>'
    )


def _beyond(health_pct: Decimal | None) -> str:
    if health_pct is None or Decimal(0) <= health_pct <= SCALE_END_PCT:
        return ""
    return " \u00b7 above the scale" if health_pct > SCALE_END_PCT else " \u00b7 below the scale"
