"""Live positions against a ledger that is summed here: repeated, late and disordered deliveries change nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.messages import DECREASES, Kind, SettlementEvent, Side

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(900)]

# The live view, what it rests on, and the data test that compares both with raw.
INTRADAY = ["+int_settlements__positions_current"]
POSITIONS_SQL = """
select account_id, asset, side, quantity, late_events_pending
from intermediate.int_settlements__positions_current
"""

Key = tuple[str, str, str]


class Ledger:
    """Every event once, by id."""

    def __init__(self) -> None:
        self._events: dict[str, SettlementEvent] = {}

    def add(self, events: Iterable[SettlementEvent]) -> None:
        """Take the events that are not there yet."""
        for event in events:
            self._events.setdefault(event.event_id, event)

    def positions(self) -> dict[Key, Decimal]:
        """The signed sum by account, asset and side."""
        sums: dict[Key, Decimal] = defaultdict(Decimal)
        for event in self._events.values():
            sign = -1 if event.kind in DECREASES else 1
            sums[event.account_id, event.asset, str(event.side)] += sign * event.quantity
        return dict(sums)


class Book:
    """A project with a consumer, a compaction and a live view of positions."""

    def __init__(self, settings: Settings, build: Callable[..., Any], deliver: Callable[..., None]) -> None:
        self._settings, self._build, self._deliver = settings, build, deliver
        self._warehouse = Warehouse(settings)

    def deliver(self, events: Sequence[SettlementEvent], at: datetime) -> None:
        """Append one row an event, as arrived at a time."""
        self._deliver(self._settings, events, at)

    def compact(self) -> None:
        """One intraday build, with the test that compaction loses nothing."""
        outcomes = self._build(self._settings, INTRADAY)
        assert "settlements__compaction_loses_nothing" in {outcome.unique_id.split(".")[2] for outcome in outcomes}

    def positions(self) -> dict[Key, Decimal]:
        """The live view; empty positions of late events that still wait are left out."""
        return {
            (row["account_id"], row["asset"], row["side"]): row["quantity"]
            for row in self._warehouse.query(POSITIONS_SQL)
            if row["quantity"] or not row["late_events_pending"]
        }

    def late(self) -> dict[Key, int]:
        """Late events that wait, by position."""
        return {
            (row["account_id"], row["asset"], row["side"]): row["late_events_pending"]
            for row in self._warehouse.query(POSITIONS_SQL)
            if row["late_events_pending"]
        }

    def count(self, sql: str) -> int:
        """The number in the one cell of a query."""
        (row,) = self._warehouse.query(sql)
        return int(next(iter(row.values())))


@pytest.fixture(scope="module")
def book(
    new_project: Callable[..., Settings], dbt_build: Callable[..., Any], deliver_events: Callable[..., None]
) -> Book:
    """An empty book in a project of its own."""
    return Book(new_project("ballast-ledger"), dbt_build, deliver_events)


def _event(
    event_id: str, account: str, asset: str, kind: Kind, quantity: str, at: datetime, side: Side = Side.COLLATERAL
) -> SettlementEvent:
    return SettlementEvent(
        event_id=event_id,
        account_id=account,
        asset=asset,
        side=side,
        kind=kind,
        quantity=Decimal(quantity),
        occurred_at=at,
        chain="ethereum",
        tx_hash=f"0x{event_id}",
    )


def test_positions__equal_the_ledger_through_duplicates_late_and_disordered_events(book: Book) -> None:
    now = SystemClock().now()
    long_ago, days_ago = now - timedelta(days=30), now - timedelta(days=3)
    ledger = Ledger()

    ancient = [
        _event("ev-1", "acct-a", "BTC", Kind.DEPOSIT, "2", long_ago - timedelta(hours=1)),
        _event("ev-2", "acct-a", "USDC", Kind.DRAW, "50000.25", long_ago - timedelta(hours=1), Side.BORROW),
    ]
    recent = [
        _event("ev-3", "acct-a", "BTC", Kind.WITHDRAWAL, "0.5", days_ago),
        _event("ev-4", "acct-b", "ETH", Kind.DEPOSIT, "10.000000000000000001", days_ago),
    ]
    book.deliver(ancient, long_ago)
    book.deliver([*recent, recent[0]], now - timedelta(hours=2))
    ledger.add([*ancient, *recent])
    book.compact()
    assert book.positions() == ledger.positions()

    fresh = [
        _event("ev-6", "acct-b", "ETH", Kind.SEIZURE, "4", now - timedelta(minutes=5)),
        _event("ev-5", "acct-a", "BTC", Kind.DEPOSIT, "0.125", days_ago - timedelta(days=2)),
        _event(
            "ev-7", "acct-c", "USDT", Kind.INTEREST, "0.000000000000000001", now - timedelta(minutes=1), Side.BORROW
        ),
    ]
    late = [
        _event("ev-8", "acct-b", "ETH", Kind.DEPOSIT, "100", now - timedelta(days=10)),
        _event("ev-9", "acct-d", "SOL", Kind.DEPOSIT, "7", now - timedelta(days=10)),
    ]
    again = [*fresh, fresh[0], *late, late[0], *recent, ancient[0]]
    book.deliver(again, now - timedelta(seconds=2))
    book.deliver(list(reversed(again)), now - timedelta(seconds=1))
    ledger.add(fresh)
    assert book.count("select count(*) from raw.settlement_events where event_id = 'ev-6'") == 4
    assert book.positions() == ledger.positions()
    waiting = book.late()
    assert (waiting["acct-b", "ETH", "collateral"], waiting["acct-d", "SOL", "collateral"]) == (1, 1)

    ledger.add(late)
    for _ in range(2):
        book.compact()
        assert book.positions() == ledger.positions()
        assert book.count("select count(*) from intermediate.int_settlements__events_deduped") == 9
        assert not {("acct-b", "ETH", "collateral"), ("acct-d", "SOL", "collateral")} & book.late().keys()

    book.deliver([*late, *fresh], SystemClock().now())
    assert book.positions() == ledger.positions()
