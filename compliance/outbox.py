"""The outbox of `compliance.events.v1`: written with the change that it tells of, published afterwards.

A process that dies after Pub/Sub took an event and before that is recorded publishes it again; readers recognise it by
`event_id`. So nothing is lost and nothing is told twice to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection, Engine, text

from compliance.events import TOPIC, ComplianceEvent
from infra.runtime.clock import Clock

BATCH = 500


class EventPublisher(Protocol):
    """What the outboxes of compliance need of Pub/Sub."""

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        """Publish durably and return the message ids; raises `NotReadyError` if Pub/Sub stays away."""
        ...


_ENQUEUE = text(
    """
    insert into compliance.outbox (event_id, message, created_at)
    values (:event_id, cast(:message as jsonb), :created_at)
    on conflict (event_id) do nothing
    """
)
_WAITING = text(
    """
    select event_id, cast(message as text) as message
    from compliance.outbox
    where published_at is null
    order by created_at, event_id
    limit :max_rows
    """
)
_PUBLISHED = text(
    """
    update compliance.outbox
    set published_at = :at
    where event_id = any(cast(:event_ids as text[])) and published_at is null
    """
)


def enqueue(connection: Connection, event: ComplianceEvent) -> None:
    """Put the event into the outbox in the caller's transaction; one that is there already stays as it is."""
    values = {"event_id": event.event_id, "message": event.model_dump_json(), "created_at": event.occurred_at}
    connection.execute(_ENQUEUE, values)


def publish_pending(engine: Engine, publisher: EventPublisher, clock: Clock) -> int:
    """Publish what Pub/Sub does not have yet, oldest first, and return how many events that were.

    No transaction is open while Pub/Sub is waited for. Raises `NotReadyError` where it stays away: what it has not
    confirmed stays in the outbox.
    """
    published = 0
    while True:
        with engine.connect() as connection:
            waiting = connection.execute(_WAITING, {"max_rows": BATCH}).all()
        if not waiting:
            return published
        publisher.publish_all(TOPIC, [row.message.encode() for row in waiting])
        with engine.begin() as connection:
            connection.execute(_PUBLISHED, {"event_ids": [row.event_id for row in waiting], "at": clock.now()})
        published += len(waiting)
