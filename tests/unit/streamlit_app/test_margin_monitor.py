"""The margin monitor in each of its states and for each role, under Streamlit's AppTest."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from assets.risk import margin_alert_queries, monitor_queries
from assets.risk.monitor_queries import AccountFilter, Order
from compliance.api.people import SIGN_IN_ROLES
from compliance.model import Role
from infra.runtime.errors import NotReadyError, WarehouseError
from streamlit_app import data, visitor
from streamlit_app.acknowledgements import Acknowledgement, acknowledged
from streamlit_app.pages import PAGES
from streamlit_app.views import margin_monitor, monitor_page, topic_text
from streamlit_app.views.monitor_page import Choice
from streamlit_app.visitor import Visitor
from tests.unit.streamlit_app.alerts_reader import NOW, AlertsReader, alert_row

SCRIPT = "from streamlit_app.views import margin_monitor\nmargin_monitor.render()"
HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def reader(book, monkeypatch: pytest.MonkeyPatch) -> AlertsReader:
    """The small book with three alerts: one told on two channels, one seen, one of which nothing is on record."""
    return AlertsReader(
        book,
        alerts=[
            alert_row(1, "acct-00002", "margin_call", None, None),
            alert_row(2, "acct-00002", "margin_call", "sms", "failed", last_detail="no such number; final"),
            alert_row(2, "acct-00002", "margin_call", "email", "delivered"),
            alert_row(
                3,
                "acct-00001",
                "recovered",
                "webhook",
                "accepted",
                acknowledged_by="ben",
                acknowledged_at=NOW - timedelta(minutes=1),
            ),
        ],
        points=[
            {"account_id": "acct-00002", "snapshot_at": NOW - timedelta(minutes=40), "health_pct": Decimal("31.4")},
            {"account_id": "acct-00002", "snapshot_at": NOW - timedelta(minutes=20), "health_pct": None},
        ],
    )


@pytest.fixture
def page(app, reader: AlertsReader, monkeypatch: pytest.MonkeyPatch):
    """The page for an officer."""
    monkeypatch.setattr(data, "open_reader", lambda: reader)
    app.at = AppTest.from_string(SCRIPT, default_timeout=30)
    return app


def message(page) -> dict[str, Any]:
    """What the live part was given."""
    component = next(element for element in page.at.main if element.type == "bidi_component")
    found: dict[str, Any] = json.loads(component.proto.mixed.json or component.proto.json)
    return found


def test_monitor__stands_behind_the_account_in_the_navigation() -> None:
    paths = [spec.path for spec in PAGES]
    assert paths.index("monitor") < paths.index("alerts")
    spec = PAGES[paths.index("monitor")]
    assert spec.title == "Margin monitor"
    assert spec.roles >= SIGN_IN_ROLES


def test_monitor__shows_accounts_with_cure_trend_and_distance(page, book) -> None:
    rows = book.triggers["acct-00001"]
    book.triggers["acct-00002"] = [row | {"account_id": "acct-00002"} for row in rows]
    page.open()
    assert not page.at.exception
    words = page.words()
    # 1.32 * 100,000 - 128,900; repaid it is that by 1.32, raised to the cent.
    for part in (
        "3,100.00 USD or repay 2,348.49 USD, to 32%",
        "28.90% 13.90 points above liquidation",
        "\u22122.50 points since 11:54 UTC",
        "BTC 57,500.00 USD \u221217.9% from now",
        "58.25%",
        "None 32% is reached",
        "No debt",
        "trend unknown: too few snapshots",
        "Data as of 12:34:56 UTC",
        "simulated",
        "1 to 3 of 3 accounts",
    ):
        assert part in words, part
    assert message(page)["stream"] == "/live/monitor"


def test_monitor__says_unknown_where_an_account_is_unpriced(page, health_row) -> None:
    page.reader.accounts.insert(0, health_row("acct-00009", "44", "unpriced", unpriced_assets="SOL"))
    page.open()
    row = page.parts()["accounts"]["html"].split("acct-00009", 1)[1].split("</tr>")[0]
    assert "44.00%" in row
    assert "last value, not current" in row
    assert "Unknown" in row
    assert "SOL has no current price" in row
    assert "is reached" not in row
    assert "or repay" not in row


def test_monitor__a_chip_filters_the_table_and_its_stream(page) -> None:
    page.open()
    chips = page.parts()["accounts"]["html"]
    assert 'data-act="status:margin_call" aria-pressed="false" aria-label="Margin call: 1 account"' in chips
    page.at.session_state["monitor_choice"] = Choice(AccountFilter(status="margin_call"))
    page.run()
    shown = page.parts()["accounts"]["html"]
    assert "acct-00002" in shown
    assert "acct-00001" not in shown
    assert 'data-act="status:healthy"' in shown
    assert message(page)["stream"] == "/live/monitor:status%3Dmargin_call"
    assert page.at.query_params == {"status": "margin_call"}


def test_monitor__takes_its_filters_from_the_address_and_from_its_widgets(page) -> None:
    page.at.query_params["id"] = "00001"
    page.at.query_params["order"] = "cure"
    page.open()
    assert page.at.text_input[0].value == "00001"
    assert "acct-00002" not in page.parts()["accounts"]["html"]
    assert "Largest cure first" in page.words()
    page.at.text_input[0].set_value("no such").run()
    assert "No account fits these filters." in page.words()


@pytest.mark.parametrize("argument", ["status=margin_call", "status=margin_call&page=1&order=none&borrow=NaN"])
def test_monitor__the_hub_renders_by_the_filters_of_the_topic(page, argument: str) -> None:
    page.open()
    html = monitor_page.live_page(argument).sections["accounts"]
    assert "acct-00002" in html
    assert "acct-00001" not in html


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        (None, Choice()),
        ("", Choice()),
        ("page=0&order=evil&status=a+b&borrow=-5", Choice()),
        ("page=99999999&borrow=Infinity", Choice()),
        ("page=-1&page=x", Choice()),
        ("page=99999", Choice(page=topic_text.MAX_PAGE)),
        ("id=%00%C3%A4a%20b", Choice(AccountFilter(text="a b"))),
        ("id=" + "x" * 500, Choice()),
        ("borrow=12345.67&asset=BTC", Choice(AccountFilter(asset="BTC", min_borrow_usd=Decimal(12346)))),
        ("borrow=1e30", Choice(AccountFilter(min_borrow_usd=monitor_page.MAX_BORROW_USD))),
        ("&".join(f"a{number}=1" for number in range(30)), Choice()),
    ],
)
def test_choice__what_cannot_be_read_is_as_if_it_were_not_there(text: str | None, choice: Choice) -> None:
    assert monitor_page.choice_of(topic_text.read(text)) == choice


def test_choice__comes_back_from_its_topic_however_odd_its_text() -> None:
    odd = topic_text.plain("&=%+ ?" * 20)
    wanted = AccountFilter("margin_call", "BTC", Decimal(10**15), odd)
    choice = Choice(wanted, Order.EXPOSURE, 1000)
    name, _, argument = choice.topic().partition(":")
    assert name == monitor_page.TOPIC
    assert len(choice.topic()) < 250
    assert monitor_page.choice_of(topic_text.read(argument)) == choice


def test_monitor__pages_long_tables(page, health_row) -> None:
    page.reader.accounts[:] = [health_row(f"acct-{number:05}", "28", "margin_call") for number in range(120)]
    page.open()
    html = page.parts()["accounts"]["html"]
    assert html.count("<tr") == 51
    assert "1 to 50 of 120 accounts" in page.words()
    last = monitor_page.live_page("page=3").sections["accounts"]
    assert last.count("<tr") == 21
    assert 'data-act="page:4" aria-label="Next page" disabled' in last
    assert "Nothing stands on this page any more." in monitor_page.live_page("page=4").sections["accounts"]


def test_monitor__without_accounts_says_what_to_do(page) -> None:
    page.reader.accounts.clear()
    page.open()
    assert list(page.parts()) == ["state"]
    assert "No accounts yet." in page.words()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotReadyError("did not answer"), "Connecting"),
        (WarehouseError("Not found: Table ballast:risk.margin_health was not found"), "The marts are not built yet"),
        (WarehouseError("Quota exceeded <b>"), "Quota exceeded <b>"),
    ],
)
def test_monitor__that_was_never_read_says_why(page, error: Exception, words: str) -> None:
    page.reader.error = error
    page.open()
    assert list(page.parts()) == ["state"]
    assert words in page.words()


def test_monitor__marks_old_figures_while_the_warehouse_is_away(page) -> None:
    page.open()
    page.reader.error = NotReadyError("did not answer")
    page.run(seconds_later=40)
    parts = page.parts()
    assert all(part["is_old"] for part in parts.values())
    assert parts["freshness"]["ages"]["data"] == 40
    assert "not read anew since 12:34:56 UTC" in parts["alerts"]["html"]


def test_monitor__a_part_that_is_not_there_does_not_hide_the_others(page, reader: AlertsReader) -> None:
    absent = WarehouseError("Not found: Table ballast:risk.x was not found")
    reader.errors = {
        margin_alert_queries.MARGIN_ALERTS_SQL: absent,
        monitor_queries.STATUS_COUNTS_SQL: absent,
        monitor_queries.HEALTH_POINTS_SQL: absent,
    }
    page.open()
    words = page.words()
    assert "risk.margin_events is not there yet" in words
    assert "3,100.00 USD" in words
    assert "The last hour could not be read anew" in words


def test_monitor__escapes_what_comes_from_data(page, reader: AlertsReader, health_row) -> None:
    page.reader.accounts.append(health_row(HOSTILE, "20", "margin_call", unpriced_assets=HOSTILE))
    reader.alerts.append(alert_row(4, HOSTILE, HOSTILE, HOSTILE, HOSTILE, last_detail=HOSTILE, acknowledged_by=HOSTILE))
    page.open()
    assert "<img" not in page.html()
    assert "onerror=alert(1)&gt;" in page.html()


def test_alerts__show_channels_their_states_and_who_has_seen_them(page) -> None:
    page.open()
    html = page.parts()["alerts"]["html"]
    first, second, third = html.split("<tbody")[1].split("</tr>")[:3]
    assert "Nothing on record yet" in first
    assert "data-act" not in first
    assert "Text: Failed" in second
    assert 'title="no such number; final"' in second
    assert "Mail: Delivered" in second
    assert 'data-act="acknowledge:ntf_2_email"' in second
    assert "ben" in third
    assert "2026-03-02 12:33:56 UTC" in third
    assert page.parts()["alerts"]["ages"]["alert:mev_2"] == 120


def test_alerts__an_answer_of_the_api_shows_before_the_warehouse_has_it(page) -> None:
    page.open()
    acknowledged().keep(Acknowledgement("mev_2", "ann", NOW))
    html = monitor_page.live_page().sections["alerts"]
    assert "2026-03-02 12:34:56 UTC" in html
    assert "data-act" not in html


def test_alerts__none_lately_says_so(page, reader: AlertsReader) -> None:
    reader.alerts.clear()
    page.open()
    assert "None in the last 24 hours." in page.words()


@pytest.mark.parametrize("role", sorted(SIGN_IN_ROLES))
def test_monitor__opens_for_each_role_and_lets_those_acknowledge_who_work_on_margin(
    page, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    monkeypatch.setattr(visitor, "current", lambda: Visitor("ann", role))
    page.open()
    assert not page.at.exception
    assert message(page)["may_change"] is (role in margin_monitor.ACKNOWLEDGERS)
    assert "acct-00002" in page.words()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_monitor__asks_nothing_of_the_api_for_those_who_may_not(monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    asked: list[str] = []
    monkeypatch.setattr(visitor, "current", lambda: Visitor("ann", role))
    monkeypatch.setattr(margin_monitor, "_acknowledged", lambda value: asked.append(value) or ("info", ""))
    margin_monitor.act("acknowledge", "ntf_1")
    assert asked == []
