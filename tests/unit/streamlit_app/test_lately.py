"""The price panel and what changed in the last hour: moves that are true, and unknown where they are not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from assets.risk import overview_queries
from assets.risk.overview_queries import Flow, PricePoint, StatusChange
from infra.runtime.errors import WarehouseError
from streamlit_app.components import lately

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def point(price: str, minutes_ago: float, asset: str = "BTC") -> PricePoint:
    """A price in the past."""
    return PricePoint(asset, Decimal(price), NOW - timedelta(minutes=minutes_ago))


def change(account_id: str, severity: str, before: str | None, minutes_ago: float) -> StatusChange:
    """A transition in the past."""
    return StatusChange(account_id, severity, before, NOW - timedelta(minutes=minutes_ago), True)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([point("100", 61), point("90", 30), point("103", 1)], "3"),
        ([point("100", 69), point("98", 60), point("147", 0)], "50"),
        ([point("100", 65)], "0"),
        ([point("100", 71), point("103", 1)], None),
        ([point("100", 59), point("103", 1)], None),
        ([point("0", 61), point("103", 1)], None),
        ([point("103", 1), point("100", 61)], "3"),
    ],
)
def test_moves__count_from_the_price_an_hour_ago_only(points: list[PricePoint], expected: str | None) -> None:
    found = lately.moves(points, NOW)["BTC"].change_pct
    assert found == (None if expected is None else Decimal(expected))


def test_moves__keep_assets_apart() -> None:
    found = lately.moves([point("100", 61), point("1", 61, "USDC"), point("99", 1), point("1", 1, "USDC")], NOW)
    assert {asset: move.change_pct for asset, move in found.items()} == {"BTC": Decimal(-1), "USDC": Decimal(0)}
    assert found["BTC"].path == (100.0, 99.0)


def test_changes__of_one_account_are_one_line_from_first_to_last() -> None:
    html = lately.changes_html(
        [
            change("a", "liquidation", "margin_call", 5),
            change("a", "margin_call", "early_warning", 20),
            change("b", "recovered", "margin_call", 9),
        ],
        [],
    )
    assert "3 margin events of 2 accounts" in html
    assert html.count("<li>") == 2
    assert html.index('data-account="a"') < html.index('data-account="b"')
    assert html.index("Early warning") < html.index("Liquidation") < html.index("Recovered")


def test_changes__beyond_the_shown_ones_are_counted() -> None:
    html = lately.changes_html([change(f"a{n}", "margin_call", None, n) for n in range(11)], None)
    assert html.count("<li>") == lately.SHOWN_CHANGES
    assert "and 3 more accounts" in html


def test_changes__nothing_is_said_as_nothing_and_unknown_as_unknown() -> None:
    assert "None." in lately.changes_html([], [])
    assert "Nothing." in lately.changes_html([], [])
    assert lately.changes_html(None, None, ["<p>why</p>"]) == "<p>why</p>"
    flow = Flow("withdrawal", 1, 1, None, False)
    assert "value unknown: a price is missing" in lately.changes_html(None, [flow])


def test_prices__show_status_source_age_and_move(app) -> None:
    app.open()
    html = app.parts()["lately"]["html"]
    words = app.words()
    for part in ("BTC 70,000.00 USD \u00b1 10.50 USD", "+2.0%", "Chainlink, Pyth", "Degraded", "one source"):
        assert part in words, part
    assert "Of 1 asset the move is unknown: no price from an hour ago." in words
    assert app.parts()["lately"]["ages"]["price:BTC"] == 12
    assert 'data-age="price:BTC"' in html
    assert 'class="spark"' in html


def test_prices__that_are_stale_or_missing_are_never_current(app) -> None:
    app.reader.prices[0] |= {"price_status": "stale", "price_age_seconds": 7_200, "sources": None}
    app.reader.prices[1] |= {"price_status": "missing", "price_usd": None, "price_age_seconds": None}
    app.open()
    html = app.parts()["lately"]["html"]
    assert "Current" not in html
    for part in ("Stale", "No price", "never had a price"):
        assert part in html, part
    assert app.parts()["lately"]["ages"]["price:BTC"] == 7_200


def test_prices__that_cannot_be_read_leave_the_rest_of_the_page(app) -> None:
    app.reader.errors[overview_queries.ASSET_PRICES_SQL] = WarehouseError("Quota exceeded")
    app.reader.errors[overview_queries.PRICE_POINTS_SQL] = WarehouseError("Quota exceeded")
    app.reader.errors[overview_queries.FLOWS_SQL] = WarehouseError("Not found: Table ballast:raw.settlement_events")
    app.open()
    words = app.words()
    assert "BigQuery refused to read intermediate.int_market__latest_prices" in words
    assert "raw.settlement_events is not there yet" in words
    assert "Borrow 200,000.00 USD" in words


def test_prices__moves_from_points_that_could_not_be_read_anew_are_unknown(app) -> None:
    app.open()
    assert "+2.0%" in app.words()
    app.reader.errors[overview_queries.PRICE_POINTS_SQL] = WarehouseError("Quota exceeded")
    app.run(seconds_later=40)
    assert "+2.0%" not in app.words()
    assert "Of 2 assets the move is unknown" in app.words()
