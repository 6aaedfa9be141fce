"""What an account's page is made of: price rulers, the history's points, what is asked of a what-if."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from api.risk.what_if_schemas import WhatIfRequest
from assets.risk.account_queries import HealthBucket, Settlement
from assets.risk.queries import Exposure, LiquidationPrice, MarginEventRow, MarginHealth
from streamlit_app import what_if
from streamlit_app.components import account_tables, export_links, health_history, price_ruler
from streamlit_app.what_if import Line, NotANumberError, Portfolio
from tests.unit.streamlit_app.account_book import NOW, bucket_row, settlement_row

SPAN = timedelta(minutes=30)


@pytest.fixture
def account(health_row: Any) -> MarginHealth:
    return MarginHealth(**health_row("acct-00001", "58.25", "healthy"))


def _price(threshold: str, trigger: str | None, now: str | None = "70000", asset: str = "BTC") -> LiquidationPrice:
    return LiquidationPrice(
        account_id="acct-00001",
        asset=asset,
        threshold=threshold,
        threshold_pct=Decimal(30 if threshold == "margin_call" else 15),
        trigger_price_usd=None if trigger is None else Decimal(trigger),
        reason=None if trigger else "covered_without_asset",
        price_usd=None if now is None else Decimal(now),
        has_unpriced_other=False,
        is_simulated=True,
    )


def _zones(html: str) -> list[tuple[str, float, float]]:
    found = re.findall(r'<i class="([a-z-]+)" style="left:([\d.]+)%;width:([\d.]+)%">', html)
    return [(kind, float(left), float(width)) for kind, left, width in found]


@pytest.mark.parametrize(
    ("call", "liquidation", "kinds"),
    [
        ("65000", "57500", ["below-liquidation", "below-call", "clear"]),
        ("75000", "82000", ["clear", "below-call", "below-liquidation"]),
        ("65000", None, ["below-call", "clear"]),
        ("75000", None, ["clear", "below-call"]),
        (None, "57500", ["below-liquidation", "clear"]),
    ],
)
def test_ruler__zones_lie_on_the_dangerous_side(
    account: MarginHealth, call: str | None, liquidation: str | None, kinds: list[str]
) -> None:
    rulers = price_ruler.rulers_of([_price("margin_call", call), _price("liquidation", liquidation)], account)
    zones = _zones(price_ruler.rulers_html(rulers, account))
    assert [kind for kind, _left, _width in zones] == kinds
    assert sum(width for _kind, _left, width in zones) == pytest.approx(100, abs=0.02)
    marks = [
        float(at) for at in re.findall(r'<b [^>]*style="left:([\d.]+)%"', price_ruler.rulers_html(rulers, account))
    ]
    assert all(0 <= at <= 100 for at in marks)


def test_ruler__of_a_passed_threshold_shows_the_price_in_the_danger(account: MarginHealth, health_row: Any) -> None:
    below = MarginHealth(**health_row("acct-00001", "20", "margin_call"))
    html = price_ruler.rulers_html(price_ruler.rulers_of([_price("margin_call", "75000")], below), below)
    assert [kind for kind, _left, _width in _zones(html)] == ["below-call", "clear"]
    assert "passed; back at +7.1%" in html


def test_ruler__is_there_only_where_something_can_be_placed(account: MarginHealth) -> None:
    prices = [
        _price("margin_call", None),
        _price("liquidation", None),
        _price("margin_call", "5", None, "SOL"),
        _price("margin_call", "0.5", "0.9", "XRP"),
    ]
    assert [ruler.asset for ruler in price_ruler.rulers_of(prices, account)] == ["XRP"]
    assert price_ruler.rulers_html([], account) == ""


def test_ruler__of_an_unpriced_asset_says_that_the_price_is_not_current(health_row: Any) -> None:
    account = MarginHealth(**health_row("acct-00001", None, "unpriced", unpriced_assets="BTC"))
    html = price_ruler.rulers_html(price_ruler.rulers_of([_price("margin_call", "65000")], account), account)
    assert "Last price, not current" in html
    assert 'class="now last"' in html


def _trail(*rows: dict[str, Any]) -> list[HealthBucket]:
    return [HealthBucket(**row) for row in rows]


def test_history__breaks_the_line_where_nothing_is_known() -> None:
    points = health_history.line(
        _trail(bucket_row(300, "50"), bucket_row(60, None, 2), bucket_row(30, "29.99999")), SPAN
    )
    assert [value for _at, value in points] == [50.0, None, None, 29.9999]
    assert points[1][0] == (NOW - timedelta(minutes=270)).isoformat()


def test_history__marks_events_by_shape_and_thresholds_by_lines(account: MarginHealth) -> None:
    event = {
        "margin_event_id": "e",
        "account_id": "acct-00001",
        "episode_id": "x",
        "transition_number": 1,
        "collateral_usd": Decimal(1),
        "borrow_usd": Decimal(1),
        "threshold_pct": None,
        "price_ids": None,
        "detected_at": NOW,
        "is_simulated": True,
    }
    events = [
        MarginEventRow(severity="margin_call", health_pct=Decimal("28.9"), **event),
        MarginEventRow(severity="unpriced", health_pct=None, **event),
    ]
    trail = _trail(bucket_row(60, "58"), bucket_row(30, "41.5"))
    option = health_history.option(trail, events, account, SPAN, NOW - timedelta(days=1), NOW)
    line, *marks = option["series"]
    assert [each["yAxis"] for each in line["markLine"]["data"]] == [30.0, 15.0]
    assert option["yAxis"]["min"] <= 15
    assert {each["symbol"] for each in marks} == {"diamond", "pin"}
    assert [each["data"][0][1] for each in marks] == [28.9, 41.5]
    words = health_history.summary(trail, events, "1 d", SPAN)
    assert "between 41.50%" in words
    assert "Margin events: Margin call 1, Unpriced 1." in words
    assert "lowest health of 30 min" in words


def test_history__table_tells_unknown_from_no_debt() -> None:
    html = health_history.table(_trail(bucket_row(60, None, 2), bucket_row(30, None, 0, 2)))
    assert "unknown" in html
    assert "2 unpriced" in html
    assert "No debt" in html


def test_settlements__show_sign_hash_and_lateness_and_escape() -> None:
    rows = [
        Settlement(**settlement_row(1, "withdrawal", "-0.25", is_late=True)),
        Settlement(**settlement_row(2, tx_hash="<b>", chain=None)),
    ]
    html = account_tables.settlements_html(rows)
    for part in ("\u22120.25 BTC", "+1.5 BTC", "Withdrawal", ">late<", "0x00000000\u20260001", "Unknown"):
        assert part in html
    assert "<b>" not in html


def test_exports__addresses_quote_ids() -> None:
    assert export_links.address_of("csv") == "/export/book.csv"
    assert export_links.address_of("pdf", "a/b c") == "/export/account/a%2Fb%20c.pdf"
    assert "javascript" not in export_links.links_html("x").lower()


def _start(account: MarginHealth, exposure_row: Any) -> what_if.Start:
    rows = [
        exposure_row("acct-00001", "BTC", "collateral", "1.500000000000000000", "70000.000000000"),
        exposure_row("acct-00001", "SOL", "collateral", "-3", "150"),
        exposure_row("acct-00001", "NEW", "collateral", "2", None),
        exposure_row("acct-00001", "USDC", "borrow", "100000", "1"),
    ]
    return what_if.start_of(
        account, [Exposure(**{k: v for k, v in row.items() if k != "accounts"}) for row in rows], NOW
    )


def test_what_if__asks_in_the_form_that_the_api_takes(account: MarginHealth, exposure_row: Any) -> None:
    start = _start(account, exposure_row)
    body = what_if.request_of(start, start.portfolio)
    request = WhatIfRequest.model_validate(body)
    assert [(each.asset, each.quantity) for each in request.positions] == [
        ("BTC", Decimal("1.5")),
        ("NEW", Decimal(2)),
        ("USDC", Decimal(100000)),
    ]
    assert request.prices == {"BTC": Decimal(70000), "USDC": Decimal(1)}
    assert start.uncertain == ("NEW",)


def test_what_if__of_nothing_is_not_asked(account: MarginHealth, exposure_row: Any) -> None:
    start = _start(account, exposure_row)
    assert what_if.request_of(start, Portfolio((Line("BTC", "collateral", Decimal(0)),), {})) is None


@pytest.mark.parametrize(
    ("words", "value"), [("0", "0"), ("1,234.50", "1234.5"), (".5", "0.5"), (" 12_000 ", "12000"), ("007", "7")]
)
def test_amount__is_exact(words: str, value: str) -> None:
    assert what_if.amount(words, 18, "x") == Decimal(value)


@pytest.mark.parametrize("words", ["", "-1", "1e5", "NaN", "1.2.3", "abc", "0.0000000000000000001", "1" + "0" * 18])
def test_amount__refuses_what_is_none(words: str) -> None:
    with pytest.raises(NotANumberError, match=r"^x: "):
        what_if.amount(words, 18, "x")


def test_moved__keeps_nine_decimals_and_change_is_its_inverse() -> None:
    assert what_if.moved(Decimal("6.577093865"), -53) == Decimal("3.091234117")
    assert what_if.change_pct(Decimal(70000), Decimal(35000)) == -50
