"""What becomes of each message of a batch."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from infra.runtime.bigquery import Appended
from infra.runtime.clock import FixedClock
from infra.runtime.errors import AppendError, NotReadyError
from infra.runtime.pubsub import Ack, DeadLetter, Received, Retry
from ingest import consumer, tables
from ingest.consumer import (
    RawWriter,
    oracle_sources_writer,
    price_ticks_writer,
    prices_writer,
    settlements_writer,
)
from ingest.messages import PriceMessage, PriceTicksMessage, SettlementEvent

Make = Callable[..., bytes]


@dataclass
class Appends:
    """A warehouse that remembers; `failures` are raised in turn for appends to the topic's own table."""

    failures: list[Exception] = field(default_factory=list)
    calls: list[tuple[str, list[dict[str, Any]], list[str]]] = field(default_factory=list)

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        if self.failures and table_id != tables.DEAD_LETTERS.table_id:
            raise self.failures.pop(0)
        self.calls.append((table_id, [dict(row) for row in rows], list(row_ids or ())))
        return Appended(len(rows), 1)

    def rows(self, table_id: str) -> list[dict[str, Any]]:
        return [row for table, rows, _ in self.calls if table == table_id for row in rows]


@pytest.fixture
def appends() -> Appends:
    return Appends()


@pytest.fixture
def settlements(appends: Appends, now: datetime) -> RawWriter[SettlementEvent]:
    return settlements_writer(appends, FixedClock(now))


@pytest.fixture
def prices(appends: Appends, now: datetime) -> RawWriter[PriceMessage]:
    return prices_writer(appends, FixedClock(now))


@pytest.fixture
def price_ticks(appends: Appends, now: datetime) -> RawWriter[PriceTicksMessage]:
    return price_ticks_writer(appends, FixedClock(now))


@pytest.fixture
def three(settlement_json: Make, received: Callable[..., Received]) -> list[Received]:
    """Three good settlements: ev_0, ev_1, ev_2 in messages m0, m1, m2."""
    return [received(settlement_json(event_id=f"ev_{n}"), f"m{n}") for n in range(3)]


def test_writer__appends_a_batch_in_one_call_and_acknowledges_it(
    settlements: RawWriter[SettlementEvent], appends: Appends, three: list[Received], now: datetime
) -> None:
    assert settlements(three) == [Ack()] * 3
    [(table, rows, ids)] = appends.calls
    assert table == "raw.settlement_events"
    assert ids == ["ev_0", "ev_1", "ev_2"]
    assert [row["message_id"] for row in rows] == ["m0", "m1", "m2"]
    assert {row["ingested_at"] for row in rows} == {now}


@pytest.mark.parametrize(
    "spec",
    [tables.SETTLEMENT_EVENTS, tables.MARKET_PRICES, tables.PRICE_TICKS, tables.ORACLE_SOURCES],
    ids=lambda spec: spec.name,
)
def test_writer__rows_have_exactly_the_columns_of_the_table(
    spec: Any,
    appends: Appends,
    now: datetime,
    settlement_json: Make,
    price_json: Make,
    price_ticks_json: Make,
    oracle_source_json: Make,
    received: Callable[..., Received],
) -> None:
    clock = FixedClock(now)
    assert settlements_writer(appends, clock)([received(settlement_json())]) == [Ack()]
    assert prices_writer(appends, clock)([received(price_json())]) == [Ack()]
    assert price_ticks_writer(appends, clock)([received(price_ticks_json())]) == [Ack()]
    assert oracle_sources_writer(appends, clock)([received(oracle_source_json())]) == [Ack()]
    rows = appends.rows(spec.table_id)
    assert len(rows) == (3 if spec is tables.PRICE_TICKS else 1)
    for row in rows:
        assert set(row) == {column.name for column in spec.schema}
        assert all(row[column.name] is not None for column in spec.schema if column.mode == "REQUIRED")


def test_writer__writes_a_row_for_each_reading_with_ids_that_repeat(
    price_ticks: RawWriter[PriceTicksMessage],
    appends: Appends,
    price_ticks_json: Make,
    received: Callable[..., Received],
) -> None:
    one, again = received(price_ticks_json()), received(price_ticks_json(), "m2")
    other = received(price_ticks_json(price_id="px_2"), "m3")
    assert price_ticks([one, other]) == [Ack(), Ack()]
    assert price_ticks([again]) == [Ack()]
    first, second = ([*ids] for _, _, ids in appends.calls)
    assert len(set(first)) == 6
    assert second == first[:3]
    used, unused, rejected = appends.rows("raw.price_ticks")[:3]
    assert used["unknown_fields"] is None
    assert used["price_usd"] == Decimal("65000.000000000000000001")
    assert (used["used"], used["exclusion_code"]) == (True, None)
    assert (unused["used"], unused["exclusion_code"]) == (False, "from_future")
    assert (rejected["tick_id"], rejected["used"], rejected["exclusion_code"]) == (None, False, "zero_answer")


