"""What PostgreSQL keeps of the past: ended notifications go once they are old and stand in the warehouse.

The warehouse keeps the history; PostgreSQL keeps what is pending and the recent past, so that it stays as fast as on
the first day. Everything goes in bounded chunks, each in a transaction of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, TextClause, text

from infra.runtime.clock import Clock

CHUNK = 1_000

# Ended, old in every step, and every step mirrored: the trigger of notification_states asks for the same. What an open
# escalation asks about stays, and what a digest that is not sent yet sums up, however long the workers rest. The events
# that tell how the delivery rates stand are kept, with their notifications, until a later one replaces them.
_ENDED = text(
    """
    with
        reached as (
            select coalesce(max(txid), 0) as txid
            from alerting.mirror_progress
            where stream = 'notification_states'
        ),

        rate_events as (
            select distinct on (events.payload ->> 'channel') events.event_id
            from alerting.notifications
            inner join alerting.events on notifications.event_id = events.event_id
            where notifications.account_id is null and events.kind = 'delivery_rate'
            order by events.payload ->> 'channel', events.sequence desc
        )

    select notifications.notification_id
    from alerting.notifications
    where
        notifications.created_at < :before
        and notifications.terminal_state is not null
        and notifications.event_id not in (select event_id from rate_events)
        and not exists (
            select 1
            from alerting.pending
            where pending.notification_id in (notifications.notification_id, notifications.digest_id)
        )
        and not exists (
            select 1
            from alerting.escalations
            where escalations.event_id = notifications.event_id and escalations.closed_at is null
        )
        and not exists (
            select 1
            from alerting.notifications as members
            inner join alerting.escalations using (event_id)
            where members.digest_id = notifications.notification_id and escalations.closed_at is null
        )
        and not exists (
            select 1
            from alerting.notification_states as states
            where
                states.notification_id = notifications.notification_id
                and (states.at >= :before or states.txid >= (select txid from reached))
        )
    order by notifications.created_at
    limit :max_rows
    for update of notifications skip locked
    """
)

_BY_NOTIFICATION = (
    (
        "notification_states",
        text("delete from alerting.notification_states where notification_id = any(cast(:keys as text[]))"),
    ),
    (
        "acknowledgements",
        text("delete from alerting.acknowledgements where notification_id = any(cast(:keys as text[]))"),
    ),
    ("notifications", text("delete from alerting.notifications where notification_id = any(cast(:keys as text[]))")),
)


@dataclass(frozen=True)
class _Rule:
    """Rows of a table that go by themselves: `delete` takes `before` and `max_rows`."""

    table: str
    delete: TextClause


# In this order: an event goes after its notifications and its escalation.
_RULES = (
    _Rule(
        "escalations",
        text(
            """
            delete from alerting.escalations
            where event_id in (
                select event_id
                from alerting.escalations
                where closed_at < :before
                limit :max_rows
                for update skip locked
            )
            """
        ),
    ),
    _Rule(
        "events",
        text(
            """
            delete from alerting.events
            where event_id in (
                select events.event_id
                from alerting.events
                where
                    events.received_at < :before
                    and not exists (
                        select 1 from alerting.notifications where notifications.event_id = events.event_id
                    )
                    and not exists (select 1 from alerting.escalations where escalations.event_id = events.event_id)
                order by events.received_at
                limit :max_rows
                for update of events skip locked
            )
            """
        ),
    ),
    _Rule(
        "callbacks",
        text(
            """
            delete from alerting.callbacks
            where callback_id in (
                select callback_id
                from alerting.callbacks
                where received_at < :before
                order by received_at
                limit :max_rows
                for update skip locked
            )
            """
        ),
    ),
    _Rule(
        "verifications",
        text(
            """
            delete from alerting.verifications
            where verification_id in (
                select verification_id
                from alerting.verifications
                where expires_at < :before
                limit :max_rows
                for update skip locked
            )
            """
        ),
    ),
    # An address that nobody wants any more; its proofs go before it, and what was sent to it keeps its key.
    _Rule(
        "contacts",
        text(
            """
            delete from alerting.contacts
            where contact_id in (
                select contact_id
                from alerting.contacts
                where
                    status = 'removed'
                    and updated_at < :before
                    and not exists (
                        select 1 from alerting.verifications where verifications.contact_id = contacts.contact_id
                    )
                limit :max_rows
                for update skip locked
            )
            """
        ),
    ),
    _Rule(
        "silences",
        text(
            """
            delete from alerting.silences
            where silence_id in (
                select silence_id from alerting.silences where ends_at < :before limit :max_rows for update skip locked
            )
            """
        ),
    ),
    # A bucket that was not used for so long is full again, as one that is not there: addresses come and go.
    _Rule(
        "recipient_buckets",
        text(
            """
            delete from alerting.recipient_buckets
            where (channel, fingerprint) in (
                select channel, fingerprint
                from alerting.recipient_buckets
                where at < :before
                limit :max_rows
                for update skip locked
            )
            """
        ),
    ),
)


class Retention:
    """Deletes what has been over for longer than `keep`; several may run at once, each takes other rows."""

    def __init__(self, engine: Engine, clock: Clock, keep: timedelta, chunk: int = CHUNK) -> None:
        self._engine = engine
        self._clock = clock
        self._keep = keep
        self._chunk = chunk

    def run(self, is_stopped: Callable[[], bool] = lambda: False) -> Mapping[str, int]:
        """Delete chunk by chunk until nothing is left to delete or `is_stopped`; returns rows by table.

        Raises SQLAlchemy's errors; the chunks before are deleted then.
        """
        before = self._clock.now() - self._keep
        deleted: Counter[str] = Counter()
        while not is_stopped():
            found, by_table = self._notifications(before)
            deleted.update(by_table)
            if found < self._chunk:
                break
        for rule in _RULES:
            while not is_stopped():
                with self._engine.begin() as connection:
                    count = connection.execute(rule.delete, {"before": before, "max_rows": self._chunk}).rowcount
                deleted[rule.table] += count
                if count < self._chunk:
                    break
        return dict(deleted)

    def _notifications(self, before: datetime) -> tuple[int, Mapping[str, int]]:
        """One chunk of notifications with all that hangs on them."""
        with self._engine.begin() as connection:
            keys: list[str] = list(connection.execute(_ENDED, {"before": before, "max_rows": self._chunk}).scalars())
            if not keys:
                return 0, {}
            return len(keys), {
                table: connection.execute(delete, {"keys": keys}).rowcount for table, delete in _BY_NOTIFICATION
            }
