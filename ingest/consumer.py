"""Appends prices, their trace and settlement events to `raw` as they arrive: `python -m ingest.consumer`.

At-least-once: a message is acknowledged to Pub/Sub only after its rows are durable in BigQuery. A repeat appends
the same rows with the same ids, which staging drops.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol

from infra.runtime.bigquery import Appended, TableSpec, Warehouse
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import AppendError
from infra.runtime.heartbeats import beating, heartbeat
from infra.runtime.ids import stable_id
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.pubsub import Ack, BatchConsumer, DeadLetter, Handler, Outcome, Received, Retry, TopicSpec
from infra.runtime.settings import Settings, load_settings
from infra.runtime.signals import stop_on_signals
from ingest import tables, topics
from ingest.errors import InvalidMessageError
from ingest.messages import (
    STATEMENTS,
    M,
    Message,
    OracleSourceMessage,
    PriceMessage,
    PriceTicksMessage,
    SettlementEvent,
    parse_message,
    unknown_fields,
)

_log = get_logger(__name__)


class Appender(Protocol):
    """Where rows go; `Warehouse` is the real one."""

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended: ...


Row = dict[str, Any]


def price_rows(message: PriceMessage, received: Received, now: datetime) -> list[Row]:
    """The row of `raw.market_prices` for one price."""
    row = message.model_dump(
        include={"price_id", "schema_version", "asset", "price_usd", "confidence_usd", "observed_at", "published_at"}
    )
    sources = "[" + ",".join(source.model_dump_json() for source in message.sources) + "]"
    said = {
        "sources": sources,
        "quality": str(message.quality),
        "degraded_reason": message.degraded_reason,
        "is_simulated": message.is_simulated,
    }
    return [row | said | _arrival(message, received, now)]


def price_ticks_rows(message: PriceTicksMessage, received: Received, now: datetime) -> list[Row]:
    """The rows of `raw.price_ticks` for one price: one for each reading looked at, one for each rejected."""
    of_price = message.model_dump(include={"price_id", "schema_version", "asset", "published_at"})
    rows: list[Row] = [
        each.model_dump(include=set(type(each).model_fields))
        | {"input_id": stable_id("in", message.price_id, each.tick_id), "unknown_fields": unknown_fields(message, each)}
        for each in message.inputs
    ]
    for each in message.rejections:
        read = (message.price_id, each.source, each.code, each.reference, each.received_at.isoformat())
        rows.append(
            {
                **dict.fromkeys(("tick_id", "price_usd", "confidence_usd", "observed_at", "is_simulated")),
                "input_id": stable_id("in", *read),
                "source": each.source,
                "received_at": each.received_at,
                "reference": each.reference,
                "used": False,
                "exclusion_code": each.code,
                "exclusion_reason": each.reason,
                "unknown_fields": unknown_fields(message, each),
            }
        )
    return [_arrival(message, received, now) | of_price | row for row in rows]


def oracle_source_rows(message: OracleSourceMessage, received: Received, now: datetime) -> list[Row]:
    """The row of `raw.oracle_sources` for one statement of a source's state."""
    row = message.model_dump(include=set(OracleSourceMessage.model_fields))
    return [row | {"state": str(message.state)} | _arrival(message, received, now)]


def settlement_rows(message: SettlementEvent, received: Received, now: datetime) -> list[Row]:
    """The row of `raw.settlement_events` for one event."""
    # Statements are for monitoring alone: they stand in its record.
    row = message.model_dump(include=set(SettlementEvent.model_fields) - set(STATEMENTS))
    return [row | {"side": str(message.side), "kind": str(message.kind)} | _arrival(message, received, now)]


def _arrival(message: Message, received: Received, now: datetime) -> Row:
    return {"ingested_at": now, "message_id": received.message_id, "unknown_fields": message.unknown_fields()}


