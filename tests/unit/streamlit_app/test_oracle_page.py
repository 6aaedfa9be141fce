"""The oracle's page in each of its states: as the hub renders it, and under Streamlit's AppTest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from assets.market_data import oracle_queries, price_quality_queries
from assets.risk import overview_queries
from compliance.model import Role
from infra.runtime.errors import NotReadyError, WarehouseError
from infra.runtime.settings import Settings
from ingest.prices import reads as price_reads
from streamlit_app import data, pages, visitor
from streamlit_app.server.channels import LivePage
from streamlit_app.server.live import Hub
from streamlit_app.server.topics import register_topics
from streamlit_app.views import oracle
from streamlit_app.visitor import Visitor
from tests.unit.streamlit_app.oracle_book import OracleBook, reading_row, rejected_row, source_row

HOSTILE = '<img src=x"y onerror=alert(1)>'
ABSENT = WarehouseError("BigQuery refused a statement: Not found: Table ballast:raw.oracle_sources was not found")


def _script() -> None:
    from streamlit_app.views import oracle

    oracle.render()


@dataclass
class Page:
    """The page under test and what it reads."""

    app: Any
    book: OracleBook

    def open(self) -> Page:
        """Open the page in a browser's stead."""
        self.app.at = AppTest.from_function(_script, default_timeout=60)
        self.app.open()
        assert not self.app.at.exception
        return self

    def live(self) -> LivePage:
        """The page as the hub renders it."""
        return oracle.live_page()

    def part(self, name: str) -> str:
        """What a section of the live page says, without tags."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", self.live().sections[name])).split())

    def press(self, label: str) -> None:
        """Press a button."""
        next(each for each in self.app.at.button if each.label == label).click().run()
        assert not self.app.at.exception

    def summaries(self) -> str:
        """The charts' words."""
        return " ".join(str(each.proto.body) for each in self.app.at.get("html") if "chart-summary" in each.proto.body)


@pytest.fixture
def page(app: Any, monkeypatch: pytest.MonkeyPatch) -> Page:
    book = OracleBook(app.reader)
    monkeypatch.setattr(data, "open_reader", lambda: book)
    return Page(app, book)


