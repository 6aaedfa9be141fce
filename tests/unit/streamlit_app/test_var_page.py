"""The page *VaR and stress* in each of its states, under Streamlit's AppTest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, get_type_hints

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from assets.risk import queries, var_page_queries, var_queries
from assets.risk.engine.reverse_stress import Measure
from assets.risk.var_queries import VarBacktest
from compliance.model import Role
from infra.runtime.errors import NotReadyError, WarehouseError
from streamlit_app import api_client, data, pages, visitor
from streamlit_app.api_client import Api
from streamlit_app.components import var_head
from streamlit_app.views import var_reverse
from streamlit_app.visitor import Visitor
from tests.app_process import free_port
from tests.unit.streamlit_app.risk_book import (
    FallServer,
    RiskBook,
    exception_row,
    fall_answer,
    fall_server,
    forecast_row,
    scenario_rows,
    stressed_row,
)

HOSTILE = '<img src=x"y onerror=alert(1)>'
ABSENT = WarehouseError("BigQuery refused a statement: Not found: Table ballast:risk.book_var was not found")


def _script() -> None:
    from streamlit_app.views import var_stress

    var_stress.render()


@dataclass
class Page:
    """The page under test, what it reads, and the API that it asks."""

    app: Any
    book: RiskBook
    api: FallServer

    def open(self, account_id: str = "") -> Page:
        """Open the page of the book or of an account."""
        if account_id:
            self.app.at.query_params["account"] = account_id
        self.app.open()
        assert not self.app.at.exception
        return self

    def part(self, name: str) -> str:
        """The markup of a part."""
        return str(self.app.parts()[name]["html"])

    def summaries(self) -> str:
        """The charts' words."""
        bodies = (str(each.proto.body) for each in self.app.at.get("html"))
        return " ".join(re.sub(r"<[^>]+>", " ", body) for body in bodies if "chart-summary" in body)

    def chart_titles(self) -> list[str]:
        """The headings over charts and forms."""
        return [each.value for each in self.app.at.subheader]

    def ask(self, amount: str) -> None:
        """Fill in the amount of reverse stress and ask."""
        self.app.at.text_input(key="reverse_amount").set_value(amount)
        next(each for each in self.app.at.button if each.label == "Find the fall").click().run()
        assert not self.app.at.exception


@pytest.fixture(scope="module")
def server() -> Iterator[FallServer]:
    with fall_server() as found:
        yield found


@pytest.fixture
def api(server: FallServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FallServer]:
    server.asked.clear()
    server.status, server.body = 200, fall_answer()
    with httpx.Client(trust_env=False) as client:
        monkeypatch.setattr(api_client, "api", lambda: Api(server.url, lambda: "statement", client))
        yield server


@pytest.fixture
def page(app: Any, api: FallServer, monkeypatch: pytest.MonkeyPatch) -> Page:
    book = RiskBook(app.reader)
    monkeypatch.setattr(data, "open_reader", lambda: book)
    app.at = AppTest.from_function(_script, default_timeout=60)
    return Page(app, book, api)


