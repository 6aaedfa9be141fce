"""A heavy day of alerts in minutes: what grows in the worker and in PostgreSQL, and what retention keeps flat.

    python tests/perf/bench_alert_day.py [--events 86400] [--slices 24] [--keep 3] [--accounts 10000]

As many events as in 24 hours of 60 a minute go through Pub/Sub, worker and local providers at full speed, in slices
that stand for hours. One in fifty is a liquidation, which pages; one in a hundred goes to one of few noisy accounts,
whose alerts are digested. After each slice the providers report delivery of every mail and text, the ledger is mirrored
(to a warehouse that only counts) and retention deletes what is older than `--keep` slices. As the day is compressed,
so is autovacuum's pause: a second instead of a minute.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psutil
from _alerts import listener, make_event, prepare, use_providers
from _bench import PATIENCE_S, ground, print_machine, process, wait_until
from sqlalchemy import Engine, text

from alerting import events
from alerting.callbacks.outcomes import Provider
from alerting.callbacks.store import Callback, apply
from alerting.events import Severity
from alerting.mirror import Mirror
from alerting.mirror_tables import NOTIFICATION_EVENTS
from alerting.retention import Retention
from infra.embedded.ports import free_ports
from infra.runtime.bigquery import Appended
from infra.runtime.clock import FixedClock, SystemClock
from infra.runtime.postgres import PostgresClock, postgres_engine
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import Settings

# By the heading of their column.
TABLES = {
    "notif.": "notifications",
    "states": "notification_states",
    "events": "events",
    "pend.": "pending",
    "callb.": "callbacks",
    "escal.": "escalations",
    "bucket": "recipient_buckets",
    "ceil.": "channel_ceilings",
}
HOUR = timedelta(hours=1)
LIQUIDATION_EVERY, NOISY_EVERY, NOISY_ACCOUNTS = 50, 100, 5
BUCKET_REFILL_S = 5
CALLBACKS_AT_ONCE = 500
# An escalation that finds the notifications gone would page; no real retention is that short.
ESCALATED_WITHIN = timedelta(seconds=30)
GROWS_FROM = 1.1
# Smaller tables are a few pages, which come and go.
SMALL_BYTES = 2**20

SENT = text(
    """
    select notification_id, channel
    from alerting.notifications
    where created_at >= :since and terminal_state = 'accepted' and channel in ('email', 'sms')
    """
)
PLANNED = text("select count(*) from alerting.events where received_at >= :since and kind = 'margin'")
DUE = text("select count(*) from alerting.pending where due_at <= clock_timestamp()")
LEFT = text(
    """
    select pending.channel, events.kind, count(*) as count
    from alerting.pending
    inner join alerting.notifications using (notification_id)
    left join alerting.events on notifications.event_id = events.event_id
    where pending.due_at <= clock_timestamp()
    group by pending.channel, events.kind
    """
)
SIZES = text(
    """
    select relname, pg_total_relation_size(relid) as bytes, n_dead_tup
    from pg_stat_user_tables
    where schemaname = 'alerting'
    """
)


class CountingWarehouse:
    """Takes rows and counts them."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        """Accept all of them."""
        self.rows[table_id] += len(rows)
        return Appended(len(rows), 1)


@dataclass(frozen=True)
class Sample:
    """What stands after a slice: memory in MiB, sizes in bytes, dead rows by table."""

    worker_mib: float
    upkeep_mib: float
    sizes: Mapping[str, int]
    dead: Mapping[str, int]


class Day:
    """The slices of a day on one ledger."""

    def __init__(self, settings: Settings, engine: Engine, worker_pid: int, options: argparse.Namespace) -> None:
        self._publisher = Publisher(settings)
        self._engine = engine
        self._worker = psutil.Process(worker_pid)
        self._options = options
        self._clock = PostgresClock(engine)
        self.warehouse = CountingWarehouse()
        self._mirror = Mirror(engine, self.warehouse, self._clock)
        self._starts: list[datetime] = []
        self._count = 0

    def close(self) -> None:
        """Give up connections."""
        self._publisher.close()
        self._mirror.close()

    def slice(self) -> Sample:
        """One hour: alerts, callbacks, mirror, retention; prints a line."""
        began = time.monotonic()
        since = self._clock.now()
        self._starts.append(since)
        per_slice = self._options.events // self._options.slices
        messages = [self._message() for _ in range(per_slice)]
        self._publisher.publish_all(events.TOPIC, messages)
        self._wait(since, per_slice)
        sent_s = time.monotonic() - began
        self._report_delivered(since)
        while self._mirror.step().has_more:
            pass
        mirrored_s = time.monotonic() - began - sent_s
        deleted = self._retain()
        retained_s = time.monotonic() - began - sent_s - mirrored_s
        sample = self._sample()
        shown = "  ".join(f"{sample.sizes[table] / 2**20:6.1f}" for table in TABLES.values())
        print(
            f"{len(self._starts):4} {per_slice / sent_s:6.0f}/s {mirrored_s:5.1f} s {retained_s:5.1f} s "
            f"{sample.worker_mib:7.1f} {sample.upkeep_mib:7.1f}  {shown}  {sum(sample.dead.values()):9,}"
            f" {sum(deleted.values()):8,}",
            flush=True,
        )
        return sample

    def _message(self) -> bytes:
        number, quiet = self._count, self._options.accounts - NOISY_ACCOUNTS
        self._count += 1
        is_noisy = number % NOISY_EVERY == 0
        account = quiet + number // NOISY_EVERY % NOISY_ACCOUNTS if is_noisy else number % quiet
        severity = Severity.MARGIN_CALL if (number + 1) % LIQUIDATION_EVERY else Severity.LIQUIDATION
        return make_event(number, account, SystemClock().now(), severity, number + 1).to_wire()

    def _wait(self, since: datetime, wanted: int) -> None:
        """Until all are planned and nothing is due."""
        ends, planned = time.monotonic() + PATIENCE_S, 0
        while time.monotonic() < ends:
            with self._engine.connect() as connection:
                planned = connection.execute(PLANNED, {"since": since}).scalar_one()
                due: int = connection.execute(DUE).scalar_one()
                if planned >= wanted and not due:
                    return
            time.sleep(0.1)
        with self._engine.connect() as connection:
            left = [(row.channel, row.kind, row.count) for row in connection.execute(LEFT)]
        raise SystemExit(f"gave up: {planned:,} of {wanted:,} events are planned, and due are {left}")

    def _report_delivered(self, since: datetime) -> None:
        with self._engine.connect() as connection:
            rows = connection.execute(SENT, {"since": since}).all()
        providers = {"email": Provider.SENDGRID, "sms": Provider.TWILIO}
        now = self._clock.now()
        reports = [
            Callback(f"cb-{row.notification_id}", providers[row.channel], row.notification_id, "delivered", now, None)
            for row in rows
        ]
        for start in range(0, len(reports), CALLBACKS_AT_ONCE):
            apply(self._engine, self._clock, reports[start : start + CALLBACKS_AT_ONCE])

    def _retain(self) -> Mapping[str, int]:
        """As if the kept slices had been as many hours, but nothing that an escalation may still ask for."""
        if len(self._starts) <= self._options.keep:
            return {}
        keep = self._options.keep * HOUR
        before = min(self._starts[-self._options.keep], self._clock.now() - ESCALATED_WITHIN)
        return Retention(self._engine, FixedClock(before + keep), keep).run()

    def _sample(self) -> Sample:
        with self._engine.connect() as connection:
            rows = {row.relname: row for row in connection.execute(SIZES)}
        return Sample(
            self._worker.memory_info().rss / 2**20,
            psutil.Process().memory_info().rss / 2**20,
            {table: rows[table].bytes for table in TABLES.values()},
            {table: rows[table].n_dead_tup for table in TABLES.values()},
        )


def hasten_autovacuum(engine: Engine) -> None:
    """The day is compressed, and so is the pause between two looks of autovacuum."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("alter system set autovacuum_naptime = '1s'"))
        connection.execute(text("select pg_reload_conf()"))