@pytest.mark.parametrize("role", [each for each in Role if each is not Role.SERVICE])
def test_oracle_page__is_the_same_for_every_role_that_signs_in(
    page: Page, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    monkeypatch.setattr(visitor, "current", lambda: Visitor("ann", role))
    page.open()
    assert "oracle" in {each.path for each in pages.pages_for(role)}
    assert Hub().refusal("oracle", role) is not None
    assert register_topics(Hub()).refusal("oracle", role) is None
    assert {"summary", "sources", "prices", "readings", "timeline", "rejected", "history"} <= set(page.app.parts())


def test_sources__show_state_ages_and_the_last_error(page: Page) -> None:
    told = {"last_error_code": "rate_limited", "last_error_reason": "429", "failures": 2}
    page.book.sources = [source_row("chainlink", "open", **told), source_row("pyth", "half_open")]
    words = page.part("sources")
    for part in (
        "Does not count",
        "breaker open since 2026-03-02 10:34:56 UTC",
        "On probation",
        "counts only where no other source does",
        "rate_limited",
        "429",
        "px-set",
        "Simulated assets BTC",
    ):
        assert part in words
    ages = page.live().ages
    assert ages["answered:pyth"] == 4
    assert ages["ticked:chainlink"] == 7
    assert "0 of 2" in page.part("summary")


@pytest.mark.parametrize("told_s", [46, 600])
def test_sources__of_a_silent_oracle_are_unknown(page: Page, told_s: float) -> None:
    page.book.sources = [source_row("chainlink", told_s=told_s), source_row("pyth", told_s=told_s)]
    words = page.part("sources")
    assert words.count("Unknown") == 2
    assert "it last said \u201ccounts\u201d at" in words
    assert "The oracle is silent" in page.part("summary")
    assert "of 2" not in page.part("summary").split("Prices that are current")[0]


def test_prices__show_status_limit_and_how_far_the_sources_lie_apart(page: Page) -> None:
    words = page.part("prices")
    for part in ("70,000.00 USD", "limit 1 h", "10.0 bp", "limit 200 bp", "Degraded", "one source", "not comparable"):
        assert part in words
    assert page.live().ages["price:BTC"] == 12
    assert "1 of 2" in page.part("summary")


def test_prices__that_contradict_each_other_are_marked(page: Page) -> None:
    page.book.readings = [reading_row("BTC", "chainlink", "70000"), reading_row("BTC", "pyth", "72000")]
    assert "contradict" in page.part("prices")


def test_readings__of_old_looks_say_nothing_of_the_spread(page: Page) -> None:
    page.live()
    page.app.reader.errors[oracle_queries.LAST_READINGS_SQL] = WarehouseError("Quota exceeded")
    page.app.clock.advance(data.SLOW_MAX_AGE)
    assert "10.0 bp" not in page.part("prices")


def test_readings__show_age_against_limit_and_why_one_was_not_used(page: Page) -> None:
    refused = {"used": False, "exclusion_code": "stale", "exclusion_reason": "stale since noon"}
    page.book.readings = [
        reading_row("BTC", "chainlink", "70000", age_s=100),
        reading_row("BTC", "pyth", "70070", age_s=31, **refused),
        reading_row("ETH", "pyth", None, exclusion_code="bad_answer", exclusion_reason="negative", tick_price_usd=None),
    ]
    words = page.part("readings")
    for part in (
        "1 min limit 1 h 10 min",
        "31 s beyond its limit limit 30 s",
        "Not used: stale",
        "stale since noon",
        "Not used: bad_answer",
        "No reading",
    ):
        assert part in words
    assert page.live().ages["reading:BTC:pyth"] == 41
    assert page.live().ages["reading:ETH:pyth"] is None


def test_rejected__stand_with_code_and_reason_or_there_are_none(page: Page) -> None:
    page.book.rejected = [rejected_row("BTC", "contradicts"), rejected_row("ETH", "bad_answer", None)]
    words = page.part("rejected")
    for part in ("contradicts", "because of contradicts", "69,000.00 USD", "no price", "for 3 prices"):
        assert part in words
    page.book.rejected = []
    page.app.clock.advance(data.SLOW_MAX_AGE)
    assert "None in the last 24 hours" in page.part("rejected")


def test_timeline__shows_when_a_price_was_degraded_and_assets_that_never_had_one(page: Page) -> None:
    words = page.part("timeline")
    assert "BTC" in words
    assert "1 h Degraded, from 2026-03-01 16:34:56 UTC" in words
    assert "only chainlink" in words
    assert "XRP 0.0% 0.0% 0.0% 100.0%" in words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotReadyError("BigQuery does not answer"), "Connecting"),
        (ABSENT, "The marts are not built yet"),
        (WarehouseError("Quota exceeded"), "Quota exceeded"),
    ],
)
def test_oracle_page__without_figures_says_why(page: Page, error: Exception, words: str) -> None:
    page.app.reader.error = error
    assert list(page.live().sections) == ["state"]
    assert words in page.part("state")


def test_oracle_page__before_the_first_price_says_what_to_do(page: Page) -> None:
    page.book.sources, page.app.reader.prices = [], []
    assert "No price has arrived yet" in page.part("state")


def test_oracle_page__old_figures_are_greyed_dated_and_under_a_banner(page: Page) -> None:
    page.live()
    page.app.reader.error = NotReadyError("BigQuery does not answer")
    page.app.clock.advance(data.SLOW_MAX_AGE)
    found = page.live()
    assert found.is_old
    assert "BigQuery does not answer; last data" in page.part("banner")
    assert found.ages["data"] == 60
    assert found.ages["price:BTC"] == 72
    # What the oracle said a minute ago is no word about now.
    assert page.part("sources").count("Unknown") == 2


