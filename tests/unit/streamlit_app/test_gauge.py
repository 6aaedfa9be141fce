"""The gauge: its zones, its needle and its words."""

from __future__ import annotations

import re
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from streamlit_app.components.gauge import (
    CENTRE_X,
    CENTRE_Y,
    Gauge,
    GaugeState,
    gauge_svg,
    legend,
    spoken,
    zone_at,
    zones_of,
)

ZONES = zones_of(Decimal(15), Decimal(30))


def _svg(health: str | None, state: GaugeState = GaugeState.PRICED) -> str:
    return gauge_svg(Gauge(None if health is None else Decimal(health), state, ZONES))


def _needle(svg: str) -> tuple[float, float]:
    line = next(e for e in ElementTree.fromstring(svg).iter() if e.get("class") == "needle")
    return float(line.get("x2", "nan")) - CENTRE_X, CENTRE_Y - float(line.get("y2", "nan"))


def _texts(svg: str) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(svg).iter() if e.tag == "text"]


@pytest.mark.parametrize(
    ("health", "kind"),
    [
        ("-100", "liquidation"),
        ("14.999", "liquidation"),
        ("15", "margin_call"),
        ("29.999", "margin_call"),
        ("30", "watch"),
        ("50", "healthy"),
        ("100", "healthy"),
        ("900", "healthy"),
    ],
)
def test_zone_at__starts_each_zone_at_its_threshold(health: str, kind: str) -> None:
    zone = zone_at(ZONES, Decimal(health))
    assert zone is not None
    assert zone.kind == kind


def test_zones_of__follow_the_thresholds_of_the_marts() -> None:
    zones = zones_of(Decimal(20), Decimal(60))
    assert [(zone.kind, zone.start_pct, zone.end_pct) for zone in zones] == [
        ("liquidation", 0, 20),
        ("margin_call", 20, 60),
        ("healthy", 60, 100),
    ]


def test_gauge_svg__points_the_needle_by_the_value() -> None:
    x, y = _needle(_svg("50"))
    assert x == pytest.approx(0, abs=0.1)
    assert y > 0
    assert _needle(_svg("0"))[0] < 0 < _needle(_svg("100"))[0]


@pytest.mark.parametrize(
    ("health", "edge", "words"), [("148.2", "100", "above the scale"), ("-40", "0", "below the scale")]
)
def test_gauge_svg__clamps_the_needle_and_shows_the_number(health: str, edge: str, words: str) -> None:
    svg = _svg(health)
    assert _needle(svg) == _needle(_svg(edge))
    assert any(words in text for text in _texts(svg))
    assert any(health.lstrip("-") in text for text in _texts(svg))


def test_gauge_svg__priced_colours_every_zone() -> None:
    svg = _svg("58.3")
    assert re.findall(r'class="zone-(\w+)"', svg) == ["liquidation", "margin_call", "watch", "healthy"]
    assert "url(#hatch)" not in svg


@pytest.mark.parametrize(("health", "word"), [("38", "last value 38.00%"), (None, "no last value")])
def test_gauge_svg__unpriced_is_hatched_without_zones_or_needle(health: str | None, word: str) -> None:
    svg = _svg(health, GaugeState.UNPRICED)
    assert "url(#hatch)" in svg
    assert "zone-" not in svg
    assert "needle" not in svg
    assert "Unpriced" in _texts(svg)
    assert word in _texts(svg)


def test_gauge_svg__no_debt_says_so() -> None:
    svg = _svg(None, GaugeState.NO_DEBT)
    assert "No debt" in _texts(svg)
    assert "needle" not in svg
    assert "zone-" not in svg


@pytest.mark.parametrize("state", list(GaugeState))
def test_gauge_svg__carries_its_description(state: GaugeState) -> None:
    gauge = Gauge(Decimal("29.996"), state, ZONES)
    root = ElementTree.fromstring(gauge_svg(gauge))
    assert root.get("role") == "img"
    assert root.get("aria-label") == spoken(gauge)
    assert root.findtext("title") == spoken(gauge)


def test_spoken__never_gives_an_old_value_as_current() -> None:
    words = spoken(Gauge(Decimal(58), GaugeState.UNPRICED, ZONES))
    assert "unpriced" in words
    assert "not current" in words


def test_legend__names_every_threshold() -> None:
    words = re.sub(r"<[^>]+>", " ", legend(ZONES))
    for part in ("below 15%", "15% to 30%", "30% to 50%", "50% or more"):
        assert part in words


def test_gauge_svg__without_thresholds_still_shows_the_number() -> None:
    assert "58.00%" in _texts(gauge_svg(Gauge(Decimal(58), GaugeState.PRICED, ())))