def judge(samples: Sequence[Sample]) -> None:
    """Print the last third against the middle third, and what grows."""
    third = len(samples) // 3
    middle, last = samples[-2 * third : -third], samples[-third:]
    rows: dict[str, tuple[float, float]] = {
        "worker memory": _means([each.worker_mib * 2**20 for each in part] for part in (middle, last)),
        "mirror and retention memory": _means([each.upkeep_mib * 2**20 for each in part] for part in (middle, last)),
    }
    for table in TABLES.values():
        rows[table] = _means([each.sizes[table] for each in part] for part in (middle, last))
    rows["all tables"] = _means([sum(each.sizes.values()) for each in part] for part in (middle, last))
    growing = []
    for name, (before, after) in rows.items():
        ratio = after / before if before else 1.0
        print(f"{name:28} middle third {before / 2**20:8.2f} MiB, last third {after / 2**20:8.2f} MiB: {ratio:.2f}")
        if ratio >= GROWS_FROM and after >= SMALL_BYTES:
            growing.append(name)
    print(f"grows: {', '.join(growing) or 'nothing'}")


def _means(parts: Any) -> tuple[float, float]:
    first, second = (statistics.mean(part) for part in parts)
    return first, second


def main() -> None:
    """Run the day and print what stands after each hour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=86_400)
    parser.add_argument("--slices", type=int, default=24)
    parser.add_argument("--keep", type=int, default=3, help="slices that retention keeps")
    parser.add_argument("--accounts", type=int, default=10_000)
    options = parser.parse_args()
    print_machine()
    with ExitStack() as held:
        settings = held.enter_context(ground(("pubsub", "postgres")))
        [port] = free_ports(1)
        settings = use_providers(settings, port, alert_bucket_refill_s=BUCKET_REFILL_S)
        held.enter_context(process(settings, "tests/perf/_providers.py", "--port", str(port), name="providers"))
        prepare(settings, options.accounts)
        wait_until(lambda: bool(listener(port)), "the providers")
        worker = held.enter_context(process(settings, "-m", "alerting.worker", name="worker"))
        log = settings.state_dir / "worker.log"
        wait_until(lambda: "worker_ready" in log.read_text(), "the worker")
        engine = postgres_engine(settings)
        held.callback(engine.dispose)
        hasten_autovacuum(engine)
        day = held.enter_context(closing(Day(settings, engine, worker.pid, options)))
        began = time.monotonic()
        headings = "  ".join(f"{heading:>6}" for heading in TABLES)
        print(f"hour events  mirror  retain  worker  upkeep  {headings}  dead rows  deleted   (memory, tables: MiB)")
        samples = [day.slice() for _ in range(options.slices)]
        print(f"{options.events:,} events in {time.monotonic() - began:.0f} s, {options.keep} of {options.slices} kept")
        judge(samples)
        with engine.connect() as connection:
            last_step: int = connection.execute(
                text("select max(state_id) from alerting.notification_states")
            ).scalar_one()
            states = connection.execute(
                text("select terminal_state, count(*) from alerting.notifications group by 1 order by 1")
            )
            print("kept: " + ", ".join(f"{row.terminal_state or 'pending'} {row.count:,}" for row in states))
        mirrored = day.warehouse.rows[NOTIFICATION_EVENTS.table_id]
        print(f"steps written {last_step:,}, mirrored {mirrored:,}")
    print_machine()


if __name__ == "__main__":
    main()
