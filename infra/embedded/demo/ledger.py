"""What the demo reads of the notification ledger: whether everybody was told, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Engine, text

from alerting.events import TOPIC

# Margin events that were planned, and the notifications of them that have not ended.
_PROGRESS = text(
    """
    select
        count(distinct events.event_id) as events,
        count(notifications.notification_id) filter (where notifications.terminal_state is null) as open
    from alerting.events
    left join alerting.notifications on notifications.event_id = events.event_id
    where events.topic = :topic and events.detected_at >= :since
    """
)

_BY_CHANNEL = text(
    """
    select
        notifications.channel,
        count(*) filter (where notifications.terminal_state = 'accepted') as accepted,
        count(*) filter (where notifications.terminal_state = 'delivered') as delivered,
        count(*) filter (where notifications.terminal_state = 'suppressed') as suppressed,
        count(*) filter (where notifications.terminal_state = 'failed') as failed,
        count(*) filter (where notifications.terminal_state is null) as open,
        percentile_disc(0.5) within group (order by first_acceptance.seconds) as median_seconds,
        max(first_acceptance.seconds) as longest_seconds
    from alerting.notifications
    join alerting.events on events.event_id = notifications.event_id
    left join lateral (
        select min(states.seconds_since_detected) as seconds
        from alerting.notification_states as states
        where states.notification_id = notifications.notification_id and states.state = 'accepted'
    ) as first_acceptance on true
    where events.topic = :topic and events.detected_at >= :since
    group by notifications.channel
    order by notifications.channel
    """
)


@dataclass(frozen=True)
class Told:
    """How the notifications of one channel stand, and the seconds from detection to the provider's acceptance."""

    channel: str
    accepted: int
    delivered: int
    suppressed: int
    failed: int
    open: int
    median_seconds: Decimal | None
    longest_seconds: Decimal | None


def progress(engine: Engine, since: datetime) -> tuple[int, int]:
    """How many margin events detected since then the ledger holds, and how many of their notifications are open."""
    with engine.connect() as connection:
        row = connection.execute(_PROGRESS, {"topic": TOPIC, "since": since}).one()
    return int(row.events), int(row.open)


def told(engine: Engine, since: datetime) -> list[Told]:
    """How the notifications of margin events detected since then stand, by channel."""
    with engine.connect() as connection:
        rows = connection.execute(_BY_CHANNEL, {"topic": TOPIC, "since": since}).mappings().all()
    return [Told(**row) for row in rows]
