"""An analyst and an officer, each in an own browser, decide a blocked deposit and a verification by four eyes."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from api.app import create_app
from compliance.api.services import Services
from compliance.migrations import upgrade
from compliance.screening.lists import load_list
from infra.embedded.compliance_ground import LIST_NAME, SAMPLE, SAMPLE_FILES, SANCTIONED_WALLET
from infra.runtime.assertions import sign_assertion
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.key_ring import LocalKeyRing
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings
from ingest.messages import SettlementEvent
from tests.app_process import ASSERTION_KEY, USERS, AppProcess, free_port, password_of
from tests.integration.compliance.own_database import own_database

pytestmark = [
    pytest.mark.browser,
    pytest.mark.embedded,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("built_warehouse"),
]

TIMEOUT_MS = 60_000
POSITION_SQL = "select quantity from risk.account_exposures where account_id = 'acct-e2e' and asset = 'BTC'"
COMPANY = "Nordlicht Speditionsgesellschaft"
KYC = {"customer": {"reference": "crm-e2e", "kind": "company", "personal": {"names": [COMPANY]}}}


@dataclass
class Desk:
    """The API and the app over one warehouse and one database; `deliver` settles what the gate publishes."""

    app_url: str
    services: Services
    warehouse: Warehouse
    deliver: Callable[[Sequence[SettlementEvent]], None]
    api_url: str

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        """Ask the API as the analyst."""
        token = sign_assertion(SecretStr(ASSERTION_KEY), "analyst", SystemClock().now())
        own = {"Authorization": f"Bearer {token}"} | (headers or {})
        return httpx.post(f"{self.api_url}/v1/compliance{path}", json=body, headers=own, timeout=60)

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        """Stands for the topic of settlements and its consumer."""
        self.deliver([SettlementEvent.model_validate_json(message) for message in messages])
        return [str(number) for number in range(len(messages))]

    def positions(self) -> list[Decimal]:
        """What the account holds of BTC."""
        return [row["quantity"] for row in self.warehouse.query(POSITION_SQL)]


@pytest.fixture
def desk(
    new_project: Callable[..., Settings],
    dbt_build: Callable[..., Any],
    deliver_events: Callable[..., None],
    deliver_prices: Callable[..., None],
    tmp_path: Path,
) -> Iterator[Desk]:
    """A price of BTC, the view of positions, the fictional list, and both processes."""
    clock = SystemClock()
    project = new_project("ballast-cases")
    deliver_prices(project, {"BTC": Decimal(70_000)}, clock.now() - timedelta(seconds=1))
    dbt_build(project, ["+account_exposures"])
    LocalKeyRing.create(tmp_path / "keys.json")
    api_url = f"http://127.0.0.1:{free_port()}"
    changes = {
        "api_url": api_url,
        "app_assertion_key": SecretStr(ASSERTION_KEY),
        "compliance_users": SecretStr(USERS),
        "pii_key_file": tmp_path / "keys.json",
    }
    settings = own_database(project, "cases_page").model_copy(update=changes)
    engine = postgres_engine(settings, "test")
    upgrade(engine)
    load_list(engine, clock, LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])
    warehouse = Warehouse(settings)
    api = create_app(settings, warehouse=warehouse, engine=engine, clock=clock, request_timeout_s=120)
    server = uvicorn.Server(uvicorn.Config(api, port=int(api_url.rsplit(":", 1)[1]), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, name="api")
    thread.start()
    app = AppProcess(tmp_path, {"BALLAST_API_URL": api_url, "BALLAST_GCP_PROJECT": settings.gcp_project}).start()
    services = Services(settings, engine, clock)
    yield Desk(app.url, services, warehouse, lambda events: deliver_events(project, events, clock.now()), api_url)
    app.stop()
    server.should_exit = True
    thread.join()
    services.close()
    engine.dispose()
    warehouse.client.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def tab_of(browser: Browser, desk: Desk) -> Iterator[Callable[[str, str], Page]]:
    """Opens the app at a path for a person, in a browser of their own; no page may fail or ask another host."""
    wrong: list[str] = []
    contexts = []

    def open_tab(name: str, path: str) -> Page:
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith((desk.app_url, "data:", "blob:")) else wrong.append(f"asked {asked.url}")
            ),
        )
        page.goto(desk.app_url + path)
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Password", exact=True).fill(password_of(name))
        page.get_by_role("button", name="Sign in").click()
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert wrong == []


def shows(page: Page, words: str | re.Pattern[str]) -> None:
    """Wait until the words stand on the page."""
    expect(page.get_by_text(words).first).to_be_visible(timeout=TIMEOUT_MS)


def settlement() -> dict[str, Any]:
    """A deposit from a listed wallet."""
    return {
        "event_id": "evt-e2e",
        "account_id": "acct-e2e",
        "asset": "BTC",
        "side": "collateral",
        "kind": "deposit",
        "quantity": "0.25",
        "occurred_at": SystemClock().now().isoformat(),
        "chain": "ethereum",
        "tx_hash": "0x99",
        "counterparty_address": SANCTIONED_WALLET,
        "counterparty_country": "DE",
    }


def test_cases__a_blocked_deposit_and_a_verification_are_decided_by_the_people_who_may(
    desk: Desk, tab_of: Callable[[str, str], Page]
) -> None:
    assert desk.post("/settlements", settlement()).status_code == 409
    assert desk.post("/kyc", KYC, {"Idempotency-Key": "start-e2e-1"}).json()["state"] == "in_review"
    assert desk.positions() == []

    analyst = tab_of("analyst", "/app/cases")
    analyst.get_by_role("link", name="Transaction blocked").click()
    shows(analyst, "What each rule said")
    expect(analyst.get_by_text(SANCTIONED_WALLET)).to_have_count(0)
    analyst.get_by_role("combobox", name="Outcome").click()
    analyst.get_by_role("option", name="Release the settlement").click()
    analyst.get_by_role("textbox", name="Reason").fill("The sender proved that the wallet is not theirs.")
    analyst.get_by_role("button", name="Propose an outcome").click()
    shows(analyst, "analyst proposes to release the settlement.")
    shows(analyst, "an officer other than analyst does that: officer")

    officer = tab_of("officer", "/app/cases?" + analyst.url.split("?", 1)[1])
    shows(officer, "analyst proposes to release the settlement.")
    officer.get_by_role("textbox", name="Reason").fill("Agreed, the list names another owner.")
    officer.get_by_role("button", name="Approve: release the settlement").click()
    shows(officer, "Released by officers")
    shows(analyst, "Released by officers")
    assert desk.services.gate.publish_accepted(desk) == 1
    assert desk.positions() == [Decimal("0.25")]

    officer.get_by_role("button", name="Back to the queue").click()
    officer.get_by_role("link", name="Identity to be verified").first.click()
    shows(officer, "In review \u2014 now")
    officer.get_by_role("textbox", name="Reason").fill("Register and owners were checked in person.")
    officer.get_by_role("button", name="Decide the verification").click()
    shows(officer, "Approved \u2014 now")
    assert COMPANY not in officer.content()
