"""Distances to trigger prices, and the shares of the collateral."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from assets.risk.queries import AssetExposure, LiquidationPrice, MarginHealth
from streamlit_app.components import triggers
from streamlit_app.components.breakdown import breakdown_html, shares

ACCOUNT = MarginHealth(
    account_id="acct-00001",
    status="healthy",
    health_pct=Decimal(40),
    collateral_usd=Decimal(70000),
    borrow_usd=Decimal(50000),
    margin_call_threshold_pct=Decimal(30),
    liquidation_threshold_pct=Decimal(15),
    recovery_margin_pct=Decimal(2),
    unpriced_assets=None,
    has_borrow=True,
    has_degraded_price=False,
    has_negative_position=False,
    price_ids="p1",
    oldest_price_at=None,
    oldest_price_age_seconds=60,
    late_events_pending=0,
    last_event_at=None,
    is_simulated=False,
    measured_at=datetime(2026, 3, 2, tzinfo=UTC),
)


def _price(threshold: str, trigger: str | None, price: str | None = "70000", asset: str = "BTC") -> LiquidationPrice:
    return LiquidationPrice(
        account_id="acct-00001",
        asset=asset,
        threshold=threshold,
        threshold_pct=Decimal(30 if threshold == "margin_call" else 15),
        trigger_price_usd=None if trigger is None else Decimal(trigger),
        reason=None if trigger else "covered_without_asset",
        price_usd=None if price is None else Decimal(price),
        has_unpriced_other=False,
        is_simulated=False,
    )


def _held(asset: str, value: str | None, status: str = "ok", side: str = "collateral") -> AssetExposure:
    return AssetExposure(
        asset=asset,
        side=side,
        quantity=Decimal(1),
        exposure_usd=None if value is None else Decimal(value),
        accounts=1,
        price_usd=None if value is None else Decimal(value),
        price_status=status,
        price_age_seconds=7200,
        is_simulated=False,
    )


@pytest.mark.parametrize(
    ("trigger", "price", "expected"),
    [
        ("65000", "70000", "-7.142857"),
        ("77000", "70000", "10"),
        (None, "70000", None),
        ("65000", None, None),
        ("5", "0", None),
    ],
)
def test_distance_pct__is_the_change_of_the_price_that_reaches_the_trigger(
    trigger: str | None, price: str | None, expected: str | None
) -> None:
    found = triggers.distance_pct(_price("margin_call", trigger, price))
    assert found == (None if expected is None else pytest.approx(Decimal(expected), abs=Decimal("0.000001")))


def test_distance_words__say_when_a_threshold_is_passed() -> None:
    below = replace(ACCOUNT, health_pct=Decimal(20), status="margin_call")
    assert triggers.distance_words(_price("margin_call", "72800"), below) == "passed; back at +4.0%"
    assert triggers.distance_words(_price("liquidation", "57500"), below) == "\u221217.9% from now"


def test_distance_words__mark_last_prices_of_an_unpriced_account() -> None:
    unpriced = replace(ACCOUNT, status="unpriced", unpriced_assets="SOL")
    assert "not current" in triggers.distance_words(_price("margin_call", "65000"), unpriced)


def test_next_trigger__is_the_smallest_fall_not_yet_passed() -> None:
    prices = [
        _price("margin_call", "1.04", "1", "USDC"),
        _price("liquidation", "57500"),
        _price("margin_call", "65000"),
    ]
    assert triggers.next_trigger(ACCOUNT, prices) == prices[2]
    below = replace(ACCOUNT, health_pct=Decimal(20))
    assert triggers.next_trigger(below, prices) == prices[1]


def test_next_trigger__is_a_rise_where_no_fall_does_it() -> None:
    prices = [_price("margin_call", None), _price("margin_call", "1.04", "1", "USDC")]
    assert triggers.next_trigger(ACCOUNT, prices) == prices[1]


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (replace(ACCOUNT, status="no_debt", health_pct=None), ("None", "no debt")),
        (replace(ACCOUNT, status="unpriced", unpriced_assets="SOL"), ("Unknown", "SOL has no current price")),
        (replace(ACCOUNT, status="liquidation", health_pct=Decimal(3)), ("All passed", "below liquidation")),
        (ACCOUNT, ("None", "no price of one asset alone does it")),
    ],
)
def test_next_trigger_words__say_why_there_is_none(account: MarginHealth, expected: tuple[str, str]) -> None:
    assert triggers.next_trigger_words(account, [_price("margin_call", None)]) == expected


def test_next_trigger_words__without_rows_are_unknown_not_none() -> None:
    assert triggers.next_trigger_words(ACCOUNT, ()) == ("Unknown", "trigger prices not read")


def test_unpriced_words__name_the_asset_and_the_age_of_its_last_price() -> None:
    account = replace(ACCOUNT, status="unpriced", unpriced_assets="ETH,SOL")
    stale = _held("SOL", "150", "stale")
    never = replace(_held("ETH", None, "missing"), price_age_seconds=None)
    words = triggers.unpriced_words(account, [stale, never])
    assert words == "ETH never had a price; SOL stale, last price 2 h old"


def test_shares__are_of_the_valued_collateral_only() -> None:
    parts = shares([_held("SOL", "25"), _held("BTC", "75"), _held("USDC", "500", side="borrow"), _held("XRP", None)])
    assert [(part.asset, part.share_pct) for part in parts] == [("BTC", 75), ("SOL", 25), ("XRP", None)]


def test_shares__leave_a_negative_position_without_share() -> None:
    parts = shares([_held("BTC", "75"), _held("ETH", "-10")])
    assert [(part.asset, part.share_pct) for part in parts] == [("BTC", 100), ("ETH", None)]


def test_breakdown_html__marks_last_prices_and_missing_ones() -> None:
    html = breakdown_html(shares([_held("BTC", "75", "stale"), _held("XRP", None, "missing")]))
    assert "75.00 USD (last price)" in html
    assert "no price" in html


def test_breakdown_html__escapes_what_comes_from_data() -> None:
    assert "<script>" not in breakdown_html(shares([_held("<script>", "1")]))