def test_writer__keeps_unknown_fields_of_a_reading(
    price_ticks: RawWriter[PriceTicksMessage],
    appends: Appends,
    price_ticks_json: Make,
    received: Callable[..., Received],
) -> None:
    [used, unused] = json.loads(price_ticks_json())["inputs"]
    price_ticks([received(price_ticks_json(inputs=[used | {"block": 1}, unused], note="x"))])
    first, second, _ = (json.loads(row["unknown_fields"]) for row in appends.rows("raw.price_ticks"))
    assert (first, second) == ({"block": 1, "note": "x"}, {"note": "x"})


def test_writer__sets_the_whole_message_aside_where_one_of_its_rows_is_refused(
    price_ticks: RawWriter[PriceTicksMessage],
    appends: Appends,
    price_ticks_json: Make,
    received: Callable[..., Received],
) -> None:
    appends.failures.append(AppendError("refused", {4: "no such column"}))
    empty = received(price_ticks_json(inputs=[], rejections=[]), "m0")
    first = received(price_ticks_json(), "m1")
    second = received(price_ticks_json(price_id="px_2"), "m2")
    outcomes = price_ticks([empty, first, second])
    assert [type(each) for each in outcomes] == [Ack, Retry, DeadLetter]
    assert [row["message_id"] for row in appends.rows("raw.dead_letters")] == ["m2"]


def test_writer__keeps_the_inputs_of_a_price_as_json(
    prices: RawWriter[PriceMessage], appends: Appends, price_json: Make, received: Callable[..., Received]
) -> None:
    prices([received(price_json(note="x"))])
    [row] = appends.rows("raw.market_prices")
    [source] = json.loads(row["sources"])
    assert source["reference"] == "round 7"
    assert source["price_usd"] == "65000.5"
    assert json.loads(row["unknown_fields"]) == {"note": "x"}


def test_writer__sets_an_invalid_message_aside_and_keeps_the_others(
    settlements: RawWriter[SettlementEvent],
    appends: Appends,
    three: list[Received],
    received: Callable[..., Received],
    now: datetime,
) -> None:
    bad = received(b'{"schema_version": 9}', "bad")
    outcomes = settlements([three[0], bad, three[1], received(b"[" * 100_000, "deep"), three[2]])
    assert [type(outcome) for outcome in outcomes] == [Ack, DeadLetter, Ack, DeadLetter, Ack]
    assert [row["event_id"] for row in appends.rows("raw.settlement_events")] == ["ev_0", "ev_1", "ev_2"]
    first, second = appends.rows("raw.dead_letters")
    assert first == {
        "topic": "settlement.events.v1",
        "message_id": "bad",
        "reason_code": "unknown_version",
        "reason": "schema_version 9 is unknown; this reader knows 1",
        "payload_sha256": hashlib.sha256(bad.data).hexdigest(),
        "ingested_at": now,
    }
    assert second["reason_code"] == "invalid_message"


def test_writer__appends_nothing_where_nothing_is_valid(
    settlements: RawWriter[SettlementEvent], appends: Appends, received: Callable[..., Received]
) -> None:
    [outcome] = settlements([received(b"{}")])
    assert isinstance(outcome, DeadLetter)
    assert [table for table, _, _ in appends.calls] == ["raw.dead_letters"]


def test_writer__sets_only_the_refused_row_aside(
    settlements: RawWriter[SettlementEvent], appends: Appends, three: list[Received], received: Callable[..., Received]
) -> None:
    appends.failures.append(AppendError("refused", {1: "no such column"}))
    outcomes = settlements([received(b"no json", "bad"), *three])
    assert [type(outcome) for outcome in outcomes] == [DeadLetter, Retry, DeadLetter, Retry]
    assert outcomes[2] == DeadLetter("refused_by_warehouse", "no such column")
    told = {row["message_id"]: row["reason_code"] for row in appends.rows("raw.dead_letters")}
    assert told == {"bad": "invalid_message", "m1": "refused_by_warehouse"}


def test_writer__raises_while_the_warehouse_is_away(
    settlements: RawWriter[SettlementEvent], appends: Appends, three: list[Received]
) -> None:
    appends.failures.append(NotReadyError("away"))
    with pytest.raises(NotReadyError):
        settlements(three)
    assert settlements(three) == [Ack()] * 3


def test_writer__cuts_a_long_reason(
    settlements: RawWriter[SettlementEvent], appends: Appends, three: list[Received]
) -> None:
    appends.failures.append(AppendError("refused", {0: "x" * 5_000}))
    settlements(three)
    assert len(appends.rows("raw.dead_letters")[0]["reason"]) == 2_000


def test_wait__names_a_consumer_that_ends_unasked_and_stops_the_others() -> None:
    stop = threading.Event()
    lasting = threading.Thread(target=stop.wait, name="lasting")
    broken = threading.Thread(target=lambda: None, name="broken")
    for thread in (lasting, broken):
        thread.start()
    assert consumer._wait([lasting, broken], stop) == ["broken"]
    assert not lasting.is_alive()


def test_wait__names_none_after_a_stop() -> None:
    stop = threading.Event()
    stop.set()
    thread = threading.Thread(target=stop.wait, name="one")
    thread.start()
    assert consumer._wait([thread], stop) == []