@pytest.mark.parametrize("role", [each for each in Role if each is not Role.SERVICE])
def test_var_page__is_the_same_for_every_role_that_signs_in(
    page: Page, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    monkeypatch.setattr(visitor, "current", lambda: Visitor("ann", role))
    page.open()
    assert "var" in {each.path for each in pages.pages_for(role)}
    assert {"model", "basis", "estimates", "verdicts", "parts", "stress", "stressed"} <= set(page.app.parts())


def test_var_page__says_what_its_figures_rest_on(page: Page) -> None:
    page.open()
    basis = page.part("basis")
    for part in ("2026-03-01", "simulated-42", "ballast-0.1.0", "simulated</span>", 'data-age="computed"'):
        assert part in basis
    ages = page.app.parts()["basis"]["ages"]
    assert ages["computed"] == 6 * 3600
    assert ages["as_of_day"] == 12 * 3600 + 34 * 60 + 56


@pytest.mark.parametrize(
    ("verdict", "words", "role"),
    [
        ("red", "The model fails its backtests", "alert"),
        ("amber", "The backtests question the model", "status"),
        ("green", "The model holds", "status"),
        ("unknown", "Whether the model holds is not known yet", "status"),
        ("purple", "Whether the model holds is not known yet", "status"),
    ],
)
def test_model_banner__has_the_verdict_in_words(book: Any, verdict: str, words: str, role: str) -> None:
    row = book.backtests[0] | {"verdict": verdict, "verdict_reason": HOSTILE}
    names = get_type_hints(VarBacktest)
    found = var_head.model_banner([VarBacktest(**{name: row.get(name) for name in names})], is_account=False)
    assert words in found
    assert f'role="{role}"' in found
    assert "<img" not in found
    assert ("&lt;img" in found) == (verdict != "purple")


def test_var_page__a_failure_as_forecast_counts_where_history_holds(page: Page) -> None:
    page.app.reader.backtests[1] |= {"verdict": "red", "verdict_reason": "red zone"}
    page.open()
    assert next(iter(page.app.parts())) == "model"
    assert "The model fails its backtests" in page.part("model")
    assert "As forecast, 99%, all days: red zone" in page.part("model")


def test_var_page__shows_figures_at_the_chosen_confidence(page: Page) -> None:
    page.open()
    assert "No figure" in page.part("estimates")
    assert "SOL has 120 of 500 returns" in page.part("estimates")
    page.app.at.selectbox(key="var_confidence").set_value(Decimal("0.95")).run()
    for part in ("5,100.10 USD", "5,000.10 to 5,300.10", "order statistics", "500 of 500 days, one-day returns"):
        assert part in page.part("estimates")
    assert "Value at Risk at 95% is 5,100.10 USD" in page.summaries()


def test_var_page__unknown_scenarios_are_counted_and_not_drawn(page: Page) -> None:
    page.book.scenarios = scenario_rows("-10", None, "20")
    page.open()
    assert "2 scenarios from \u221210.00 USD to 20.00 USD; 1 scenario unknown" in page.summaries()
    page.book.scenarios = scenario_rows(None, None)
    page.app.run(seconds_later=61)
    assert "No scenario of these positions is known" in page.part("distribution")


def test_var_page__every_test_has_its_p_value_and_what_was_not_computed_says_so(page: Page) -> None:
    page.app.reader.backtests[0] |= {
        "kupiec_statistic": 0.31,
        "kupiec_exact_p_value": 0.5712,
        "duration_p_value": 0.0002,
        "zone": "green",
    }
    page.open()
    tests = page.part("tests_all_days")
    for part in ("Kupiec", "0.571", "&lt; 0.001", "not computed", "Green zone", "none is defined", "McNeil-Frey"):
        assert part in tests


def test_var_page__exceptions_are_marked_and_listed_by_pages(page: Page) -> None:
    page.book.exceptions = [exception_row(date(2026, 1, day), f"-{700 + day}", "500") for day in range(25, 0, -1)]
    page.open()
    assert page.part("exceptions").count("<tr") == 11
    assert "2026-01-25" in page.part("exceptions")
    next(each for each in page.app.at.button if each.label == "Next").click().run()
    assert "2026-01-25" not in page.part("exceptions")
    assert "2026-01-15" in page.part("exceptions")


def test_var_page__forecasts_as_published_stand_beside_what_followed(page: Page) -> None:
    page.book.forecasts = [
        forecast_row(date(2026, 2, 27), "500", "-700"),
        forecast_row(date(2026, 2, 28), "600", "40"),
        forecast_row(date(2026, 3, 1), "610", None),
    ]
    page.book.exceptions = [exception_row(date(2026, 2, 28), "-700", "500", "stored_forecasts")]
    page.open()
    page.app.at.button_group(key="var_kind").set_value("stored_forecasts").run()
    assert "1 exception in 2 days with a P&amp;L" in page.summaries()
    assert "not known yet" in page.part("forecasts")
    assert "\u2212700.00 USD" in page.part("exceptions")


def test_var_page__accounts_of_a_scenario_come_a_page_at_a_time(page: Page) -> None:
    page.book.stressed[20] |= {"status_after": "margin_call"}
    page.open()
    assert page.part("stressed").count("data-account") == 15
    assert "acct-00001" in page.part("stressed")
    [following] = [each for each in page.app.at.button if each.label == "Next"]
    following.click().run()
    assert "acct-00016" in page.part("stressed")
    assert "acct-00001" not in page.part("stressed")
    page.app.at.selectbox(key="stress_status").set_value("margin_call").run()
    assert page.part("stressed").count("data-account") == 1
    page.app.at.selectbox(key="stress_status").set_value("no_debt").run()
    assert "No account has that status" in page.part("stressed")


def test_var_page__components_by_account_open_the_account(page: Page) -> None:
    page.open()
    assert "BTC adds most, 900.00 USD of 800.00 USD; USDC takes away from it." in page.summaries()
    page.app.reader.components = [page.app.reader.components[0] | {"part_id": "acct-00001", "part_kind": "account"}]
    page.app.at.button_group(key="var_part_kind").set_value("account").run()
    assert 'data-account="acct-00001"' in page.part("parts")


def test_var_page__of_an_account_shows_its_own_figures_and_no_reverse_stress(page: Page) -> None:
    page.open("acct-00001")
    assert "This account is not backtested by itself" in page.part("model")
    assert "What this account adds to the book" in page.part("parts")
    assert "March 2020" in page.part("stress")
    assert "9.50%" in page.part("stress")
    assert "How far must an asset fall?" not in page.chart_titles()


@pytest.mark.parametrize("account_id", ["acct-99999", HOSTILE])
def test_var_page__of_an_account_without_estimates_says_so(page: Page, account_id: str) -> None:
    page.open(account_id)
    assert "has no estimate." in page.app.words()
    assert list(page.app.parts()) == ["state"]
    assert "<img" not in page.app.html()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotReadyError("BigQuery does not answer"), "Connecting"),
        (ABSENT, "The marts are not built yet"),
        (WarehouseError("Quota exceeded"), "Quota exceeded"),
        (None, "The marts are not built yet"),
    ],
)
def test_var_page__without_figures_says_why_and_shows_none(page: Page, error: Exception | None, words: str) -> None:
    page.app.reader.error = error
    page.app.reader.estimates = []
    page.open()
    assert words in page.app.words()
    assert list(page.app.parts()) == ["state"]


