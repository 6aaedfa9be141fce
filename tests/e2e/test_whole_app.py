"""The whole application as people use it: a price falls, an alert rises, somebody sees to it; every page is usable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from streamlit_app.pages import PAGES, PageSpec, address_of
from tests.e2e.axe import GRAVE, violations
from tests.e2e.conftest import Visit
from tests.e2e.whole import DEBTORS_SQL, Whole

pytestmark = [
    pytest.mark.browser,
    pytest.mark.embedded,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("built_warehouse"),
]

expect.set_options(timeout=60_000)
FALL = Decimal("0.7")
STABLE = ("USDC", "USDT")
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1400, "height": 1000}
# One account for the pages that are about one.
ACCOUNT = "acct-00001"
MAIN = "[data-testid=stMain]"
# Charts take the new width a moment after the page.
FITS = f"width => document.querySelector('{MAIN}').scrollWidth <= width"
FIT_MS = 15_000


@pytest.fixture
def fallen(whole: Whole) -> Iterator[dict[str, Decimal]]:
    """The prices before they fall; afterwards they are back, and what followed from the fall is gone."""
    before = whole.prices()
    yield before
    whole.publish(before)
    whole.forget()


def _address(page: PageSpec) -> str:
    return address_of(page, account=ACCOUNT) if page.path == "account" else address_of(page)


def _settled(page: Page, title: str) -> None:
    """Wait until the page stands under its title and its script has ended once."""
    expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_attached()


def test_whole_app__from_a_fall_of_prices_to_an_alert_that_somebody_has_seen(
    visit: Visit, whole: Whole, fallen: dict[str, Decimal]
) -> None:
    page = visit.open("/app/").sign_in("officer").page
    gauge = page.get_by_role("img", name=re.compile("Margin health"))
    expect(gauge).to_be_visible()
    told_before = gauge.get_attribute("aria-label")
    assert told_before
    nearest = whole.warehouse.query(DEBTORS_SQL)[0]["account_id"]

    whole.publish({asset: price * FALL for asset, price in fallen.items() if asset not in STABLE})
    expect(gauge).not_to_have_attribute("aria-label", told_before)

    events = whole.look()
    assert nearest in {event.account_id for event in events}

    page.goto(visit.url + "/app/monitor")
    alerts = page.get_by_role("table", name="Newest margin alerts")
    button = alerts.get_by_role("button", name=re.compile("^Acknowledge ")).first
    label = button.get_attribute("aria-label")
    assert label
    button.click()
    expect(alerts.get_by_role("button", name=label, exact=True)).to_have_count(0)
    expect(alerts.get_by_text("officer").first).to_be_visible()
    assert visit.errors == []
    assert visit.foreign_requests == []


def test_whole_app__a_what_if_answers_at_once(visit: Visit) -> None:
    page = visit.open(f"/app/account?account={ACCOUNT}").sign_in("analyst").page
    heading = page.get_by_role("heading", name="What if", exact=True)
    expect(heading).to_be_visible()
    price = page.get_by_label(re.compile(r"^\w+ price, USD$")).first
    price.fill("1")
    price.press("Enter")
    answer = page.get_by_role("table", name=re.compile("What if|Before and after|before and after"))
    expect(answer.first).to_be_visible()
    page.get_by_role("button", name="Reset to the account as it is now").click()
    expect(answer).to_have_count(0)
    assert visit.errors == []


def test_whole_app__a_policy_is_replayed_over_the_past(visit: Visit) -> None:
    page = visit.open("/app/aml").sign_in("analyst").page
    page.get_by_text("Policy replay", exact=True).first.click()
    page.get_by_role("button", name="Start the replay").click()
    expect(page).to_have_url(re.compile("replay="))
    expect(page.get_by_text("In this time nothing was monitored.")).to_be_visible()
    assert visit.errors == []


def test_every_page__is_accessible_in_both_themes_and_fits_a_phone(visit: Visit) -> None:
    page = visit.open("/app/").sign_in("officer").page
    wrong: list[str] = []
    for spec in PAGES:
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")
        page.goto(visit.url + _address(spec))
        _settled(page, spec.title)
        light = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        wrong += [f"{spec.title}, light: {found}" for found in violations(page, impacts=GRAVE)]
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(
            "light => getComputedStyle(document.querySelector('.stApp')).backgroundColor !== light", arg=light
        )
        wrong += [f"{spec.title}, dark: {found}" for found in violations(page, impacts=GRAVE)]
        page.set_viewport_size(PHONE)
        try:
            page.wait_for_function(FITS, arg=PHONE["width"], timeout=FIT_MS)
        except TimeoutError:
            width = page.evaluate(f"document.querySelector('{MAIN}').scrollWidth")
            wrong.append(f"{spec.title}: {width} px wide on a phone of {PHONE['width']} px")
    assert wrong == []
    assert visit.foreign_requests == []
