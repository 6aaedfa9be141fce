"""Publishing prices and settlement events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from infra.runtime.bigquery import Warehouse
from infra.runtime.pubsub import Publisher
from ingest import topics
from ingest.messages import SettlementEvent

CHUNK = 1_000

ARRIVED_EVENTS_SQL = """
select distinct event_id
from raw.settlement_events
where event_id in unnest(@event_ids)
"""


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