def test_var_page__old_figures_are_under_a_banner_and_dated(page: Page) -> None:
    page.open()
    page.app.reader.error = NotReadyError("BigQuery does not answer")
    page.app.run(seconds_later=120)
    parts = page.app.parts()
    assert next(iter(parts)) == "banner"
    assert "BigQuery does not answer" in page.part("banner")
    assert parts["basis"]["is_old"]
    assert parts["estimates"]["is_old"]
    assert parts["basis"]["ages"]["computed"] == 6 * 3600 + 120
    assert all("old figures" in title for title in page.chart_titles() if title != "How far must an asset fall?")


def test_var_page__estimates_of_an_old_day_say_so(page: Page) -> None:
    page.open()
    assert "old" not in page.app.parts()
    for row in page.app.reader.estimates:
        row["as_of_date"] = date(2026, 2, 26)
    page.app.run(seconds_later=61)
    assert "closes of 2026-02-26" in page.part("old")


def test_var_page__a_part_that_cannot_be_read_leaves_the_others(page: Page) -> None:
    unread = (
        (var_queries.BACKTESTS_SQL, "verdicts", "risk.var_backtests"),
        (var_queries.COMPONENTS_SQL, "parts", "risk.var_components"),
        (var_page_queries.SCENARIO_PNL_SQL, "distribution", "intermediate.int_risk__scenarios"),
        (var_page_queries.STRESSED_COUNT_SQL, "stressed", "risk.stress_account_results"),
    )
    page.app.reader.errors |= {sql: WarehouseError("Quota exceeded") for sql, _, _ in unread}
    page.open()
    for _, part, table in unread:
        assert f"BigQuery refused to read {table}" in page.part(part)
    assert "Whether the model holds is not known" in page.part("model")
    assert "Not backtested" in page.part("basis")
    assert {"estimates", "stress"} <= set(page.app.parts())


