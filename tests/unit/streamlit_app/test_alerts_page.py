"""The page of alerts in each of its states and for each role, under Streamlit's AppTest."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from assets.risk import alert_queries, alert_trail_queries
from assets.risk.alert_queries import Latency
from compliance.api.people import SIGN_IN_ROLES
from compliance.model import Role
from infra.runtime.errors import NotReadyError, WarehouseError
from streamlit_app import data, visitor
from streamlit_app.components import ledger
from streamlit_app.views import alerts_page, topic_text
from streamlit_app.views.alerts_page import LedgerChoice
from streamlit_app.visitor import Visitor
from tests.unit.streamlit_app.alerts_reader import (
    NOW,
    AlertsReader,
    delivery_row,
    latency_row,
    rate_row,
    step_row,
    trail_row,
)

SCRIPT = "from streamlit_app.views import alerts\nalerts.render()"
INPUTS = '[{"name": "pyth", "reference": "7"}]'
HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def reader(book) -> AlertsReader:
    """A text that arrived and its trail, a webhook of which nothing is known, and one that was not sent."""
    return AlertsReader(
        book,
        deliveries=[
            delivery_row(1, "sms", "delivered"),
            delivery_row(2, "webhook", "unknown", attempts=3),
            delivery_row(3, "none", "suppressed", account_id=None, severity=None, last_detail="acct-1 has no contact"),
        ],
        rates=[
            rate_row("email", "99.4999", "below_target"),
            rate_row("email", "98.1", "below_target", 1, is_running=False),
            rate_row("email", "100", "ok", 1),
            rate_row("pagerduty", "97", "no_target"),
            rate_row("sms", None, "no_data"),
        ],
        latencies=[latency_row("sms", 1, "2.5"), latency_row("sms", 0, "0"), latency_row("sms", None, "2.25")],
        suppressions=[
            {"channel": "none", "severity": "warning", "reason": "no_contact", "notifications": 12, "last_at": NOW},
            {"channel": "sms", "severity": None, "reason": None, "notifications": 1, "last_at": NOW},
        ],
        trail=[
            trail_row("price", "px_1", price_usd=Decimal("15341.21"), evidence_source=INPUTS),
            trail_row("reading", "in_1", price_usd=Decimal(15334), evidence_source="chainlink:42", movement="used"),
            trail_row("reading", "in_2", evidence_source="pyth:8", movement="not used: too_old"),
            trail_row(
                "settlement", "ev_1", signed_quantity=Decimal("-0.5"), movement="collateral withdrawal",
                evidence_source="bitcoin:0xab",
            ),
        ],
        steps=[step_row("planned", "0.63"), step_row("sent", "0.79", "attempt 1"), step_row("teleported", "0.9")],
    )  # fmt: skip


@pytest.fixture
def page(app, reader: AlertsReader, monkeypatch: pytest.MonkeyPatch):
    """The page for an officer."""
    monkeypatch.setattr(data, "open_reader", lambda: reader)
    app.at = AppTest.from_string(SCRIPT, default_timeout=30)
    return app


def stream_of(page) -> str:
    """The stream that the live part listens to."""
    component = next(element for element in page.at.main if element.type == "bidi_component")
    found: dict[str, Any] = json.loads(component.proto.mixed.json or component.proto.json)
    return str(found["stream"])


def test_alerts__show_rates_ledger_and_suppressions(page) -> None:
    page.open()
    assert not page.at.exception
    rates, rows, suppressed = (page.parts()[name]["html"] for name in ("rates", "ledger", "suppressions"))
    # Cut, not rounded to the target.
    for part in ("99.49%", "99.50%", "Below target", "No target", "No data", "994 of 1,000", "Mail by hour: lowest"):
        assert part in rates, part
    for part in ("Text", "Delivered", "0.84 s", "Unknown", "Not accepted", "Not sent", "acct-1 has no contact"):
        assert part in rows, part
    assert page.parts()["ledger"]["ages"]["ledger"] == 75
    assert "Whom it is about has no contact" in suppressed
    assert "No reason recorded" in suppressed
    assert stream_of(page) == "/live/alerts"


def test_alerts__a_notification_of_which_nothing_is_known_does_not_look_delivered(page) -> None:
    page.open()
    row = page.parts()["ledger"]["html"].split("<tbody")[1].split("</tr>")[1]
    assert 'class="tag unknown"' in row
    assert "Delivered" not in row
    assert "Accepted</span>" not in row


def test_alerts__latencies_stand_in_a_chart_in_words_and_in_a_table(page) -> None:
    page.open()
    words = [each.proto.body for each in page.at.main if each.type == "html"]
    assert any("95% took at most, over the whole time: Text 2.25 s of 40 alerts." in each for each in words)
    assert page.at.subheader[0].value == "Seconds from detection to the provider's acceptance, p95, by hour"
    table = page.parts()["figures"]["html"]
    for part in ("The whole time", "2026-03-02 12:00 UTC", "2026-03-02 11:00 UTC", "2.50 s", "12.3 s"):
        assert part in table, part


def test_latency__chart_has_a_line_for_each_channel_with_its_own_look_and_no_zero() -> None:
    rows = [Latency(**latency_row("sms", 1, "2.5")), Latency(**latency_row("email", 1, "0"))]
    option = ledger.latency_option(rows, "p95", NOW - timedelta(hours=24), NOW)
    series = {each["name"]: each for each in option["series"]}
    assert series["Text"]["data"] == [["2026-03-02T11:00:00+00:00", 2.5]]
    assert series["Mail"]["data"][0][1] > 0
    assert option["xAxis"]["max"] == NOW.isoformat()
    assert series["Text"]["symbol"] != series["Mail"]["symbol"]
    assert series["Text"]["lineStyle"]["type"] != series["Mail"]["lineStyle"]["type"]
    assert ledger.latency_summary([], "p95") == "No alert was accepted."


def test_alerts__widgets_filter_the_ledger_and_its_stream(page) -> None:
    page.open()
    state = next(box for box in page.at.selectbox if box.label == "State")
    state.set_value("unknown").run()
    rows = page.parts()["ledger"]["html"]
    assert "Webhook" in rows
    assert "ntf_1" not in rows
    assert stream_of(page) == "/live/alerts:state%3Dunknown"
    assert page.at.query_params == {"state": "unknown"}
    next(box for box in page.at.selectbox if box.label == "Channel").set_value("sms").run()
    assert "No notification fits these filters." in page.words()


def test_alerts__page_long_ledgers(page, reader: AlertsReader) -> None:
    reader.deliveries = [delivery_row(number, "sms", "delivered") for number in range(1, 61)]
    page.open()
    assert page.parts()["ledger"]["html"].count("<tr") == 51
    assert 'data-act="page:2"' in page.parts()["ledger"]["html"]
    second = alerts_page.live_page("page=2").sections["ledger"]
    assert second.count("<tr") == 11
    assert "51 to 60" in second
    assert 'aria-label="Next page" disabled' in second
    assert "Nothing stands on this page any more." in alerts_page.live_page("page=3").sections["ledger"]


def test_alerts__before_the_first_alert_say_so(page, reader: AlertsReader) -> None:
    for rows in (reader.deliveries, reader.rates, reader.latencies, reader.suppressions):
        rows.clear()
    page.open()
    words = page.words()
    assert "Nothing was planned yet." in words
    assert "No notification fits these filters." in words
    assert "Nothing was held back in this time." in words
    assert any("No margin or compliance alert was accepted" in each.value for each in page.at.markdown)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotReadyError("did not answer"), "Connecting"),
        (WarehouseError("Not found: Table ballast:risk.notification_deliveries"), "The marts are not built yet"),
        (WarehouseError("Quota exceeded <b>"), "Quota exceeded <b>"),
    ],
)
def test_alerts__that_were_never_read_say_why(page, error: Exception, words: str) -> None:
    page.reader.error = error
    page.open()
    assert words in page.words()
    assert "rates" not in page.parts()


def test_alerts__mark_old_figures_while_the_warehouse_is_away(page) -> None:
    page.open()
    page.reader.error = NotReadyError("did not answer")
    page.run(seconds_later=70)
    assert all(part["is_old"] for part in page.parts().values())
    assert page.parts()["freshness"]["ages"]["data"] == 70
    assert any("1 min old; they could not be read anew" in each.value for each in page.at.markdown)


def test_alerts__a_part_that_is_not_there_does_not_hide_the_others(page, reader: AlertsReader) -> None:
    reader.errors = {
        alert_queries.DELIVERY_RATES_SQL: WarehouseError("Not found: Table ballast:risk.delivery_rates"),
        alert_queries.LATENCIES_SQL: WarehouseError("refused <i>"),
    }
    page.open()
    assert "risk.delivery_rates is not there yet" in page.words()
    assert "refused <i>" in page.words()
    assert "0.84 s" in page.words()


def test_trail__leads_from_settlements_and_rounds_to_each_step_of_the_delivery(page) -> None:
    page.at.query_params["alert"] = "SM1"
    page.open()
    assert not page.at.exception
    words = page.words()
    order = (
        "\u22120.5 BTC collateral withdrawal",
        "bitcoin:0xab",
        "Chainlink, round or slot 42",
        "not used: too_old",
        "15,341.21 USD from Pyth, round or slot 7",
        "Health 28.99%, threshold 30%",
        "1.00 s after detection",
        "Rule margin: tell con_1 by Text",
        "Planned",
        "Request sent",
        "attempt 1",
        "Teleported",
    )
    places = [words.index(part) for part in order]
    assert places == sorted(places)
    assert stream_of(page) == "/live/alerts:alert%3DSM1"
    # A step that this page does not know is no step that was taken for sure.
    assert '<li class="gap"><h3><span>Teleported' in page.parts()["trail"]["html"]
    assert not page.at.selectbox


def test_trail__opens_from_the_ledger_by_its_field_and_goes_back(page) -> None:
    page.open()
    assert 'data-act="trail:ntf_1"' in page.parts()["ledger"]["html"]
    next(each for each in page.at.text_input if each.label.startswith("Trail")).set_value("ntf_1").run()
    assert 'data-act="trail:"' in page.parts()["back"]["html"]
    assert "Health 28.99%" in page.words()
    page.at.session_state["ledger_choice"] = LedgerChoice()
    page.run()
    assert "rates" in page.parts()


def test_trail__of_an_unknown_id_says_so(page) -> None:
    page.at.query_params["alert"] = "nobody-knows"
    page.open()
    assert "Not found." in page.words()
    assert "trail" not in page.parts()


def test_trail__without_evidence_or_steps_says_what_is_missing(page, reader: AlertsReader) -> None:
    reader.trail = [trail_row(None, None, margin_event_id=None, kind="compliance", rule=None)]
    reader.errors = {alert_trail_queries.STEPS_SQL: NotReadyError("did not answer")}
    html = alerts_page.live_page("alert=ntf_1").sections["trail"]
    assert "tells of no margin event" in html
    assert "The steps could not be read." in html
    assert "Rule unknown" in html
    reader.trail = [trail_row("price", "px_1", evidence_source="not json", published_at=None)]
    page.clock.advance(timedelta(seconds=5))
    html = alerts_page.live_page("alert=SM1").sections["trail"]
    for part in ("No settlement is on record.", "No reading of a source is on record", "from unknown", "not published"):
        assert part in html, part


def test_trail__a_full_list_says_that_settlements_are_left_out(page, reader: AlertsReader) -> None:
    number = alert_trail_queries.MAX_EVIDENCE
    reader.trail = [
        trail_row("settlement", f"ev_{each}", signed_quantity=Decimal(1), evidence_at=NOW - timedelta(hours=each))
        for each in range(number)
    ]
    html = alerts_page.live_page("alert=ntf_1").sections["trail"]
    assert "and 192 earlier settlements or more" in html
    assert "earlier settlements are left out" in html


def test_alerts__escape_what_comes_from_data(page, reader: AlertsReader) -> None:
    reader.deliveries.append(
        delivery_row(9, HOSTILE, HOSTILE, account_id=HOSTILE, severity=HOSTILE, kind=HOSTILE, last_detail=HOSTILE)
    )
    reader.suppressions.append(
        {"channel": HOSTILE, "severity": HOSTILE, "reason": HOSTILE, "notifications": 1, "last_at": NOW}
    )
    reader.rates.append(rate_row(HOSTILE, "97", HOSTILE))
    reader.latencies.append(latency_row(HOSTILE, None, "1"))
    page.open()
    assert "<img" not in page.html()
    other = dict.fromkeys(("rule", "recipient", "channel", "kind", "severity", "asset", "movement"), HOSTILE)
    other |= {"evidence_source": HOSTILE, "digest_id": HOSTILE, "margin_event_id": HOSTILE, "account_id": HOSTILE}
    kinds = ("price", "reading", "settlement")
    reader.trail = [trail_row(kind, HOSTILE, **other, notification_id="ntf_8") for kind in kinds]
    reader.steps = [step_row(HOSTILE, "1", HOSTILE)]
    html = alerts_page.live_page("alert=ntf_8").sections["trail"]
    assert "onerror" in html
    assert "<img" not in html


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        (None, LedgerChoice()),
        ("window=99y&page=0&state=a+b", LedgerChoice()),
        ("window=7d&state=failed&channel=sms", LedgerChoice(state="failed", channel="sms", window="7d")),
        ("alert=%0Antf_1%C3%A4", LedgerChoice(alert="ntf_1")),
    ],
)
def test_choice__what_cannot_be_read_is_as_if_it_were_not_there(text: str | None, choice: LedgerChoice) -> None:
    assert alerts_page.choice_of(topic_text.read(text)) == choice


def test_choice__comes_back_from_its_topic_however_odd_its_text() -> None:
    odd = alerts_page.choice_of({"alert": "&=%+" * 100})
    assert len(odd.topic()) < 250
    assert alerts_page.choice_of(topic_text.read(odd.topic().partition(":")[2])) == odd


@pytest.mark.parametrize("role", sorted(SIGN_IN_ROLES))
def test_alerts__open_for_each_role(page, monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    monkeypatch.setattr(visitor, "current", lambda: Visitor("ann", role))
    page.open()
    assert not page.at.exception
    assert "Below target" in page.words()
