"""The outbox of settlements: what is accepted or released goes to `settlement.events.v1`.

Pub/Sub takes an event before that is recorded, so a process that dies between publishes it again under the same event
id, by which every reader knows it: positions count an event once.
"""

from __future__ import annotations

from sqlalchemy import Engine, text

from compliance.outbox import EventPublisher
from infra.runtime.clock import Clock
from ingest.messages import SettlementEvent
from ingest.topics import SETTLEMENTS

BATCH = 500
# Any constant that nothing else uses: publishers take turns on it.
_ADVISORY_LOCK = 0x616D6C70

_WAITING = text(
    """
    select transaction_id, event
    from compliance.transaction_logs
    where published_at is null and event is not null and decision in ('accepted', 'released')
    order by decided_at, transaction_id
    limit :max_rows
    """
)
_PUBLISHED = text(
    """
    update compliance.transaction_logs
    set published_at = :now
    where transaction_id = any(cast(:transaction_ids as text[])) and published_at is null
    """
)
_TRY_LOCK = text("select pg_try_advisory_lock(:key)")
_UNLOCK = text("select pg_advisory_unlock(:key)")


def publish_accepted(engine: Engine, publisher: EventPublisher, clock: Clock, batch: int = BATCH) -> int:
    """Publish what waits, oldest decision first, and return how many; 0 while another process does it.

    No database transaction is open while Pub/Sub is waited for.
    """
    published = 0
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        has_lock: bool = connection.execute(_TRY_LOCK, {"key": _ADVISORY_LOCK}).scalar_one()
        if not has_lock:
            return 0
        try:
            while rows := connection.execute(_WAITING, {"max_rows": batch}).all():
                messages = [SettlementEvent.model_validate(row.event).to_json() for row in rows]
                publisher.publish_all(SETTLEMENTS.name, messages)
                done = {"transaction_ids": [row.transaction_id for row in rows], "now": clock.now()}
                connection.execute(_PUBLISHED, done)
                published += len(rows)
        finally:
            connection.execute(_UNLOCK, {"key": _ADVISORY_LOCK})
    return published
