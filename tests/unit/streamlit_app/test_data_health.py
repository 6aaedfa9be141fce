"""The page of data health in each of its states: every source by itself may be away, wrong or fine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from assets.risk import health_queries
from compliance.mirror_lag import ChainLag
from infra.runtime.errors import NotReadyError, WarehouseError
from infra.runtime.heartbeats import Beat
from infra.runtime.settings import Settings
from streamlit_app import data, health
from streamlit_app.health import MirrorLags
from streamlit_app.server.topics import register_topics
from tests.unit.streamlit_app.conftest import NOW, App, FakeReader, Row, backtest_row
from tests.unit.streamlit_app.operations_server import Operations, operations

ANSWER = json.loads(Path(__file__).with_name("dagster_answer.json").read_text())
READY = {
    "status": "ready",
    "parts": {name: {"state": "up", "reason": None} for name in ("authentication", "bigquery", "postgres")},
    "workers": {
        "margin_sensor": {"state": "up", "reason": None, "beat_at": None, "age_seconds": 1.0},
        "oracle": {"state": "down", "reason": "heartbeat_old", "beat_at": None, "age_seconds": 61.0},
    },
    "checked_at": NOW.isoformat(),
}
HOSTILE = "<img src=x onerror=alert(1)>"


def _age_row(name: str, minutes: float | None, day: bool = False) -> Row:
    last = None if minutes is None else NOW - timedelta(minutes=minutes)
    return {"table_name": name, "last_row_at": last, "last_date": NOW.date() if day else None}


class HealthReader(FakeReader):
    """The small book's reader, with ages of tables and messages set aside."""

    ages = (
        _age_row("raw.market_prices", 1),
        _age_row("risk.book_var", 60, day=True),
        _age_row("raw.notification_events", None),
    )
    letters: tuple[Row, ...] = ()

    def _answers(self) -> dict[str, Any]:
        raw = [row for row in self.ages if row["table_name"].startswith("raw")]
        marts = [row for row in self.ages if row["table_name"].startswith("risk")]
        return super()._answers() | {
            health_queries.RAW_AGES_SQL: lambda _: raw,
            health_queries.MART_AGES_SQL: lambda _: marts,
            health_queries.DEAD_LETTERS_SQL: lambda _: list(self.letters),
        }


@pytest.fixture
def book() -> FakeReader:
    """In place of the small book: prices that are fine, and a backtest that holds."""
    return HealthReader()


@pytest.fixture
def servers() -> Iterator[Operations]:
    with operations() as server:
        server.answers |= {"/graphql": (200, ANSWER), "/readyz": (200, READY)}
        yield server


