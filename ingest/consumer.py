"""Appends prices and settlement events to `raw` as they arrive: `python -m ingest.consumer`.

At-least-once: a message is acknowledged to Pub/Sub only after its row is durable in BigQuery. A repeat appends a
second row with the same id, which staging drops.
"""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol

from infra.runtime.bigquery import Appended, TableSpec, Warehouse
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import AppendError
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.pubsub import Ack, BatchConsumer, DeadLetter, Outcome, Received, Retry, TopicSpec
from infra.runtime.settings import Settings, load_settings
from ingest import tables, topics
from ingest.errors import InvalidMessageError
from ingest.messages import M, PriceMessage, SettlementEvent, parse_message

_log = get_logger(__name__)


class Appender(Protocol):
    """Where rows go; `Warehouse` is the real one."""

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended: ...


def price_row(message: PriceMessage, received: Received, now: datetime) -> dict[str, Any]:
    """The row of `raw.market_prices` for one price."""
    row = message.model_dump(
        include={"price_id", "schema_version", "asset", "price_usd", "confidence_usd", "observed_at", "published_at"}
    )
    sources = "[" + ",".join(source.model_dump_json() for source in message.sources) + "]"
    return row | {
        "sources": sources,
        "quality": str(message.quality),
        "degraded_reason": message.degraded_reason,
        "is_simulated": message.is_simulated,
        "ingested_at": now,
        "message_id": received.message_id,
        "unknown_fields": message.unknown_fields(),
    }


def settlement_row(message: SettlementEvent, received: Received, now: datetime) -> dict[str, Any]:
    """The row of `raw.settlement_events` for one event."""
    row = message.model_dump(include=set(SettlementEvent.model_fields))
    return row | {
        "side": str(message.side),
        "kind": str(message.kind),
        "ingested_at": now,
        "message_id": received.message_id,
        "unknown_fields": message.unknown_fields(),
    }


@dataclass(frozen=True)
class RawWriter(Generic[M]):
    """Handles batches of one topic: parse, append, and say what became of each message."""

    topic: TopicSpec
    table: TableSpec
    model: type[M]
    id_field: str
    to_row: Callable[[M, Received, datetime], dict[str, Any]]
    warehouse: Appender
    clock: Clock

    def __call__(self, batch: Sequence[Received]) -> list[Outcome]:
        """One outcome a message, in order. Raises what the warehouse raises when it is away: all come again."""
        now = self.clock.now()
        outcomes: dict[int, Outcome] = {}
        rows: list[dict[str, Any]] = []
        positions: list[int] = []
        for index, received in enumerate(batch):
            try:
                rows.append(self.to_row(parse_message(self.model, received.data, now), received, now))
                positions.append(index)
            except InvalidMessageError as error:
                outcomes[index] = DeadLetter(error.code, error.message)
        outcomes.update(zip(positions, self._append(rows), strict=True))
        ordered = [outcomes[index] for index in range(len(batch))]
        self._record_dead_letters(batch, ordered, now)
        return ordered

    def _append(self, rows: list[dict[str, Any]]) -> list[Outcome]:
        if not rows:
            return []
        try:
            self.warehouse.append(self.table.table_id, rows, [str(row[self.id_field]) for row in rows])
        except AppendError as error:
            return [
                DeadLetter("refused_by_warehouse", error.row_errors[index])
                if index in error.row_errors
                else Retry("another row of the batch was refused")
                for index in range(len(rows))
            ]
        return [Ack()] * len(rows)

    def _record_dead_letters(self, batch: Sequence[Received], outcomes: Sequence[Outcome], now: datetime) -> None:
        rows = [
            {
                "topic": self.topic.name,
                "message_id": received.message_id,
                "reason_code": outcome.reason_code,
                "reason": outcome.reason[:2000],
                "payload_sha256": hashlib.sha256(received.data).hexdigest(),
                "ingested_at": now,
            }
            for received, outcome in zip(batch, outcomes, strict=True)
            if isinstance(outcome, DeadLetter)
        ]
        if rows:
            self.warehouse.append(tables.DEAD_LETTERS.table_id, rows, [f"{r['topic']}:{r['message_id']}" for r in rows])


def consumers(settings: Settings, warehouse: Appender, clock: Clock) -> list[BatchConsumer]:
    """The consumers of all raw topics, not yet running."""
    prices = RawWriter(topics.PRICES, tables.MARKET_PRICES, PriceMessage, "price_id", price_row, warehouse, clock)
    settlements = RawWriter(
        topics.SETTLEMENTS, tables.SETTLEMENT_EVENTS, SettlementEvent, "event_id", settlement_row, warehouse, clock
    )
    return [
        BatchConsumer(settings, spec.subscriptions[0], handle, dead_letter_topic=spec.dead_letter)
        for spec, handle in ((topics.PRICES, prices), (topics.SETTLEMENTS, settlements))
    ]


def main() -> None:
    """Run until SIGTERM or SIGINT; what is not acknowledged by then comes again at the next start."""
    settings = load_settings()
    configure_logs("consumer", settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    running = [
        threading.Thread(target=consumer.run, args=(stop,), name=consumer.subscription)
        for consumer in consumers(settings, Warehouse(settings), SystemClock())
    ]
    for thread in running:
        thread.start()
    _log.info("consuming", subscriptions=[thread.name for thread in running])
    failed = _wait(running, stop)
    if failed:
        _log.error("consumer_failed", subscriptions=failed)
        raise SystemExit(1)
    _log.info("stopped")


def _wait(running: Sequence[threading.Thread], stop: threading.Event) -> list[str]:
    """Wait until all ended; returns the names of those that ended unasked.

    One that ends unasked stops the others: the process ends, and its supervisor starts all of them anew.
    """
    while all(thread.is_alive() for thread in running):
        running[0].join(timeout=0.5)
    failed = [] if stop.is_set() else [thread.name for thread in running if not thread.is_alive()]
    stop.set()
    for thread in running:
        thread.join()
    return failed


if __name__ == "__main__":
    main()
