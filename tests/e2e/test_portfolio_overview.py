"""A person signs in, sees the book and opens an account, in a real browser over a real warehouse."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.axe import violations

pytestmark = [
    pytest.mark.browser,
    pytest.mark.embedded,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("built_warehouse"),
]

expect.set_options(timeout=60_000)
AMOUNT = re.compile(r"\d{1,3}(,\d{3})*\.\d{2}\s*USD")


def test_sign_in__a_wrong_password_opens_nothing(visit) -> None:
    visit.open().sign_in("officer", "not it")
    expect(visit.page.get_by_text("Name and password do not belong together")).to_be_visible()
    expect(visit.page.get_by_text("Data as of")).to_have_count(0)
    # The gate pauses the next try for a second; the tests share the app's process.
    visit.page.wait_for_timeout(1_500)


def _shown(visit) -> Page:
    """The page when Streamlit has drawn it over the first paint, which has figures too."""
    visit.page.locator("[data-testid=stMain] h1").wait_for()
    visit.page.locator("#first").wait_for(state="detached")
    return visit.page


def test_book__shows_totals_gauge_and_accounts(visit) -> None:
    visit.open().sign_in()
    page = _shown(visit)
    expect(page.get_by_text("Data as of")).to_be_visible()
    for name in ("Collateral", "Borrow", "Equity"):
        card = page.locator(".totals .card").filter(has=page.get_by_text(name, exact=True))
        expect(card).to_have_text(AMOUNT)
    expect(page.get_by_role("img", name=re.compile("Margin health"))).to_be_visible()
    expect(page.get_by_role("table", name="Accounts nearest to margin call").get_by_role("row")).not_to_have_count(1)
    expect(page.get_by_text("simulated").first).to_be_visible()
    assert visit.errors == []
    assert visit.foreign_requests == []


def test_book__updates_by_itself(visit) -> None:
    visit.open().sign_in()
    as_of = _shown(visit).locator(".fresh b")
    before = as_of.inner_text()
    expect(as_of).not_to_have_text(before)
    assert visit.errors == []


def test_account__opens_from_the_table_and_leads_back(visit) -> None:
    visit.open().sign_in()
    page = _shown(visit)
    first = page.get_by_role("table", name="Accounts nearest to margin call").get_by_role("link").first
    account_id = first.inner_text()
    first.click()
    expect(page.get_by_role("heading", name=account_id)).to_be_visible()
    expect(page).to_have_url(re.compile(re.escape(f"account={account_id}")))
    expect(page.get_by_role("table", name="Margin-call and liquidation prices")).to_be_visible()
    page.get_by_role("link", name="Back to the whole book").click()
    expect(page.get_by_role("heading", name="Nearest to margin call")).to_be_visible()
    expect(page).not_to_have_url(re.compile("account="))
    assert visit.errors == []


def test_account__opens_by_its_link(visit) -> None:
    visit.open("/app/?account=acct-00001").sign_in()
    page = _shown(visit)
    expect(page.get_by_role("heading", name="acct-00001")).to_be_visible()
    expect(page.get_by_role("table", name="Assets held and owed").get_by_role("row")).not_to_have_count(1)
    expect(page.get_by_role("heading", name="Value at Risk and Expected Shortfall")).to_be_visible()


def test_page__has_no_finding_of_any_weight(visit) -> None:
    """Serious findings in both themes, and the width of a phone, are looked at on every page elsewhere."""
    visit.open().sign_in()
    page = _shown(visit)
    expect(page.get_by_role("table", name="Accounts nearest to margin call")).to_be_visible()
    assert violations(page) == []


def test_light_page__leads_to_the_account(visit) -> None:
    visit.open("/").sign_in()
    page = visit.page
    expect(page.get_by_role("heading", name="The book now")).to_be_visible()
    as_of = page.locator(".fresh b")
    before = as_of.inner_text()
    expect(as_of).not_to_have_text(before)
    page.get_by_role("link", name="Portfolio overview").click()
    expect(_shown(visit).get_by_role("heading", name="Nearest to margin call")).to_be_visible()
    assert visit.errors == []
    assert visit.foreign_requests == []
