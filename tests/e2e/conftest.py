"""The app as a process over the built warehouse, and Debian's Chromium to look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from infra.runtime.settings import Settings
from tests.app_process import password_of
from tests.e2e.whole import Whole, running

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The embedded warehouse answers the first reads of a page in seconds when the machine is busy.
PAGE_TIMEOUT_MS = 60_000
APP = "/app/"


@dataclass
class Visit:
    """One browser tab on the app, what it complained of, and which other hosts it asked for."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)

    def open(self, path: str = APP) -> Visit:
        """Open a path of the app; who is not signed in lands on the sign-in page."""
        self.page.goto(self.url + path)
        return self

    def sign_in(self, name: str = "officer", password: str | None = None) -> Visit:
        """Fill in the form of the sign-in page, which leads on to what was asked for."""
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_label("Password", exact=True).fill(password_of(name) if password is None else password)
        self.page.get_by_role("button", name="Sign in").click()
        return self


@pytest.fixture(scope="session")
def whole(
    built_warehouse: Settings, deliver_prices: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Whole]:
    """App and API, started once for all tests in a browser."""
    with running(built_warehouse, deliver_prices, tmp_path_factory.mktemp("app")) as started:
        yield started


@pytest.fixture(scope="session")
def app_url(whole: Whole) -> str:
    """Address of the app, started as in production on a free port."""
    return whole.app_url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser, app_url: str) -> Iterator[Visit]:
    """A fresh tab at desktop width."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PAGE_TIMEOUT_MS)
    tab = Visit(context.new_page(), app_url)
    tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.page.on("console", lambda said: tab.errors.append(said.text) if said.type == "error" else None)
    tab.page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((app_url, "data:", "blob:")) else tab.foreign_requests.append(asked.url)
        ),
    )
    yield tab
    context.close()
