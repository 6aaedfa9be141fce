"""Fifty people on the app at once: memory and CPU a session, and how long a change takes to reach every screen.

    python tests/perf/bench_app_sessions.py [--sessions 50] [--accounts 2000] [--changes 30] [--browsers 3]

A session is what a browser's tab has: a page run over Streamlit's websocket, which stays open, and the stream of its
topic. Some are real tabs in Chromium. Each change is a price that is appended to the warehouse; it counts from the
append's return until the new price stands in each stream. `--on-accounts N` of the sessions look at an account each.
References of the same run: the process before anybody came, and one read of the book.
Target: p95 under 3 s.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import psutil
import websockets
from _app import COOKIE, RunningApp, app_over, append_market, large_warehouse
from _bench import cuts, print_machine, timed
from bench_live_view_scale import PRICES
from httpx_sse import aconnect_sse
from playwright.async_api import async_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from assets.risk import queries
from infra.runtime.bigquery import Warehouse
from streamlit_app.components import formats

CHROMIUM = "/usr/bin/chromium"
MEGABYTE = 1024**2
LONGEST_S = 30.0
PAUSE_S = 1.3


@dataclass
class Watcher:
    """What one stream has shown: the time at which each wanted text came."""

    topic: str
    wanted: dict[str, float] = field(default_factory=dict)
    is_open: bool = False
    lost: int = 0

    def take(self, html: str) -> None:
        """Look for the wanted texts in new markup."""
        now = time.perf_counter()
        for text, seen in self.wanted.items():
            if not seen and text in html:
                self.wanted[text] = now


async def run_page(app: RunningApp, account_id: str | None, held: AsyncExitStack) -> Any:
    """One run of the page over the websocket, which stays open."""
    address = app.url.replace("http", "ws") + "/app/_stcore/stream"
    connection = await held.enter_async_context(
        websockets.connect(
            address,
            origin=app.url,  # type: ignore[arg-type]
            additional_headers=app.headers,
            subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=None,
        )
    )
    asked = BackMsg()
    asked.rerun_script.query_string = f"account={account_id}" if account_id else ""
    await connection.send(asked.SerializeToString())
    while True:
        got = ForwardMsg.FromString(await asyncio.wait_for(connection.recv(), LONGEST_S))  # type: ignore[arg-type]
        if got.WhichOneof("type") == "script_finished":
            return connection


async def listen(app: RunningApp, client: httpx.AsyncClient, watcher: Watcher) -> None:
    """The stream of a session, until it is cancelled."""
    while True:
        try:
            async with aconnect_sse(client, "GET", f"{app.url}/live/{watcher.topic}", headers=app.headers) as stream:
                async for event in stream.aiter_sse():
                    if event.event == "page":
                        watcher.is_open = True
                        # Cheaper than to parse it: fifty listeners share this process.
                        watcher.take(event.data)
        except httpx.TransportError:
            # As a browser does; what comes meanwhile counts as late.
            watcher.lost += 1
            await asyncio.sleep(1)


async def measure(app: RunningApp, options: argparse.Namespace) -> None:
    """Bring everybody in, change prices, and print what it took."""
    warehouse = Warehouse(app.settings)
    assert app.process.process is not None
    process = psutil.Process(app.process.process.pid)
    idle = process.memory_info().rss
    accounts = queries.account_ids(warehouse)[: options.on_accounts]
    scopes = [accounts[n] if n < len(accounts) else None for n in range(options.sessions)]
    watchers = [Watcher(f"account:{scope}" if scope else "book") for scope in scopes]
    limits = httpx.Limits(max_connections=None)
    async with AsyncExitStack() as held:
        client = await held.enter_async_context(httpx.AsyncClient(timeout=LONGEST_S, limits=limits))
        began = time.perf_counter()
        runs = []
        for scope in scopes:
            one = time.perf_counter()
            await run_page(app, scope, held)
            runs.append(time.perf_counter() - one)
        print(f"{options.sessions} sessions in {time.perf_counter() - began:.1f} s, page run {cuts(runs)}")
        streams = [asyncio.create_task(listen(app, client, watcher)) for watcher in watchers]
        pages = await open_tabs(app, options.browsers, held)
        while not all(watcher.is_open for watcher in watchers):
            await asyncio.sleep(0.05)
        cpu, at = sum(process.cpu_times()[:2]), time.perf_counter()
        seen, in_tabs = await change_prices(app, warehouse, watchers, pages, options.changes)
        load = (sum(process.cpu_times()[:2]) - cpu) / (time.perf_counter() - at)
        sessions = options.sessions + options.browsers
        grown = (process.memory_info().rss - idle) / MEGABYTE
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    print(f"change -> each of {len(watchers)} streams  {cuts(seen)}; {sum(each.lost for each in watchers)} lost")
    print(f"change -> each of {options.browsers} real tabs   {cuts(in_tabs)}")
    print(f"memory {idle / MEGABYTE:.0f} MB before, {grown:.0f} MB more: {grown / sessions:.2f} MB a session")
    print(f"CPU of the app {load:.0%} of a core: {load / sessions:.2%} a session")
    print(f"reference: one read of the book {cuts(timed(lambda: queries.book_summary(warehouse), 20))}")


async def open_tabs(app: RunningApp, count: int, held: AsyncExitStack) -> list[Any]:
    """Real tabs on the book."""
    if count == 0:
        return []
    playwright = await held.enter_async_context(async_playwright())
    chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
    held.push_async_callback(chromium.close)
    pages = []
    for _ in range(count):
        context = await chromium.new_context()
        await context.add_cookies([{"name": COOKIE, "value": app.session, "url": app.url}])
        page = await context.new_page()
        await page.goto(f"{app.url}/app/")
        await page.locator("#first").wait_for(state="detached", timeout=60_000)
        pages.append(page)
    return pages


async def change_prices(
    app: RunningApp, warehouse: Warehouse, watchers: list[Watcher], pages: list[Any], count: int
) -> tuple[list[float], list[float]]:
    """Seconds from each change to each stream, and to each tab."""
    seen: list[float] = []
    in_tabs: list[float] = []
    for number in range(1, count + 1):
        prices = {asset: Decimal(price) for asset, price in PRICES.items()}
        prices["BTC"] += number
        await asyncio.to_thread(append_market, app.settings, prices)
        appended = time.perf_counter()
        text = formats.price(prices["BTC"])
        for watcher in watchers:
            watcher.wanted[text] = 0.0

        async def tab(page: Any, text: str = text, appended: float = appended) -> float:
            await page.get_by_text(text).first.wait_for(timeout=LONGEST_S * 1000)
            return time.perf_counter() - appended

        in_tabs += await asyncio.gather(*(tab(page) for page in pages))
        while not all(watcher.wanted[text] for watcher in watchers):
            if time.perf_counter() - appended > LONGEST_S:
                raise SystemExit(f"a stream did not show {text} within {LONGEST_S:.0f} s")
            await asyncio.sleep(0.02)
        seen += [watcher.wanted[text] - appended for watcher in watchers]
        await asyncio.sleep(PAUSE_S + 0.137 * (number % 7))  # not in step with the hub
    return seen, in_tabs


def main() -> None:
    """Start the app over a book and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument("--browsers", type=int, default=3)
    parser.add_argument("--on-accounts", type=int, default=0)
    options = parser.parse_args()
    print_machine()
    with ExitStack() as held:
        app = held.enter_context(app_over(held.enter_context(large_warehouse(options.accounts))))
        asyncio.run(measure(app, options))
    print_machine()


if __name__ == "__main__":
    main()
