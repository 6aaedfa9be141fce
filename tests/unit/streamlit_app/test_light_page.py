"""The light page: real figures in one small answer, and nothing that is not so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
import streamlit as st

from compliance.model import Role
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError
from infra.runtime.settings import Settings
from streamlit_app import data
from streamlit_app.pages import PAGES, PageSpec
from streamlit_app.server import home
from streamlit_app.server.headers import script_hash
from streamlit_app.server.html import BOOT_JS
from streamlit_app.server.live import Hub
from streamlit_app.server.session import Visitor
from streamlit_app.server.topics import register_topics
from tests.unit.streamlit_app.live_server import Asker, Guest, guarded

HOSTILE = '<img src=x"y onerror=alert(1)>'
MOST_BYTES = 30_000


@pytest.fixture
def client(book, now_clock: FixedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Asker]:
    """The light page over the small book, for an officer."""
    monkeypatch.setattr(data, "open_reader", lambda: book)
    monkeypatch.setattr(data, "system_clock", lambda: now_clock)
    monkeypatch.setattr(data, "load_settings", lambda: Settings(state_dir=tmp_path))
    st.cache_resource.clear()
    app = guarded(home.routes(register_topics(Hub()), now_clock), Guest())
    yield Asker(app)
    st.cache_resource.clear()


def words_of(html: str) -> str:
    """What the page says, without tags and scripts."""
    body = re.sub(r"<(script|style)>.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_light_page__shows_the_book_without_any_script(client: Asker, book) -> None:
    html = client.get("/").text
    words = words_of(html)
    collateral = sum(row["collateral_usd"] for row in book.accounts)
    for part in (
        f"Collateral {collateral:,.2f} USD",
        "Borrow 200,000.00 USD",
        "Data as of 12:34:56 UTC , 0 s ago",
        "Oldest price 1 min old",
        "simulated",
        "BTC 70,000.00 USD",
        "12 s old",
        "+2.0%",
        "one source",
        "acct-00002 no open episode to Margin call",
        "Deposits 1,234.50 USD",
        "value unknown: a price is missing",
        "ann, Officer",
        "Made at 2026-03-02 12:34:56 UTC.",
    ):
        assert part in words, part
    assert 'aria-label="Margin health' in html
    assert '<noscript><meta http-equiv="refresh"' in html
    assert f'href="/app/?account={book.accounts[0]["account_id"]}"' in html


def test_light_page__is_not_kept_and_runs_its_own_script_only(client: Asker) -> None:
    answer = client.get("/")
    assert answer.headers["cache-control"] == "no-store"
    assert script_hash(BOOT_JS) in answer.headers["content-security-policy"]
    assert re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL) == [BOOT_JS]
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_light_page__is_small(client: Asker, book, health_row, encoding: str) -> None:
    book.events = [book.events[0] | {"margin_event_id": f"e{number}"} for number in range(12)]
    book.prices = [book.prices[0] | {"asset": f"ASSET{number}"} for number in range(20)]
    answer = client.get("/", headers={"accept-encoding": encoding})
    assert answer.headers["content-encoding"] == encoding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) < MOST_BYTES
    # httpx has decompressed it.
    assert answer.text == client.get("/").text


def test_light_page__takes_nothing_from_data_as_markup(client: Asker, book, health_row, exposure_row) -> None:
    book.accounts = [health_row(HOSTILE, "44", "unpriced", unpriced_assets=HOSTILE)]
    book.positions = {HOSTILE: [exposure_row(HOSTILE, HOSTILE, "collateral", "10", "150", price_status=HOSTILE)]}
    for row in (*book.events, *book.prices, *book.points, *book.changes, *book.flows):
        named = ("account_id", "severity", "asset", "price_status", "degraded_reason", "previous_severity", "kind")
        row |= {name: HOSTILE for name in named if name in row}
    for row in book.prices:
        row["sources"] = '[{"name": "<img src=x onerror=alert(2)>"}]'
    html = client.get("/").text
    assert "onerror=alert" in html
    assert "<img" not in html
    assert 'x"y' not in html


def test_light_page__shows_old_figures_as_old(client: Asker, book, now_clock: FixedClock) -> None:
    client.get("/")
    book.error = NotReadyError("did not answer")
    now_clock.advance(timedelta(seconds=40))
    html = client.get("/").text
    assert 'data-old="yes"' in html
    assert "BigQuery does not answer; last data 40 s old" in words_of(html)
    assert "Data as of 12:34:56 UTC , 40 s ago" in words_of(html)


def test_light_page__that_never_read_anything_says_that_it_connects(client: Asker, book) -> None:
    book.error = NotReadyError("did not answer")
    words = words_of(client.get("/").text)
    assert "Connecting" in words
    assert "Collateral" not in words


def test_light_page__does_not_wait_for_a_slow_warehouse(client: Asker, book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "PATIENCE_S", 0.0)
    words = words_of(client.get("/").text)
    assert "Connecting" in words


def test_light_page__links_to_the_pages_of_the_role(client: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = PageSpec("Only auditors", "ledger", "Compliance", lambda: None, frozenset({Role.AUDITOR}))
    monkeypatch.setattr("streamlit_app.pages.PAGES", (*PAGES, secret))
    assert "Only auditors" not in client.get("/").text
    auditor = guarded(home.routes(register_topics(Hub())), Guest(Visitor("aud", Role.AUDITOR)))
    assert 'href="/app/ledger"' in Asker(auditor).get("/").text


def test_light_page__prefetches_what_the_full_app_loads_first() -> None:
    files = home.app_files()
    assert all(path.startswith("/app/static/") for path, _ in files)
    assert {kind for _, kind in files} == {"script", "style"}
    folder = Path(st.__file__).parent / "static"
    assert all((folder / path.removeprefix("/app/")).is_file() for path, _ in files)
