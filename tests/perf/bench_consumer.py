"""How many settlement events a second reach `raw`, and how long each takes, through the real consumer process.

    python tests/perf/bench_consumer.py [--seconds 60] [--rate 2000] [--appends]

Publisher, Pub/Sub, BigQuery and consumer share this machine. First at a fixed rate, then as fast as possible. Lag is
from publish to a row that a query sees, in steps of the poll (0.1 s), so up to one step too long. Nothing may be lost
or doubled: distinct ids and the sum of quantities in `raw` must be what was published. Reference of the same run: bare
appends of the same rows, without Pub/Sub. `--appends` compares the ways to append.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from _bench import PATIENCE_S, cuts, ground, print_machine, process, wait_until

from infra.embedded.provision import provision_warehouse
from infra.runtime.bigquery import TableSpec, Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.pubsub import Publisher, Received, ensure_topics
from infra.runtime.settings import Settings
from ingest import topics
from ingest.consumer import settlement_rows
from ingest.messages import SettlementEvent, parse_message
from ingest.tables import SETTLEMENT_EVENTS

POLL_S = 0.1
TICK_S = 0.01
QUANTUM = Decimal("0.000000000000000001")
COUNT_SQL = f"select count(*) as rows_seen from {SETTLEMENT_EVENTS.table_id}"
CHECK_SQL = f"""
select count(*) as rows_seen, count(distinct event_id) as ids,
    (select sum(quantity) from (select distinct event_id, quantity from {SETTLEMENT_EVENTS.table_id})) as quantity
from {SETTLEMENT_EVENTS.table_id}
"""


@dataclass
class Feed:
    """Everything that was published so far, numbered from zero: the number is also the quantity, in 1e-18."""

    settings: Settings
    published_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._publisher = Publisher(self.settings)
        self._occurred_at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()

    def messages(self, count: int) -> list[bytes]:
        """The next `count` events as they travel."""
        first = len(self.published_at)
        return [self._message(number) for number in range(first, first + count)]

    def send(self, messages: Sequence[bytes], rate: float | None) -> float:
        """Publish at `rate` a second, or as fast as possible; seconds until Pub/Sub kept the last."""
        began, futures = time.monotonic(), []
        for index, message in enumerate(messages):
            if rate is not None and index % max(1, int(rate * TICK_S)) == 0:
                time.sleep(max(0.0, began + index / rate - time.monotonic()))
            self.published_at.append(time.monotonic())
            futures.append(self._publisher.publish(topics.SETTLEMENTS.name, message))
        for future in futures:
            future.result(timeout=PATIENCE_S)
        return time.monotonic() - began

    def _message(self, number: int) -> bytes:
        return json.dumps(
            {
                "schema_version": 1,
                "event_id": f"ev_{number:020d}",
                "account_id": f"acct-{number % 10_000:05d}",
                "asset": "BTC",
                "side": "collateral",
                "kind": "deposit",
                "quantity": format(QUANTUM * (number + 1), "f"),
                "occurred_at": self._occurred_at,
                "chain": "bitcoin",
                "tx_hash": f"0x{number:064x}",
                "counterparty_address": f"bc1q{number:038x}",
                "counterparty_country": "DE",
            }
        ).encode()


class Watcher:
    """Counts the rows in `raw` again and again, in a thread."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.times: list[float] = []
        self.counts: list[int] = []
        self._warehouse = warehouse
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            (row,) = self._warehouse.query(COUNT_SQL)
            self.counts.append(int(row["rows_seen"]))
            self.times.append(time.monotonic())

    def wait_for(self, count: int) -> None:
        """Wait until so many rows are there, as long as they still come."""
        seen, since = -1, time.monotonic()
        while (now := self.counts[-1] if self.counts else 0) < count:
            if now != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() - since > PATIENCE_S:
                raise SystemExit(f"{count - now} of {count} events did not arrive")
            time.sleep(0.05)

    def lags(self, published_at: Sequence[float], first: int) -> list[float]:
        """Seconds from publish to visible, of each event from number `first` on."""
        return [
            self.times[bisect_left(self.counts, number + 1)] - published_at[number]
            for number in range(first, len(published_at))
        ]

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()