@dataclass(frozen=True)
class RawWriter(Generic[M]):
    """Handles batches of one topic: parse, append, and say what became of each message.

    A message gives any number of rows; the column `id_field` holds a row's deterministic id.
    """

    topic: TopicSpec
    table: TableSpec
    model: type[M]
    id_field: str
    to_rows: Callable[[M, Received, datetime], list[Row]]
    warehouse: Appender
    clock: Clock

    def __call__(self, batch: Sequence[Received]) -> list[Outcome]:
        """One outcome a message, in order. Raises what the warehouse raises when it is away: all come again."""
        now = self.clock.now()
        outcomes: dict[int, Outcome] = {}
        rows: list[Row] = []
        positions: list[int] = []
        for index, received in enumerate(batch):
            try:
                found = self.to_rows(parse_message(self.model, received.data, now), received, now)
            except InvalidMessageError as error:
                outcomes[index] = DeadLetter(error.code, error.message)
                continue
            outcomes[index] = Ack()
            rows += found
            positions += [index] * len(found)
        outcomes |= self._append(rows, positions)
        ordered = [outcomes[index] for index in range(len(batch))]
        self._record_dead_letters(batch, ordered, now)
        return ordered

    def _append(self, rows: list[Row], positions: list[int]) -> dict[int, Outcome]:
        """Append; outcomes of the messages at `positions` (one a row) where it is not `Ack`."""
        if not rows:
            return {}
        try:
            self.warehouse.append(self.table.table_id, rows, [str(row[self.id_field]) for row in rows])
        except AppendError as error:
            outcomes: dict[int, Outcome] = {
                position: Retry("another row of the batch was refused") for position in positions
            }
            for index, reason in error.row_errors.items():
                outcomes[positions[index]] = DeadLetter("refused_by_warehouse", reason)
            return outcomes
        return {}

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
    handlers: list[tuple[TopicSpec, Handler]] = [
        (topics.PRICES, prices_writer(warehouse, clock)),
        (topics.PRICE_TICKS, price_ticks_writer(warehouse, clock)),
        (topics.ORACLE_SOURCES, oracle_sources_writer(warehouse, clock)),
        (topics.SETTLEMENTS, settlements_writer(warehouse, clock)),
    ]
    return [
        BatchConsumer(settings, spec.subscriptions[0], handle, dead_letter_topic=spec.dead_letter)
        for spec, handle in handlers
    ]


def prices_writer(warehouse: Appender, clock: Clock) -> RawWriter[PriceMessage]:
    """Writes `raw.market_prices`."""
    return RawWriter(topics.PRICES, tables.MARKET_PRICES, PriceMessage, "price_id", price_rows, warehouse, clock)


def price_ticks_writer(warehouse: Appender, clock: Clock) -> RawWriter[PriceTicksMessage]:
    """Writes `raw.price_ticks`."""
    return RawWriter(
        topics.PRICE_TICKS, tables.PRICE_TICKS, PriceTicksMessage, "input_id", price_ticks_rows, warehouse, clock
    )


def oracle_sources_writer(warehouse: Appender, clock: Clock) -> RawWriter[OracleSourceMessage]:
    """Writes `raw.oracle_sources`."""
    return RawWriter(
        topics.ORACLE_SOURCES,
        tables.ORACLE_SOURCES,
        OracleSourceMessage,
        "state_id",
        oracle_source_rows,
        warehouse,
        clock,
    )


def settlements_writer(warehouse: Appender, clock: Clock) -> RawWriter[SettlementEvent]:
    """Writes `raw.settlement_events`."""
    return RawWriter(
        topics.SETTLEMENTS, tables.SETTLEMENT_EVENTS, SettlementEvent, "event_id", settlement_rows, warehouse, clock
    )


def main() -> None:
    """Run until SIGTERM or SIGINT; what is not acknowledged by then comes again at the next start."""
    settings = load_settings()
    configure_logs("consumer", settings.log_level)
    stop = threading.Event()
    stop_on_signals(stop)
    made = consumers(settings, Warehouse(settings), SystemClock())
    running = [threading.Thread(target=each.run, args=(stop,), name=each.subscription) for each in made]
    for thread in running:
        thread.start()
    _log.info("consuming", subscriptions=[thread.name for thread in running])
    with (
        heartbeat(settings, "consumer") as shown,
        beating(shown, lambda: all(each.is_turning() for each in made), problem=lambda: _problem(made)),
    ):
        failed = _wait(running, stop)
    if failed:
        _log.error("consumer_failed", subscriptions=failed)
        raise SystemExit(1)
    _log.info("stopped")


def _problem(made: Sequence[BatchConsumer]) -> str | None:
    """What the first consumer whose batches fail fails of."""
    return next((each.problem for each in made if each.problem), None)


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