def test_var_page__takes_nothing_from_data_as_markup(page: Page) -> None:
    for row in (
        *page.app.reader.estimates,
        *page.app.reader.backtests,
        *page.app.reader.components,
        *page.app.reader.stress,
        *page.book.stressed,
    ):
        names = ("price_set_id", "reason", "verdict_reason", "part_id", "name", "shock_sources", "account_id", "notes")
        row |= {name: HOSTILE for name in names if name in row}
    page.open()
    assert {"estimates", "verdicts", "parts", "stress", "stressed"} <= set(page.app.parts())
    assert "<img" not in page.app.html() + page.summaries()


def test_reverse_stress__asks_the_api_and_says_the_fall_in_a_sentence(page: Page) -> None:
    page.open()
    assert not page.api.asked
    page.ask("1,000,000 USD")
    assert page.api.asked == [{"asset": ["BTC"], "measure": ["equity"], "loss_usd": ["1000000"]}]
    assert "BTC must fall by 34.22% until the accounts&#x27; equity has fallen by 1,000,000.00 USD." in page.part(
        "answer"
    )
    assert "2026-03-01" in page.part("answer")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"fall_ratio": None, "reason": "already_lost"}, "No fall is needed"),
        ({"fall_ratio": None, "reason": "never_reached"}, "Not even a price of zero"),
        ({"fall_ratio": None, "reason": "no_exposure"}, "has no exposure"),
        ({"fall_ratio": None, "reason": "unpriced", "unpriced_accounts": 2}, "Unknown: 2 accounts have a position"),
        ({"fall_ratio": None}, "Unknown: the API gave no figure and no reason"),
        ({"fall_ratio": "much"}, "answer cannot be read"),
        ({"asset": HOSTILE}, "&lt;img"),
    ],
)
def test_reverse_stress__without_a_fall_says_why(api: FallServer, answer: dict[str, Any], words: str) -> None:
    api.body = fall_answer(**answer)
    found = var_reverse.answer_html(var_reverse.ask("BTC", Measure.EQUITY, Decimal(5)))
    assert words in found
    assert "<img" not in found


@pytest.mark.parametrize(
    ("status", "words"),
    [(422, "The API refused the question"), (503, "The API does not answer"), (0, "The API does not answer")],
)
def test_reverse_stress__refusal_and_silence_of_the_api_are_told_apart(
    api: FallServer, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    api.status, api.body = status or 200, {"error": {"code": "x", "message": HOSTILE}}
    if not status:
        nobody = free_port()
        with httpx.Client(trust_env=False) as client:
            monkeypatch.setattr(api_client, "api", lambda: Api(f"http://127.0.0.1:{nobody}", lambda: "s", client))
            found = var_reverse.answer_html(var_reverse.ask("BTC", Measure.EQUITY, Decimal(5)))
    else:
        found = var_reverse.answer_html(var_reverse.ask("BTC", Measure.EQUITY, Decimal(5)))
    assert words in found
    assert "<img" not in found


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1,000,000", "1000000"),
        (" 5.25 usd ", "5.25"),
        ("", None),
        ("0", None),
        ("-5", None),
        ("1e6", None),
        ("many", None),
        ("1.234", None),
        ("9" * 30, None),
        ("\u0661", None),
    ],
)
def test_reverse_stress__reads_plain_amounts_only(text: str, amount: str | None) -> None:
    assert var_reverse.parsed_amount(text) == (None if amount is None else Decimal(amount))


def test_reverse_stress__an_amount_that_is_none_is_not_asked(page: Page) -> None:
    page.open().ask("many")
    assert not page.api.asked
    assert "Enter an amount in USD" in page.app.at.error[0].value


def test_var_page__reads_each_query_once_a_minute_for_all(page: Page) -> None:
    page.open()
    asked = len(page.book.asked)
    page.app.run(seconds_later=1)
    assert [sql for sql, _ in page.book.asked[asked:] if sql != queries.ACCOUNT_IDS_SQL] == []


def test_var_page__an_account_of_the_ladder_is_unknown_where_its_scenario_is(page: Page) -> None:
    nothing = {"pnl_usd": None, "health_after_pct": None, "collateral_to_sell_usd": None, "reason": "no shock of NEW"}
    page.book.stressed = [stressed_row(1, status="unpriced", **nothing)]
    page.open()
    assert "no shock of NEW" in page.part("stressed")
    assert "Unpriced" in page.part("stressed")
    assert ">unknown<" in page.part("stressed")
