"""How long one look of the margin sensor takes, beside a bare `select 1` on the same server in the same run.

Run: python -W ignore tests/perf/bench_live_view.py [--accounts 200] [--looks 50]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from alerting.margin.store import candidates
from assets.dbt_build import prepare_manifest, run_build
from infra.embedded.provision import provision_warehouse
from infra.embedded.testing import embedded_ground
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.closes import load_price_set
from ingest.market import collect_book, collect_closes
from ingest.tables import MARKET_PRICES, SETTLEMENT_EVENTS


def main() -> None:
    """Build a book, look at it many times, and print milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--looks", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded_ground(Path(folder), services=("bigquery",)) as ground:
        settings = ground.model_copy(update={"book_accounts": options.accounts})
        warehouse = Warehouse(settings)
        provision_warehouse(settings)
        rows = _load(warehouse, settings)
        prepare_manifest(settings)
        failed = [outcome for outcome in run_build(settings, ["*"]) if outcome.is_error]
        if failed:
            raise SystemExit(f"the build failed: {failed}")
        print(f"{platform.machine()}, {os.cpu_count()} cores; {options.accounts} accounts, {rows} settlement events")
        reference = _measure("select 1", options.looks, lambda: warehouse.query("select 1 as one"))
        look = _measure("one look of the sensor", options.looks, lambda: candidates(warehouse))
        health = _measure("margin_health, all rows", options.looks, lambda: warehouse.query(ALL_HEALTH_SQL))
        print(f"ratio to select 1: look {look / reference:.1f}, all rows {health / reference:.1f}")


ALL_HEALTH_SQL = "select account_id, status, health_pct from risk.margin_health"


def _load(warehouse: Warehouse, settings: Settings) -> int:
    clock = SystemClock()
    found = collect_closes(settings, clock)
    load_price_set(warehouse, found, clock)
    events = collect_book(settings, found)
    arrived = {"ingested_at": clock.now(), "message_id": "bench", "unknown_fields": None}
    warehouse.append(
        SETTLEMENT_EVENTS.table_id,
        [
            event.model_dump(include=set(type(event).model_fields))
            | {"side": str(event.side), "kind": str(event.kind)}
            | arrived
            for event in events
        ],
    )
    now = clock.now()
    warehouse.append(
        MARKET_PRICES.table_id,
        [
            {"price_id": f"px_{asset}", "schema_version": 1, "asset": asset, "price_usd": close.close_usd}
            | {"observed_at": now, "published_at": now, "sources": "[]", "quality": "ok", "is_simulated": True}
            | arrived
            for asset, close in found.last_closes().items()
        ],
    )
    return len(events)


def _measure(name: str, times: int, call: Callable[[], object]) -> float:
    """Median milliseconds of `call`, printed with p95 and the largest."""
    call()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1000)
    p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[18]
    print(f"{name:<26} p50 {p50:7.1f} ms  p95 {p95:7.1f} ms  max {max(taken):7.1f} ms")
    return p50


if __name__ == "__main__":
    main()