def run_phase(name: str, feed: Feed, watcher: Watcher, count: int, rate: float | None) -> float:
    """Publish, wait until all are visible, print; events a second from the first publish to the last row."""
    first = len(feed.published_at)
    messages = feed.messages(count)
    sent_in = feed.send(messages, rate)
    watcher.wait_for(first + count)
    lags = watcher.lags(feed.published_at, first)
    last_visible = max(at + lag for at, lag in zip(feed.published_at[first:], lags, strict=True))
    achieved = count / (last_visible - feed.published_at[first])
    print(f"{name:<18} {achieved:8,.0f} events/s  ({count:,} events, published in {sent_in:.1f} s)")
    print(f"{'':<18} lag {cuts(lags)}")
    return achieved


def check_exact(warehouse: Warehouse, published: int) -> None:
    """Nothing lost, nothing doubled: ids and quantities are those that were published."""
    (row,) = warehouse.query(CHECK_SQL)
    expected = QUANTUM * (published * (published + 1) // 2)
    lost, repeated = published - int(row["ids"]), int(row["rows_seen"]) - int(row["ids"])
    print(f"published {published:,}, lost {lost}, repeated deliveries {repeated}, sum of quantities {row['quantity']}")
    if lost or row["quantity"] != expected:
        raise SystemExit(f"raw is not what was published: {row}, expected {expected}")


def reference_rate(warehouse: Warehouse, feed: Feed, rows: int) -> float:
    """Rows a second of bare appends, one after another, of rows as the consumer makes them."""
    spec = TableSpec("raw", "bench_reference", SETTLEMENT_EVENTS.schema, "Rows of a benchmark's reference.")
    warehouse.ensure_table(spec)
    made = make_rows(feed.messages(rows))
    began = time.perf_counter()
    warehouse.append(spec.table_id, made, [row["event_id"] for row in made])
    return rows / (time.perf_counter() - began)


def make_rows(messages: Sequence[bytes]) -> list[dict[str, Any]]:
    """The rows of `raw.settlement_events` for messages."""
    now = SystemClock().now()
    return [
        row
        for index, data in enumerate(messages)
        for row in settlement_rows(
            parse_message(SettlementEvent, data, now), Received(data, {}, str(index), now, ""), now
        )
    ]


def main() -> None:
    """Run everything once and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase")
    parser.add_argument("--rate", type=float, default=2_000.0, help="events a second of the first phase")
    options = parser.parse_args()
    print_machine()
    with ground(("bigquery", "pubsub")) as settings:
        warehouse = Warehouse(settings)
        provision_warehouse(settings)
        ensure_topics(settings, topics.TOPICS)
        feed = Feed(settings)
        before = reference_rate(warehouse, feed, 10_000)
        with process(settings, "-m", "ingest.consumer", name="consumer") as consumer:
            print(f"consumer is process {consumer.pid}")
            watcher = Watcher(warehouse)
            try:
                feed.send(feed.messages(1), None)
                wait_until(lambda: bool(watcher.counts and watcher.counts[-1]), "the first event")
                count = int(options.seconds * options.rate)
                steady = run_phase(f"at {options.rate:,.0f}/s", feed, watcher, count, options.rate)
                burst = run_phase("as fast as it goes", feed, watcher, count, None)
            finally:
                watcher.stop()
        check_exact(warehouse, len(feed.published_at))
        print(f"reference: bare appends {before:,.0f} rows/s")
        print(f"ratio to the reference: steady {steady / before:.2f}, as fast as it goes {burst / before:.2f}")
    print_machine()


if __name__ == "__main__":
    main()
