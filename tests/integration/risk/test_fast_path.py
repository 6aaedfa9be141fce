"""From settlements and prices to margin events and to the last 24 hours, on one account's history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alerting import events
from alerting.margin.thresholds import Thresholds, set_thresholds
from alerting.margin.watch import look
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.pubsub import Publisher, TopicSpec, ensure_topics
from infra.runtime.settings import Settings
from ingest.messages import DECREASES, Kind, SettlementEvent, Side

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(900)]

LIVE = ["+margin_health", "account_exposures", "margin_defaults", "+liquidation_prices", "+recent_portfolio_exposures"]
SNAPSHOT = ["portfolio_exposures", "recent_portfolio_exposures_mv"]
POSITIONS_SQL = "select asset, side, quantity from risk.account_exposures where account_id = 'a'"
HEALTH_SQL = "select * from risk.margin_health where account_id = 'a'"
RECENT_SQL = """
select snapshot_at, asset, side, quantity, exposure_usd
from risk.recent_portfolio_exposures
order by snapshot_at, asset
"""


@dataclass
class Book:
    """One account on embedded servers, and short words for what the tests do."""

    settings: Settings
    warehouse: Warehouse
    publisher: Publisher
    build: Callable[..., Any]
    deliver: Callable[..., None]
    price: Callable[..., None]

    def look(self) -> list[tuple[str, str]]:
        """Severities decided by one look, each with the health in whole percent."""
        found = look(self.warehouse, self.publisher, SystemClock()).decided
        return [
            (str(event.severity), f"{event.health_pct:.0f}" if event.health_pct is not None else "") for event in found
        ]

    def health(self) -> dict[str, Any]:
        (row,) = self.warehouse.query(HEALTH_SQL)
        return row

    def positions(self) -> dict[tuple[str, str], Decimal]:
        return {(row["asset"], row["side"]): row["quantity"] for row in self.warehouse.query(POSITIONS_SQL)}


@pytest.fixture(scope="module")
def book(
    new_project: Callable[..., Settings],
    dbt_build: Callable[..., Any],
    deliver_events: Callable[..., None],
    deliver_prices: Callable[..., None],
) -> Iterator[Book]:
    """1 BTC at 80,000 against 50,000 USDC of a day ago, and every live view built once."""
    settings = new_project("ballast-fast")
    ensure_topics(settings, [TopicSpec(events.TOPIC, subscriptions=(events.SUBSCRIPTION,))])
    made = Book(settings, Warehouse(settings), Publisher(settings), dbt_build, deliver_events, deliver_prices)
    now = SystemClock().now()
    made.deliver(settings, opening(now), now - timedelta(hours=20))
    made.price(settings, {"BTC": Decimal(80_000), "USDC": Decimal(1)}, now - timedelta(seconds=1))
    made.build(settings, LIVE)
    yield made
    made.publisher.close()
    made.warehouse.client.close()  # type: ignore[no-untyped-call]


def event(event_id: str, asset: str, kind: Kind, quantity: str, at: datetime, side: Side) -> SettlementEvent:
    return SettlementEvent(
        event_id=event_id,
        account_id="a",
        asset=asset,
        side=side,
        kind=kind,
        quantity=Decimal(quantity),
        occurred_at=at,
        chain="ethereum",
        tx_hash=f"0x{event_id}",
    )


def opening(now: datetime) -> list[SettlementEvent]:
    return [
        event("e1", "BTC", Kind.DEPOSIT, "1", now - timedelta(hours=21), Side.COLLATERAL),
        event("e2", "USDC", Kind.DRAW, "50000", now - timedelta(hours=21), Side.BORROW),
    ]


def ledger(found: Sequence[SettlementEvent]) -> dict[tuple[str, str], Decimal]:
    """Positions summed here, each event once."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for each in {item.event_id: item for item in found}.values():
        sums[each.asset, str(each.side)] += -each.quantity if each.kind in DECREASES else each.quantity
    return dict(sums)