@pytest.fixture
def page(app: App, servers: Operations, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> App:
    """The page over servers that answer; `app.run()` looks at it again."""
    settings = Settings(state_dir=tmp_path, dagster_url=servers.url, api_url=servers.url)
    monkeypatch.setattr(data, "load_settings", lambda: settings)
    beats = {
        "margin_sensor": Beat("margin_sensor", NOW, 1.0, "looks at 200 accounts"),
        "archive-copier": Beat("archive-copier", NOW, 5.0),
    }
    lags = MirrorLags({"notification_states": 12.0, "preference_changes": 0.0}, (ChainLag("decisions", 3, 65.0, None),))
    monkeypatch.setattr(health, "ask_beats", lambda: beats)
    monkeypatch.setattr(health, "ask_mirrors", lambda: lags)
    # A busy machine is not a server that is away.
    monkeypatch.setattr(health, "PATIENCE_S", 30.0)
    return app


def _open(app: App) -> App:
    def script() -> None:
        from streamlit_app.views import data_health

        data_health.render()

    app.at = AppTest.from_function(script, default_timeout=60)
    app.at.run()
    assert not app.at.exception
    return app


def test_page__shows_every_source_in_words(page: App) -> None:
    words = _open(page).words()
    assert page.at.title[0].value == "Data health"
    for part in (
        "Too old: 1 table (risk.portfolio_exposures).",
        "Never built: 1 table (compliance.rescreening).",
        "1 check failed: book_verdict.",
        "1 check warned: warns.",
        "1 check did not end: cut_off.",
        "The last run failed of risk_daily_job.",
        "Price oracle is down: gave no sign of life for too long.",
        "Ready",
        "red: 40 exceptions",
        "2 failed, 1 did not end, 1 passed, 1 never ran",
        "looks at 200 accounts",
        "none in 30 days",
        "late after 1 d 2 h",
        "Alerting: steps of notifications",
        "12 s",
        "Compliance: decisions",
        "3 1 min never",
        "None in the last 7 days.",
        "so far",
    ):
        assert part in words, part


def test_page__leads_to_dagster_for_assets_checks_and_runs(page: App, servers: Operations) -> None:
    html = _open(page).html()
    for address in (
        f"{servers.url}/assets/risk/book_var",
        f"{servers.url}/assets/risk/book_var?view=checks&amp;checkDetail=book_verdict",
        f"{servers.url}/runs/run-1",
    ):
        assert f'href="{address}" target="_blank"' in html, address


def test_page__leads_people_to_dagsters_public_address(
    page: App, servers: Operations, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(
        state_dir=tmp_path, dagster_url=servers.url, dagster_public_url="https://dagster.example", api_url=servers.url
    )
    monkeypatch.setattr(data, "load_settings", lambda: settings)
    html = _open(page).html()
    assert "https://dagster.example/runs/run-1" in html
    assert f'href="{servers.url}' not in html


def test_page__tables_that_ask_for_attention_come_first(page: App) -> None:
    tables = _open(page).parts()["tables"]["html"]
    order = [tables.index(name) for name in ("risk.portfolio_exposures", "compliance.rescreening", "risk.book_var")]
    assert order == sorted(order)
    assert page.parts()["tables"]["ages"]["table:raw.market_prices"] == 60


@pytest.mark.parametrize(
    ("answer", "words"),
    [((500, "broken"), "Dagster answers 500"), ((200, "<html>"), "Dagster answers in a way that is not known")],
)
def test_page__without_dagster_shows_the_rest_and_calls_nothing_in_time(
    page: App, servers: Operations, answer: tuple[int, str], words: str
) -> None:
    servers.answers["/graphql"] = answer
    shown = _open(page).words()
    assert words in shown
    assert "Limit unknown" in shown
    assert "In time" not in shown
    assert "raw.market_prices" in shown
    assert "Margin sensor Works" in shown
    assert "No check fails" not in shown


def test_page__without_dagsters_address_says_which_setting(page: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load_settings", lambda: Settings(api_url="http://127.0.0.1:9"))
    assert "BALLAST_DAGSTER_URL is not set" in _open(page).words()


def test_page__says_in_red_words_which_part_of_the_api_is_away(page: App, servers: Operations) -> None:
    parts = READY["parts"] | {"postgres": {"state": "down", "reason": "timeout"}}  # type: ignore[operator]
    servers.answers["/readyz"] = (503, READY | {"status": "not_ready", "parts": parts})
    shown = _open(page)
    assert 'class="banner error" role="alert"' in shown.parts()["parts"]["html"]
    assert "PostgreSQL is down for the API: did not answer in time." in shown.words()
    assert "The API cannot serve: a part that it needs is down." in shown.words()


def test_page__without_the_api_no_process_works_for_sure(page: App, servers: Operations) -> None:
    servers.answers["/readyz"] = (502, "Bad gateway")
    words = _open(page).words()
    assert "The API gave no answer to use." in words
    assert "Margin sensor Unknown" in words
    assert "the API, which judges it, cannot be asked" in words
    assert "Works" not in words


def test_page__while_the_warehouse_is_away_shows_processes_and_dagster(page: App) -> None:
    page.reader.error = NotReadyError("did not answer")
    words = _open(page).words()
    assert "BigQuery could not be asked: did not answer" in words
    assert "Margin sensor Works" in words
    assert "risk.portfolio_exposures" in words
    assert "not asked" in words
    assert "Green: holds" not in words


def test_page__without_postgresql_shows_the_rest(page: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Any:
        raise NotReadyError("PostgreSQL does not answer (OperationalError).")

    monkeypatch.setattr(health, "ask_beats", away)
    monkeypatch.setattr(health, "ask_mirrors", away)
    words = _open(page).words()
    assert "PostgreSQL, which keeps signs of life, does not answer yet." in words
    assert "Margin sensor Works" in words
    assert "raw.market_prices" in words


def test_page__before_the_marts_are_built_says_so(page: App) -> None:
    absent = WarehouseError("Not found: Table ballast:risk.book_var was not found")
    page.reader.errors = {health_queries.MART_AGES_SQL: absent}
    words = _open(page).words()
    assert "dataset risk is not there yet: run the risk_daily_job in Dagster." in words
    assert "raw.market_prices" in words


def test_page__marks_what_could_not_be_read_anew_and_recovers(page: App, servers: Operations) -> None:
    _open(page)
    servers.answers["/graphql"] = (500, "broken")
    page.run(seconds_later=40)
    assert "could not be read anew since 12:34:56 UTC" in page.parts()["checks"]["html"]
    assert "book_verdict" in page.words()
    servers.answers["/graphql"] = (200, ANSWER)
    page.run(seconds_later=40)
    assert "could not be read anew" not in page.html()


def test_page__escapes_what_others_wrote(page: App, servers: Operations) -> None:
    page.reader.letters = (  # type: ignore[attr-defined]
        {"topic": HOSTILE, "reason_code": "bad_json", "messages": 2, "last_at": NOW, "example": HOSTILE},
    )
    answer = json.loads(json.dumps(ANSWER).replace("red: 40 exceptions", HOSTILE))
    servers.answers["/graphql"] = (200, answer)
    html = _open(page).html()
    assert HOSTILE not in html
    assert "2 messages were set aside lately." in page.words()


def test_page__says_that_all_is_well_only_where_everything_is(page: App, servers: Operations) -> None:
    assert "All well" not in _open(page).words()
    nodes = [ANSWER["data"]["assetNodes"][0] | {"assetChecksOrError": {"checks": []}}]
    servers.answers["/graphql"] = (200, {"data": {"assetNodes": nodes, "runsOrError": {"results": []}}})
    workers = {"margin_sensor": {"state": "up"}, "archive-copier": {"state": "up"}}
    servers.answers["/readyz"] = (200, READY | {"workers": workers})
    page.reader.backtests = [backtest_row("history", "all_days", "green", "coverage holds")]
    page.run(seconds_later=120)
    assert "All well" in page.words()
    page.reader.error = NotReadyError("did not answer")
    page.run(seconds_later=120)
    assert "All well" not in page.words()


def test_topic__is_live() -> None:
    class Registered:
        def __init__(self) -> None:
            self.topics: list[str] = []

        def register(self, topic: str, *_arguments: object, **_more: object) -> None:
            self.topics.append(topic)

    hub = Registered()
    register_topics(hub)  # type: ignore[arg-type]
    assert "health" in hub.topics
