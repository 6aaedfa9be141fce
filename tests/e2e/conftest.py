"""The app as a process over the built warehouse, and Debian's Chromium to look at it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from infra.runtime.settings import PROJECT_ROOT, Settings

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
PASSWORD = "a password of this test"
START_TIMEOUT_S = 60.0
# The embedded warehouse answers the first reads of a page in seconds when the machine is busy.
PAGE_TIMEOUT_MS = 60_000


@dataclass
class Visit:
    """One browser tab on the app, what it complained of, and which other hosts it asked for."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Visit:
        """Open a path of the app."""
        self.page.goto(self.url + path)
        return self

    def sign_in(self, password: str = PASSWORD) -> Visit:
        """Type the password and press the button."""
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        return self


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(settings: Settings) -> dict[str, str]:
    own = {
        "BALLAST_STATE_DIR": str(settings.state_dir),
        "BALLAST_GCP_PROJECT": settings.gcp_project,
        "BALLAST_APP_PASSWORD": PASSWORD,
    }
    if settings.bigquery_endpoint:
        own["BALLAST_BIGQUERY_ENDPOINT"] = settings.bigquery_endpoint
    if settings.bigquery_token:
        own["BALLAST_BIGQUERY_TOKEN"] = settings.bigquery_token.get_secret_value()
    return {**os.environ, **own}


def _wait_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/_stcore/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail(f"the app did not start within {START_TIMEOUT_S:.0f} s: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def app_url(built_warehouse: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app, started as in production on a free port."""
    port = _free_port()
    log = tmp_path_factory.mktemp("app") / "app.log"
    argv = [sys.executable, "-m", "streamlit", "run", "streamlit_app/app.py"]
    argv += ["--server.port", str(port), "--server.address", "127.0.0.1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, cwd=PROJECT_ROOT, env=_environment(built_warehouse), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_healthy(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
