"""Publishing prices and settlement events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from infra.runtime.bigquery import Warehouse
from infra.runtime.pubsub import Publisher
from ingest import topics
from ingest.closes import Close
from ingest.messages import SIMULATED, PriceMessage, PriceSource, SettlementEvent, price_id

REPLAY = "close_replay"
CHUNK = 1_000

ARRIVED_EVENTS_SQL = """
select distinct event_id
from raw.settlement_events
where event_id in unnest(@event_ids)
"""


def price_of_close(close: Close, now: datetime, price_usd: Decimal | None = None) -> PriceMessage:
    """A live price that repeats a close as if it were observed `now`, or `price_usd` in its stead.

    The source says what it is: `simulated`, or `close_replay` with the day of the close.
    """
    price = close.close_usd if price_usd is None else price_usd
    name = SIMULATED if close.source == SIMULATED else REPLAY
    source = PriceSource(
        name=name, price_usd=price, observed_at=now, reference=f"{close.asset} close of {close.price_date}"
    )
    return PriceMessage(
        price_id=price_id(close.asset, now, price, [source.reference]),
        asset=close.asset,
        price_usd=price,
        sources=[source],
        observed_at=now,
        published_at=now,
    )


def publish_prices(publisher: Publisher, prices: Sequence[PriceMessage]) -> None:
    """Publish prices; when it returns, Pub/Sub keeps them."""
    publisher.publish_all(topics.PRICES.name, [price.to_json() for price in prices])


def publish_missing_events(
    warehouse: Warehouse,
    publisher: Publisher,
    events: Sequence[SettlementEvent],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Publish the events that `raw` does not hold yet and return their number; safe to repeat.

    `progress` is called with events looked at and events in all.
    """
    published = 0
    for start in range(0, len(events), CHUNK):
        chunk = events[start : start + CHUNK]
        arrived = arrived_events(warehouse, [event.event_id for event in chunk])
        missing = [event for event in chunk if event.event_id not in arrived]
        publisher.publish_all(topics.SETTLEMENTS.name, [event.to_json() for event in missing])
        published += len(missing)
        progress(start + len(chunk), len(events))
    return published


def arrived_events(warehouse: Warehouse, event_ids: Sequence[str]) -> set[str]:
    """Which of the events `raw` holds."""
    rows = warehouse.query(ARRIVED_EVENTS_SQL, {"event_ids": list(event_ids)})
    return {str(row["event_id"]) for row in rows}


LATEST_PRICES_SQL = """
select asset, price_usd
from raw.market_prices
where ingested_at >= timestamp_sub(current_timestamp(), interval 2 day) and price_usd is not null
qualify row_number() over (partition by asset order by published_at desc, observed_at desc, price_id) = 1
"""


def latest_prices(warehouse: Warehouse) -> Mapping[str, Decimal]:
    """The last price of each asset in the last two days, USD for one unit."""
    return {str(row["asset"]): row["price_usd"] for row in warehouse.query(LATEST_PRICES_SQL)}
