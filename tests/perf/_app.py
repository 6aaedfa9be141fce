"""The app as a process over an isolated warehouse with a book, for benchmarks of what people see."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from _bench import ground
from bench_live_view_scale import append_prices, build_book

from assets.dbt_build import run_build
from infra.embedded.provision import provision
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import FixedClock, SystemClock
from infra.runtime.pubsub import Received
from infra.runtime.settings import PROJECT_ROOT, Settings
from ingest.closes import load_price_set
from ingest.consumer import prices_writer, settlements_writer
from ingest.market import collect_book, collect_closes
from ingest.messages import SIMULATED, PriceMessage, PriceSource, SettlementEvent, price_id

sys.path.append(str(PROJECT_ROOT))

from streamlit_app.server.session import COOKIE
from tests.app_process import AppProcess, cookie_of

PERSON = "officer"


@dataclass(frozen=True)
class RunningApp:
    """The app's process and a session in it."""

    process: AppProcess
    settings: Settings
    session: str

    @property
    def url(self) -> str:
        """Where it is."""
        return self.process.url

    @property
    def headers(self) -> dict[str, str]:
        """Headers of somebody who is signed in."""
        return {"Cookie": f"{COOKIE}={self.session}"}


@contextmanager
def demo_warehouse(accounts: int) -> Iterator[Settings]:
    """A warehouse with simulated closes, the simulated book and every model built, as `ballast demo` has it."""
    clock = SystemClock()
    with ground(("bigquery", "pubsub", "postgres"), book_accounts=accounts) as settings:
        provision(settings)
        found = collect_closes(settings, clock)
        load_price_set(Warehouse(settings), found, clock)
        append_events(settings, collect_book(settings, found), clock.now() - timedelta(seconds=1))
        append_market(settings, {asset: close.close_usd for asset, close in found.last_closes().items()})
        run_build(settings, ("package:ballast",))
        yield settings


@contextmanager
def large_warehouse(accounts: int) -> Iterator[Settings]:
    """A warehouse with a large book and the models of the live path."""
    with ground(("bigquery", "pubsub", "postgres")) as settings:
        provision(settings)
        build_book(settings, accounts, history=1)
        append_prices(Warehouse(settings))
        yield settings


@contextmanager
def app_over(settings: Settings) -> Iterator[RunningApp]:
    """The app over this warehouse, with the officer signed in."""
    variables = {"BALLAST_GCP_PROJECT": settings.gcp_project, "BALLAST_BIGQUERY_ENDPOINT": settings.bigquery_endpoint}
    if settings.bigquery_token is not None:
        variables["BALLAST_BIGQUERY_TOKEN"] = settings.bigquery_token.get_secret_value()
    folder = settings.state_dir / "app"
    folder.mkdir(exist_ok=True)
    process = AppProcess(folder, {name: value for name, value in variables.items() if value}).start()
    try:
        yield RunningApp(process, settings, cookie_of(PERSON).partition("=")[2])
    finally:
        process.stop()


def append_events(settings: Settings, events: list[SettlementEvent], at: datetime) -> None:
    """Settlement events by the consumer's own writer."""
    _write(settlements_writer(Warehouse(settings), FixedClock(at)), events, at)


def append_market(settings: Settings, prices_usd: dict[str, Decimal]) -> None:
    """One simulated price of each asset, now."""
    now = SystemClock().now()
    _write(
        prices_writer(Warehouse(settings), FixedClock(now)), [_price(*each, now) for each in prices_usd.items()], now
    )


def _price(asset: str, price_usd: Decimal, at: datetime) -> PriceMessage:
    source = PriceSource(name=SIMULATED, price_usd=price_usd, observed_at=at, reference=at.isoformat())
    return PriceMessage(
        price_id=price_id(asset, at, price_usd, [source.reference]),
        asset=asset,
        price_usd=price_usd,
        sources=[source],
        observed_at=at,
        published_at=at,
    )


def _write(writer: Any, messages: list[Any], at: datetime) -> None:
    writer([Received(m.to_json(), {}, f"m{at.timestamp():.6f}-{i}", at, "") for i, m in enumerate(messages)])
