"""From a settlement event to the new figures in the page of an account, in a real browser.

    python tests/perf/bench_screen_latency.py [--events 24] [--accounts 2000]

Real servers, consumer and Streamlit app; Chromium is /usr/bin/chromium. Each event deposits one BNB more, and counts
until the page shows the collateral that follows from it. Reference of the same run: one read of the account's health.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack

import httpx
from _bench import cuts, ground, print_machine, process, timed, wait_until
from bench_alert_latency import ACCOUNT, ASSET, WELL, add_account, publish_price
from bench_live_view_scale import append_prices, build_book
from playwright.sync_api import Page, sync_playwright

from assets.risk import queries
from infra.embedded.provision import provision
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import Settings
from ingest import topics
from ingest.messages import SettlementEvent

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 60_000
HELD = 100


def deposit(number: int) -> bytes:
    """One BNB more, as it travels."""
    event = {
        "event_id": f"screen_{number}",
        "account_id": ACCOUNT,
        "asset": ASSET,
        "side": "collateral",
        "kind": "deposit",
        "quantity": "1",
        "occurred_at": SystemClock().now(),
        "chain": "ethereum",
        "tx_hash": f"0xscreen{number}",
    }
    return SettlementEvent.model_validate(event).to_json()


def wait_for_collateral(page: Page, number: int) -> None:
    """Wait until the page shows the collateral after `number` deposits."""
    page.locator(".totals .card", has_text=f"{(HELD + number) * WELL:,.2f}").first.wait_for(timeout=PATIENCE_MS)


def watch_page(settings: Settings, page: Page, count: int) -> list[float]:
    """Seconds from publish to screen, of each event."""
    publisher, taken = Publisher(settings), []
    for number in range(1, count + 1):
        began = time.perf_counter()
        publisher.publish_all(topics.SETTLEMENTS.name, [deposit(number)])
        wait_for_collateral(page, number)
        taken.append(time.perf_counter() - began)
        time.sleep(0.3 + 0.137 * (number % 7))  # not in step with the page's second
    publisher.close()
    return taken


def is_up(url: str) -> bool:
    """Whether the app answers."""
    try:
        return httpx.get(f"{url}/healthz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def main() -> None:
    """Build a book, open the page, publish events and print how long each took to be seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=24)
    parser.add_argument("--accounts", type=int, default=2_000)
    options = parser.parse_args()
    print_machine()
    with ExitStack() as held:
        settings = held.enter_context(ground(("bigquery", "pubsub", "postgres")))
        provision(settings)
        build_book(settings, options.accounts, history=1)
        warehouse = Warehouse(settings)
        add_account(warehouse)
        append_prices(warehouse)
        held.enter_context(process(settings, "-m", "ingest.consumer", name="consumer"))
        publisher = Publisher(settings)
        publish_price(publisher, WELL, 0)
        publisher.close()
        held.enter_context(process(settings, "-m", "streamlit_app", name="app"))
        url = f"http://127.0.0.1:{settings.app_port}"
        wait_until(lambda: is_up(url), "the app")
        assert settings.compliance_users is not None
        name, _, password = settings.compliance_users.get_secret_value().split(",")[0].split(":")
        chromium = held.enter_context(sync_playwright()).chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        held.callback(chromium.close)
        page = chromium.new_page()
        page.goto(f"{url}/app/?account={ACCOUNT}")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in").click()
        wait_for_collateral(page, 0)
        taken = watch_page(settings, page, options.events)
        reference = timed(lambda: queries.margin_health(warehouse, ACCOUNT), 20)
    print(f"{len(taken)} events of one account in a book of {options.accounts:,}")
    print(f"event published -> screen         {cuts(taken)}")
    print(f"reference: one read of its health {cuts(reference)}")
    print_machine()


if __name__ == "__main__":
    main()