def test_last_24_hours__hold_each_snapshot_and_nothing_older(book: Book) -> None:
    assert [(row["asset"], row["quantity"], row["exposure_usd"]) for row in _recent(book)] == [
        ("BTC", 1, 80_000),
        ("USDC", 50_000, 50_000),
    ]
    old = "timestamp_sub(current_timestamp(), interval 1441 minute)"
    book.warehouse.query(
        f"insert into risk.portfolio_exposures (account_id, asset, side, snapshot_at, quantity, exposure_usd) "
        f"values ('a', 'BTC', 'collateral', {old}, 7, 7)"
    )
    book.build(book.settings, SNAPSHOT)
    found = _recent(book)
    assert [row["asset"] for row in found] == ["BTC", "USDC", "BTC", "USDC"]
    assert len({row["snapshot_at"] for row in found}) == 2
    assert {row["quantity"] for row in found} == {1, 50_000}
    [all_of_them] = book.warehouse.query("select count(*) as n from risk.recent_portfolio_exposures_mv")
    assert all_of_them["n"] == 5


def _recent(book: Book) -> list[dict[str, Any]]:
    return book.warehouse.query(RECENT_SQL)


def test_alerts__once_each_through_late_repeated_and_disordered_events(book: Book) -> None:
    now = SystemClock().now()
    sent = opening(now)
    steps = [
        # A withdrawal of yesterday comes today, twice, before the deposit that it followed.
        ([event("e4", "BTC", Kind.WITHDRAWAL, "0.5", now - timedelta(hours=22), Side.COLLATERAL)] * 2, "liquidation"),
        ([event("e3", "BTC", Kind.DEPOSIT, "0.25", now - timedelta(days=1, hours=1), Side.COLLATERAL)], "margin_call"),
        (opening(now), None),
        ([event("e5", "USDC", Kind.REPAYMENT, "10000", now - timedelta(hours=26), Side.BORROW)], "recovered"),
        ([event("e4", "BTC", Kind.WITHDRAWAL, "0.5", now - timedelta(hours=22), Side.COLLATERAL)], None),
    ]
    assert book.look() == []
    for delivered, expected in steps:
        book.deliver(book.settings, delivered, SystemClock().now())
        sent += delivered
        assert book.positions() == ledger(sent)
        told = [severity for severity, _ in book.look()]
        assert told == ([expected] if expected else [])
        assert book.look() == []
    rows = book.warehouse.query("select margin_event_id, severity from risk.margin_events order by transition_number")
    assert [row["severity"] for row in rows] == ["liquidation", "margin_call", "recovered"]
    kept = sorted(row["margin_event_id"] for row in rows)
    published = book.warehouse.query("select margin_event_id from risk.margin_event_publications order by 1")
    assert [row["margin_event_id"] for row in published] == kept


def test_thresholds__of_an_account_hold_at_the_next_look(book: Book) -> None:
    before = book.health()
    assert (before["status"], before["health_pct"]) == ("healthy", 50)
    set_thresholds(
        book.warehouse, "a", Thresholds(early_warning_pct=Decimal(60)), "ann", "volatile collateral", SystemClock()
    )
    assert (book.health()["status"], book.health()["early_warning_threshold_pct"]) == ("healthy", 60)
    assert book.look() == [("early_warning", "50")]
    assert book.look() == []
    stricter = Thresholds(early_warning_pct=Decimal(60), margin_call_pct=Decimal(55))
    found = set_thresholds(book.warehouse, "a", stricter, "ann", "more so", SystemClock())
    assert set_thresholds(book.warehouse, "a", stricter, "bob", "again", SystemClock()) == found
    assert book.look() == [("margin_call", "50")]
    [call] = book.warehouse.query(
        "select trigger_price_usd from risk.liquidation_prices where asset = 'BTC' and threshold = 'margin_call'"
    )
    # 0.75 BTC against 40,000 USDC: 1.55 * 40,000 / 0.75.
    assert call["trigger_price_usd"] == Decimal("82666.666666667")


def test_compaction__too_long_ago_makes_health_unknown(book: Book) -> None:
    book.warehouse.query(
        "update intermediate.int_settlements__compactions "
        "set compacted_at = timestamp '2026-01-20 12:00:00+00' where true"
    )
    found = book.health()
    assert (found["status"], found["positions_are_complete"]) == ("unpriced", False)
    assert found["unpriced_reason"].startswith("positions not compacted since 2026-01-20 12:00:00")
    assert book.look() == [("unpriced", "50")]
