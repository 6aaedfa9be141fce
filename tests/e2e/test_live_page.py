"""The light page in a real browser over a small book: it changes by itself, and says when it cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import streamlit as st
from playwright.sync_api import Browser, Page, expect

from infra.embedded.ports import free_ports
from infra.runtime.errors import NotReadyError
from infra.runtime.settings import Settings
from streamlit_app import data
from streamlit_app.server import home, live
from streamlit_app.server.live import Hub
from streamlit_app.server.topics import register_topics
from tests.e2e.axe import violations
from tests.unit.streamlit_app.conftest import FakeReader, small_book
from tests.unit.streamlit_app.live_server import Guest, guarded, serving

pytestmark = [pytest.mark.browser]

SOON_MS = 15_000


@dataclass
class Light:
    """A served light page, what it rests on, and a browser's tab."""

    page: Page
    url: str
    port: int
    book: FakeReader
    guest: Guest
    errors: list[str]

    def app(self) -> object:
        """The application, with a hub of its own."""
        hub = register_topics(Hub(tick_s=0.1, beat_s=1.0))
        return guarded([*home.routes(hub), *live.routes(hub, check_s=0.5)], self.guest)


@pytest.fixture
def light(browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Light]:
    """A tab, and a light page over the small book that is not served yet."""
    book = small_book()
    monkeypatch.setattr(data, "open_reader", lambda: book)
    monkeypatch.setattr(data, "load_settings", lambda: Settings(state_dir=tmp_path))
    st.cache_resource.clear()
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(SOON_MS)
    port, errors = free_ports(1)[0], []
    tab = Light(context.new_page(), f"http://127.0.0.1:{port}", port, book, Guest(), errors)
    tab.page.on("pageerror", lambda error: errors.append(str(error)))
    expect.set_options(timeout=SOON_MS)
    yield tab
    context.close()
    st.cache_resource.clear()


def borrow(page: Page) -> object:
    """The card of the total debt."""
    return page.locator(".totals .card").filter(has=page.get_by_text("Borrow", exact=True))


def test_light_page__changes_by_itself_without_a_reload_and_keeps_the_focus(light: Light) -> None:
    page = light.page
    with serving(light.app(), light.port):
        page.goto(light.url)
        page.evaluate("window.marked = true")
        link = page.locator("a[data-account=acct-00002]").first
        link.focus()
        gauge = page.locator(".gauge").element_handle()
        light.book.accounts[0]["borrow_usd"] += 23
        light.book.events[0]["health_pct"] += 1
        expect(borrow(page)).to_contain_text("200,023.00")
        assert page.evaluate("window.marked") is True
        assert page.evaluate("document.activeElement.dataset.account") == "acct-00002"
        assert gauge is not None
        as_of = page.locator(".fresh b")
        before = as_of.inner_text()
        expect(as_of).not_to_have_text(before)
    assert light.errors == []


def test_light_page__counts_ages_on_and_says_when_the_server_is_silent_and_recovers(light: Light) -> None:
    page = light.page
    page.clock.install()
    with serving(light.app(), light.port):
        page.goto(light.url)
        expect(page.get_by_text("Connecting")).to_be_hidden()
        expect(page.locator(".root")).to_have_attribute("data-silent", "no")
    page.clock.fast_forward(15_000)
    expect(page.get_by_text("Connecting")).to_be_visible()
    expect(page.locator("[data-silence]").first).to_have_text(re.compile(r"1\d s|2\d s"))
    with serving(light.app(), light.port):
        page.clock.run_for(5_000)
        expect(page.locator(".root")).to_have_attribute("data-silent", "no")
        expect(page.get_by_text("Connecting")).to_be_hidden()
    assert light.errors == []


def test_light_page__greys_old_figures_while_the_warehouse_is_away(light: Light) -> None:
    page = light.page
    with serving(light.app(), light.port):
        page.goto(light.url)
        light.book.error = NotReadyError("did not answer")
        expect(page.get_by_role("alert")).to_contain_text("BigQuery does not answer; last data")
        expect(page.locator(".root")).to_have_attribute("data-old", "yes")
        light.book.error = None
        expect(page.locator(".root")).to_have_attribute("data-old", "no")
        expect(page.get_by_role("alert")).to_have_count(0)
    assert light.errors == []


def test_light_page__says_when_the_visitor_was_signed_out(light: Light) -> None:
    page = light.page
    with serving(light.app(), light.port):
        page.goto(light.url)
        expect(page.get_by_text("You are signed out.")).to_be_hidden()
        light.guest.is_in = False
        expect(page.get_by_text("You are signed out.")).to_be_visible()
        expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_light_page__shows_figures_and_their_age_where_scripts_are_off(light: Light, browser: Browser) -> None:
    with serving(light.app(), light.port):
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(light.url)
        expect(borrow(page)).to_contain_text("200,000.00")
        expect(page.locator(".fresh")).to_contain_text(re.compile(r"Data as of .* UTC, \d+ s ago"))
        context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 1400), ("light", 390), ("dark", 390)])
def test_light_page__is_accessible_and_fits(light: Light, scheme: str, width: int) -> None:
    page = light.page
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 844})
    with serving(light.app(), light.port):
        page.goto(light.url)
        expect(page.locator(".gauge")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
    assert light.errors == []