@pytest.mark.parametrize(
    ("sql", "part", "table"),
    [
        (price_reads.SOURCE_STATES_SQL, "sources", "raw.oracle_sources"),
        (overview_queries.ASSET_PRICES_SQL, "prices", "intermediate.int_market__latest_prices"),
        (oracle_queries.LAST_READINGS_SQL, "readings", "raw.price_ticks"),
        (oracle_queries.REJECTED_SQL, "rejected", "raw.price_ticks"),
        (price_quality_queries.PERIODS_SQL, "timeline", "raw.market_prices"),
        (oracle_queries.CLOSES_SQL, "sources", "raw.price_sets"),
    ],
)
def test_oracle_page__a_part_that_cannot_be_read_leaves_the_others(page: Page, sql: str, part: str, table: str) -> None:
    page.app.reader.errors[sql] = WarehouseError("Quota exceeded")
    assert f"BigQuery refused to read {table}" in page.part(part)
    assert {"summary", "sources", "prices", "readings", "timeline", "rejected"} <= set(page.live().sections)


def test_oracle_page__without_a_usable_feed_table_says_that_limits_are_unknown(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds = tmp_path / "feeds.toml"
    feeds.write_text("chain_id = [")
    monkeypatch.setattr(data, "load_settings", lambda: Settings(state_dir=tmp_path, price_feeds=feeds))
    assert "Limits are unknown: The feed table" in page.part("readings")
    assert "limit unknown" in page.part("readings")
    page.open()
    assert "is no TOML" in page.app.parts()["no_asset"]["html"]


def test_oracle_page__takes_nothing_from_data_as_markup(page: Page) -> None:
    names = ("asset", "source", "exclusion_code", "exclusion_reason", "reference", "reason", "price_set_id")
    told = ("last_error_code", "last_error_reason", "degraded_reason", "sources", "simulated_assets")
    page.book.sources = [source_row("pyth", last_error_code="x", last_error_reason="x")]
    for row in (
        *page.book.readings,
        *page.book.rejected,
        *page.book.periods,
        *page.book.sources,
        *page.book.closes,
        *page.app.reader.prices,
    ):
        row |= {name: HOSTILE for name in (*names, *told[:3]) if name in row}
    for row in page.app.reader.prices:
        row["sources"] = '[{"name": "<img src=x>"}]'
    page.book.closes[0]["simulated_assets"] = '["<img src=x>"]'
    html = "".join(page.live().sections.values())
    assert "&lt;img" in html
    assert "<img" not in html


def test_one_asset__has_its_price_and_spread_in_words_and_figures(page: Page) -> None:
    page.open()
    assert "in 10 published prices; 2 of them not current" in page.summaries()
    assert "At most 12.5 bp apart" in page.summaries()
    assert "the limit is 200 bp" in page.summaries()
    assert "in 1 span only one source had a price" in page.summaries()
    page.app.at.selectbox(key="oracle_asset").set_value("ETH").run()
    assert [each.value for each in page.app.at.subheader] == [
        "Price of ETH, last 24 hours",
        "How far the sources of ETH lie apart, last 24 hours",
    ]


def test_one_asset__prices_come_a_page_at_a_time(page: Page) -> None:
    page.open()
    history = page.app.parts()["history"]["html"]
    assert history.count("<tr") == 16
    assert "70,001.00 USD" in history
    page.press("Older")
    assert "70,016.00 USD" in page.app.parts()["history"]["html"]
    assert "70,001.00 USD" not in page.app.parts()["history"]["html"]
    page.press("Older")
    assert page.app.parts()["history"]["html"].count("<tr") == 11
    page.press("Newer")
    assert "70,016.00 USD" in page.app.parts()["history"]["html"]


def test_one_asset__without_prices_says_so(page: Page) -> None:
    page.book.path = page.book.spreads = page.book.published = []
    page.open()
    parts = page.app.parts()
    assert "Nothing to show in the last 24 hours" in parts["path"]["html"]
    assert "Nothing to show" in parts["spread"]["html"]
    assert "None in this time" in parts["history"]["html"]
