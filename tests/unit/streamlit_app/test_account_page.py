"""The page of one account in each of its states, under Streamlit's AppTest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from assets.risk import account_queries, queries
from compliance.model import Role
from infra.runtime.errors import NotReadyError, WarehouseError
from streamlit_app import api_client, data, pages, visitor
from streamlit_app.api_client import Api
from streamlit_app.visitor import Visitor
from tests.unit.streamlit_app.account_book import (
    NOW,
    AccountBook,
    WhatIfServer,
    bucket_row,
    delivery_row,
    settlement_row,
    what_if_server,
)

HOSTILE = '<img src=x"y onerror=alert(1)>'


def _script() -> None:
    from streamlit_app.views import account

    account.render()


@dataclass
class Page:
    """The page under test, what it reads, and the API that it asks."""

    app: Any
    book: AccountBook
    api: WhatIfServer

    def open(self, account_id: str = "acct-00001") -> Page:
        """Open the page of an account."""
        if account_id:
            self.app.at.query_params["account"] = account_id
        self.app.open()
        return self

    def part(self, name: str) -> str:
        """The markup of a part."""
        return str(self.app.parts()[name]["html"])

    def field(self, label: str) -> Any:
        """The text field of this label."""
        return next(each for each in self.app.at.text_input if each.label == label)


@pytest.fixture(scope="module")
def server() -> Iterator[WhatIfServer]:
    with what_if_server() as found:
        yield found


@pytest.fixture
def page(app: Any, server: WhatIfServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    book = AccountBook(app.reader)
    monkeypatch.setattr(data, "open_reader", lambda: book)
    app.at = AppTest.from_function(_script, default_timeout=60)
    server.asked.clear()
    server.status = 200
    with httpx.Client(trust_env=False) as client:
        monkeypatch.setattr(api_client, "api", lambda: Api(server.url, lambda: "statement", client))
        yield Page(app, book, server)


@pytest.mark.parametrize("role", [each for each in Role if each is not Role.SERVICE])
def test_account_page__is_the_same_for_every_role_that_signs_in(
    page: Page, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    monkeypatch.setattr(visitor, "current", lambda: Visitor("ann", role))
    page.open()
    assert not page.app.at.exception
    assert "account" in {each.path for each in pages.pages_for(role)}
    assert {"gauge", "triggers", "assets", "var", "events", "thresholds"} <= set(page.app.parts())


def test_account_page__shows_everything_of_the_account(page: Page) -> None:
    words = page.open().app.words()
    for part in ("58.25%", "Healthy", "250 SOL", "Data as of 12:34:56 UTC", "exceeded on no more than the rest"):
        assert part in words
    ruler = page.part("triggers")
    assert "Margin call at</b> 65,000.00 USD <span>\u22127.1% from now" in ruler
    assert "Liquidation at</b> 57,500.00 USD" in ruler
    assert "the other collateral covers the debt" in ruler
    assert page.app.parts()["gauge"]["ages"]["data"] == 0
    exports = "".join(each.proto.body for each in page.app.at.get("html"))
    assert 'href="/export/account/acct-00001.csv"' in exports
    assert 'href="/export/account/acct-00001.pdf"' in exports


def test_account_page__without_an_account_offers_those_nearest_to_a_call(page: Page) -> None:
    page.open("")
    assert list(page.app.parts()) == ["state"]
    assert 'href="/app/account?account=acct-00002" data-account="acct-00002"' in page.part("state")
    page.app.at.selectbox[0].set_value("acct-00001").run()
    assert page.app.at.query_params["account"] in ("acct-00001", ["acct-00001"])
    assert "58.25%" in page.app.words()


@pytest.mark.parametrize("account_id", ["acct-99999", HOSTILE])
def test_account_page__of_an_unknown_account_says_so_and_nothing_else(page: Page, account_id: str) -> None:
    page.open(account_id)
    assert not page.app.at.exception
    assert list(page.app.parts()) == ["state"]
    assert "has no position." in page.app.words()
    assert "<img" not in page.app.html()


def test_account_page__that_was_never_read_comes_whole_by_itself(page: Page) -> None:
    page.book.base.error = NotReadyError("did not answer")
    page.open()
    assert list(page.app.parts()) == ["state"]
    assert "Connecting" in page.app.words()
    page.book.base.error = None
    page.app.run(seconds_later=6)
    assert {"totals", "settlements"} <= set(page.app.parts())


def test_account_page__of_an_account_without_debt_is_honest(page: Page) -> None:
    page.open("acct-00003")
    assert not page.app.at.exception
    assert "owes nothing" in page.app.words()
    assert not page.api.asked


def test_account_page__of_an_unpriced_account_never_looks_healthy(
    page: Page, health_row: Any, exposure_row: Any
) -> None:
    stale = {"price_status": "stale", "price_age_seconds": 7200}
    page.book.base.accounts = [health_row("acct-00009", "44", "unpriced", unpriced_assets="SOL")]
    page.book.base.positions = {"acct-00009": [exposure_row("acct-00009", "SOL", "collateral", "10", "150", **stale)]}
    page.open("acct-00009")
    assert "Unpriced: SOL stale, last price 2 h old" in page.app.words()
    assert "Healthy" not in page.part("account_head")


def test_account_page__marks_old_figures_while_the_warehouse_is_away(page: Page) -> None:
    page.open()
    page.book.base.error = NotReadyError("did not answer")
    page.app.run(seconds_later=90)
    assert not page.app.at.exception
    assert page.app.parts()["totals"]["is_old"]
    assert "BigQuery does not answer" in page.part("banner")
    assert "could not be read anew since 12:34:56 UTC" in page.part("settlements")
    assert "could not be read anew since 12:34:56 UTC" in page.part("thresholds")
    assert any("these points are old" in each.value for each in page.app.at.warning)


def test_account_page__a_part_that_cannot_be_read_leaves_the_others(page: Page) -> None:
    absent = WarehouseError("Not found: Table ballast:risk.x")
    for sql in (
        account_queries.HEALTH_TRAIL_SQL,
        account_queries.SETTLEMENTS_SQL,
        account_queries.OWN_THRESHOLDS_SQL,
        account_queries.DELIVERIES_SQL,
        queries.ACCOUNT_VAR_ESTIMATES_SQL,
    ):
        page.book.base.errors[sql] = absent
    words = page.open().app.words()
    for table in ("risk.margin_health_history", "staging.stg_settlements__events", "risk.portfolio_var"):
        assert f"{table} is not there yet" in words
    assert "Who set them could not be read." in words
    assert "Not read" in words
    assert "58.25%" in words


def test_account_page__alerts_carry_their_notifications_by_channel(page: Page) -> None:
    page.book.deliveries = [
        delivery_row("margin-event-1", "email", "delivered"),
        delivery_row("margin-event-1", "sms", "failed", None, 2),
    ]
    page.open("acct-00002")
    events = page.part("events")
    assert "Mail: Delivered after 1 s" in events
    assert "Text \u00d72: Failed" in events
    assert 'href="/app/alerts?account=acct-00002"' in events


def test_account_page__an_alert_without_a_known_notification_says_so(page: Page) -> None:
    page.open("acct-00002")
    assert "None known" in page.part("events")


def test_account_page__says_who_set_the_thresholds(page: Page) -> None:
    assert "Nobody set any" in page.open().part("thresholds")
    page.book.thresholds = [
        {
            "margin_call_pct": Decimal(30),
            "liquidation_pct": None,
            "early_warning_pct": None,
            "recovery_margin_pct": None,
            "set_at": NOW,
            "set_by": HOSTILE,
            "reason": "agreed in the credit line",
        }
    ]
    page.app.run(seconds_later=30)
    shown = page.part("thresholds")
    assert "&lt;img" in shown
    assert "<img" not in shown
    assert "agreed in the credit line" in shown
    assert shown.count("For this account") == 1
    assert shown.count("Default") == 3


def test_account_page__pages_settlements_on_the_server(page: Page) -> None:
    page.book.settled = [settlement_row(number, matching=60) for number in range(60)]
    page.open()
    assert page.part("settlements").count("<tr") == 26
    next(each for each in page.app.at.button if each.label == "Next").click().run()
    asked = [given["skipped_rows"] for sql, given in page.book.asked if sql == account_queries.SETTLEMENTS_SQL]
    assert asked[-1] == 25
    assert any("26 to 50 of 60 settlements" in each.value for each in page.app.at.text)


def test_account_page__history_follows_the_chosen_range(page: Page) -> None:
    page.open()
    assert "In the last 7 d health was between 41.50%" in _summary(page)
    page.book.trail = [bucket_row(90, None, unpriced=2)]
    page.app.at.button_group[0].set_value("90 d").run()
    assert not page.app.at.exception
    assert "In the last 90 d no snapshot has a health. 2 of 2 snapshots unpriced" in _summary(page)
    given = [given for sql, given in page.book.asked if sql == account_queries.HEALTH_TRAIL_SQL][-1]
    assert given["bucket_us"] == 6 * 3600 * 1_000_000


def test_account_page__without_history_says_what_makes_it(page: Page) -> None:
    page.book.trail = []
    page.open()
    assert "No snapshot in the last 7 d." in page.app.words()


def test_what_if__asks_nothing_before_something_is_changed(page: Page) -> None:
    page.open()
    assert not page.api.asked
    assert "figures" not in page.app.parts()


def test_what_if__shows_before_and_after_and_resets(page: Page) -> None:
    page.open()
    page.field("BTC price, USD").set_value("35000").run()
    assert not page.app.at.exception
    before, after = page.api.asked
    assert before["prices"]["BTC"] == "70000"
    assert after["prices"] == {"BTC": "35000", "SOL": "150.25", "USDC": "1"}
    assert after["positions"][0] == {"asset": "BTC", "side": "collateral", "quantity": "1.5"}
    assert after["thresholds"] == {"margin_call_pct": "30", "liquidation_pct": "15"}
    figures = page.part("figures")
    for part in ("42.56%", "\u22129.94%", "Margin call", "14,256.25 USD", "9,006.25 USD", "\u22125,250.00 USD"):
        assert part in figures
    assert "Nothing of it is stored" in page.part("basis")
    assert next(each for each in page.app.at.slider if each.label.startswith("BTC")).value == -50
    next(each for each in page.app.at.button if each.label.startswith("Reset")).click().run()
    assert page.field("BTC price, USD").value == "70000"
    assert "figures" not in page.app.parts()


def test_what_if__slider_and_quantity_and_a_new_position_reach_the_api(page: Page) -> None:
    page.open()
    next(each for each in page.app.at.slider if each.label.startswith("SOL")).set_value(-20).run()
    assert page.api.asked[-1]["prices"]["SOL"] == "120.2"
    page.field("BTC held, units").set_value("0.000000000000000001").run()
    assert page.api.asked[-1]["positions"][0]["quantity"] == "0.000000000000000001"
    adding = next(each for each in page.app.at.selectbox if each.label == "Add a position")
    adding.set_value(("USDC", "collateral")).run()
    page.field("USDC held, units").set_value("50,000").run()
    assert {"asset": "USDC", "side": "collateral", "quantity": "50000"} in page.api.asked[-1]["positions"]


def test_what_if__words_of_what_was_typed_wrong(page: Page) -> None:
    page.open()
    page.field("BTC held, units").set_value("-1").run()
    assert "BTC held, units: write a number of zero or more, such as 1234.5." in [
        each.value for each in page.app.at.error
    ]
    assert not page.api.asked


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (422, {"code": "assets_unknown", "message": "There are no closes of BTC."}, "There are no closes of BTC."),
        (503, {"code": "not_ready", "message": "later"}, "The API gives no usable answer now"),
    ],
)
def test_what_if__an_api_that_refuses_or_is_away_is_said(
    page: Page, status: int, error: dict[str, str], words: str
) -> None:
    page.open()
    page.api.status, page.api.error = status, error
    page.field("BTC price, USD").set_value("35000").run()
    said = [each.value for each in (*page.app.at.error, *page.app.at.warning)]
    assert any(words in each for each in said)
    assert "figures" not in page.app.parts()


def test_what_if__an_asset_without_a_price_is_left_to_its_close(page: Page, exposure_row: Any) -> None:
    page.book.base.positions["acct-00001"][1] = exposure_row("acct-00001", "SOL", "collateral", "250", None)
    page.open()
    page.field("BTC price, USD").set_value("35000").run()
    assert "SOL" not in page.api.asked[-1]["prices"]
    basis = page.part("basis")
    assert "No current price of SOL" in basis
    assert "SOL at the close of 2026-03-01" in basis


def test_overview__links_to_the_account_page_and_the_exports(app: Any) -> None:
    app.at.query_params["account"] = "acct-00001"
    app.open()
    head = "".join(element.proto.body for element in app.at.get("html"))
    assert 'href="/app/account?account=acct-00001"' in head
    assert 'href="/export/account/acct-00001.pdf"' in head


def _summary(page: Page) -> str:
    return "".join(each.proto.body for each in page.app.at.get("html") if "chart-summary" in each.proto.body)
