"""Signing in and out in a real browser: with and without scripts, on a phone, and in two tabs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.app_process import AppProcess, free_port, password_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
TIMEOUT_MS = 60_000


@pytest.fixture(scope="module")
def closed_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The app while its warehouse is away: who may come in does not hang on it."""
    variables = {"BALLAST_BIGQUERY_ENDPOINT": f"http://127.0.0.1:{free_port()}", "BALLAST_BIGQUERY_TOKEN": "none"}
    app = AppProcess(tmp_path_factory.mktemp("app"), variables).start()
    yield app
    app.stop()


def _sign_in(page, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).press_sequentially(password_of(name))
    page.keyboard.press("Enter")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sign_in__works_without_scripts_on_a_phone_by_keyboard(
    browser: Browser, closed_app: AppProcess, scheme: str
) -> None:
    size = {"width": 390, "height": 844}
    with browser.new_context(java_script_enabled=False, viewport=size, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(f"{closed_app.url}/")
        expect(page).to_have_url(re.compile(r"/sign-in\?to=%2F$"))
        expect(page.get_by_label("Name", exact=True)).to_be_focused()
        assert page.get_by_role("button", name="Sign in").bounding_box()["width"] <= 390
        _sign_in(page, "viewer")
        expect(page).to_have_url(f"{closed_app.url}/")
        cookie = next(each for each in context.cookies() if each["name"] == "ballast_session")
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        page.goto(f"{closed_app.url}/sign-out")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("status")).to_have_text("You are signed out.")
        page.goto(f"{closed_app.url}/")
        expect(page).to_have_url(re.compile("/sign-in"))


def test_sign_out__ends_the_full_app_in_other_tabs(browser: Browser, closed_app: AppProcess) -> None:
    with browser.new_context() as context:
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"{closed_app.url}/app/?account=acct-00001")
        _sign_in(page, "officer")
        expect(page).to_have_url(f"{closed_app.url}/app/?account=acct-00001")
        expect(page.get_by_role("heading", name="Portfolio overview").first).to_be_visible(timeout=TIMEOUT_MS)
        expect(page.get_by_text("officer").first).to_be_visible(timeout=TIMEOUT_MS)
        # The policy of what may run lets Streamlit run.
        assert not [text for text in said if "Content Security Policy" in text]
        with page.expect_event("console", lambda message: "signed_out" in message.text):
            other = context.new_page()
            other.goto(f"{closed_app.url}/sign-out")
            other.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("not signed in, or not any more")).to_be_visible(timeout=TIMEOUT_MS)
