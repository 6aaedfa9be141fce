"""Delivery success rates: measured from the ledger, compared with their targets, announced to the operators.

A rate counts the notifications that were planned within a window and have ended, or should have: one that is pending
for longer than `OVERDUE` counts as failed until it ends. Suppressed ones, and those that are held on purpose, do not
count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from sqlalchemy import Connection, Engine, text

from alerting.ledger import AlertEvent, PlannedNotification, store
from alerting.notices import INTERNAL_TOPIC, ChannelName, Kind
from alerting.planning_store import read_preferences
from alerting.policy import NO_PAGERDUTY, OPERATOR, OPERATORS
from alerting.policy_model import Preferences
from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id

# What share of notifications must arrive, in percent. Mail may lose a little to addresses that are gone, a text more to
# phones that are off; a webhook is tried for three days. `delivery_targets` of dbt_project.yml says the same.
TARGETS_PCT: Mapping[str, Decimal] = {
    ChannelName.EMAIL: Decimal("99.5"),
    ChannelName.SMS: Decimal("99"),
    ChannelName.WEBHOOK: Decimal("99.9"),
}
WINDOWS = (timedelta(hours=1), timedelta(hours=24))
OVERDUE = timedelta(seconds=120)
# Fewer ended notifications than this say nothing about a rate.
MIN_ENDED = 20
OWNER = "team:risk"
RULE = "delivery_rate"
_BELOW = "warning"
_RECOVERED = "recovered"
# Any constant that nothing else uses: only one process at a time decides.
_ADVISORY_LOCK = 0x7261746573


class RateStatus(StrEnum):
    """How a rate stands to its target; unknown where too few have ended."""

    OK = "ok"
    BELOW = "below"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class DeliveryRate:
    """The rate of a channel over a window; `failed` of the `ended` notifications did not arrive."""

    channel: str
    window: timedelta
    ended: int
    failed: int

    @property
    def target_pct(self) -> Decimal:
        """The channel's target in percent."""
        return TARGETS_PCT[self.channel]

    @property
    def rate_pct(self) -> Decimal | None:
        """Percent that arrived, to two places, rounded down so that it never looks better; None: too few ended."""
        if self.ended < MIN_ENDED:
            return None
        exact = Decimal(100 * (self.ended - self.failed)) / Decimal(self.ended)
        return exact.quantize(Decimal("0.01"), rounding=ROUND_DOWN)

    @property
    def status(self) -> RateStatus:
        """How the exact rate stands to the target."""
        if self.ended < MIN_ENDED:
            return RateStatus.UNKNOWN
        is_below = 100 * (self.ended - self.failed) < self.target_pct * self.ended
        return RateStatus.BELOW if is_below else RateStatus.OK


@dataclass(frozen=True, slots=True)
class LastRateEvent:
    """What was announced of a channel last; `window_minutes` is the window that opened the episode."""

    channel: str
    severity: str
    episode_id: str
    sequence: int
    window_minutes: int


def decide(channel: str, rates: Sequence[DeliveryRate], last: LastRateEvent | None, now: datetime) -> AlertEvent | None:
    """The event that the channel's rates call for, at most one, or None.

    An episode opens when the rate of any window is below the target, the shortest first. It ends when the rate of the
    window that opened it is known and at the target again, and no other is below; an unknown rate changes nothing.
    """
    is_open = last is not None and last.severity != _RECOVERED
    below = [rate for rate in sorted(rates, key=lambda each: each.window) if rate.status is RateStatus.BELOW]
    sequence = last.sequence + 1 if last is not None else 1
    if below and not is_open:
        return _event(below[0], _BELOW, stable_id("dre", channel, now.isoformat()), sequence, now)
    if last is None or not is_open or below:
        return None
    opened = next((rate for rate in rates if _minutes(rate.window) == last.window_minutes), None)
    if opened is None or opened.status is not RateStatus.OK:
        return None
    return _event(opened, _RECOVERED, last.episode_id, sequence, now)


def _event(rate: DeliveryRate, severity: str, episode_id: str, sequence: int, now: datetime) -> AlertEvent:
    return AlertEvent(
        event_id=stable_id("drv", rate.channel, sequence),
        topic=INTERNAL_TOPIC,
        kind=Kind.DELIVERY_RATE,
        rule=RULE,
        account_id=None,
        owner=OWNER,
        severity=severity,
        episode_id=episode_id,
        sequence=sequence,
        payload={
            "channel": str(rate.channel),
            "window_minutes": _minutes(rate.window),
            "rate_pct": str(rate.rate_pct),
            "target_pct": str(rate.target_pct),
            "ended": rate.ended,
            "failed": rate.failed,
        },
        detected_at=now,
    )


def _minutes(window: timedelta) -> int:
    return window // timedelta(minutes=1)


# What has not ended counts as failed once it is overdue. One that was never tried and is due in the future is held, by
# quiet hours or for a digest; a provider that refuses everybody also moves `due_at`, but only after a try. One that was
# held for a while counts from its first try on, and one that fell out of the queue from its beginning.
_MEASURE = text(
    """
    with
        planned as (
            select
                notifications.channel, notifications.created_at, notifications.terminal_state, pending.due_at,
                case
                    when pending.notification_id is not null then (
                        select min(states.at)
                        from alerting.notification_states as states
                        where states.notification_id = notifications.notification_id and states.state = 'sent'
                    )
                end as tried_at
            from alerting.notifications
            inner join alerting.events on notifications.event_id = events.event_id
            left join alerting.pending on notifications.notification_id = pending.notification_id
            where
                notifications.created_at > :since
                and notifications.channel = any(cast(:channels as text[]))
                and events.kind not in ('test', 'verification')
        ),

        judged as (
            select
                channel, created_at,
                terminal_state in ('accepted', 'delivered') as is_succeeded,
                terminal_state = 'failed'
                or (
                    terminal_state is null
                    and case
                        when tried_at is null then greatest(created_at, due_at)
                        when tried_at > created_at + cast(:overdue as interval) then tried_at
                        else created_at
                    end < cast(:now as timestamptz) - cast(:overdue as interval)
                ) as is_failed
            from planned
        )

    select
        given.channel, given.seconds,
        count(*) filter (where judged.is_succeeded) as succeeded,
        count(*) filter (where judged.is_failed) as failed
    from (
        select channel, seconds
        from unnest(cast(:channels as text[])) as channel
        cross join unnest(cast(:seconds as bigint[])) as seconds
    ) as given
    left join judged
        on given.channel = judged.channel
        and judged.created_at > cast(:now as timestamptz) - given.seconds * interval '1 second'
    group by given.channel, given.seconds
    order by given.channel, given.seconds
    """
)

# Events of the desk have no account, which the index on notifications finds.
_LAST = text(
    """
    select distinct on (events.payload ->> 'channel')
        events.payload ->> 'channel' as channel, events.severity, events.episode_id, events.sequence,
        cast(events.payload ->> 'window_minutes' as integer) as window_minutes
    from alerting.notifications
    inner join alerting.events on notifications.event_id = events.event_id
    where notifications.account_id is null and events.kind = 'delivery_rate'
    order by events.payload ->> 'channel', events.sequence desc
    """
)
_LOCK = text("select pg_advisory_xact_lock(:key)")


def measure(connection: Connection, now: datetime) -> list[DeliveryRate]:
    """The rate of each channel that has a target over each window that ends now."""
    values = {
        "now": now,
        "since": now - max(WINDOWS),
        "overdue": OVERDUE,
        "channels": sorted(str(channel) for channel in TARGETS_PCT),
        "seconds": [window // timedelta(seconds=1) for window in WINDOWS],
    }
    rows = connection.execute(_MEASURE, values).all()
    return [
        DeliveryRate(row.channel, timedelta(seconds=row.seconds), int(row.succeeded + row.failed), int(row.failed))
        for row in rows
    ]


def last_events(connection: Connection) -> Mapping[str, LastRateEvent]:
    """What was announced last, by channel: the ledger is all the state that there is."""
    rows = connection.execute(_LAST).all()
    return {row.channel: LastRateEvent(**row._mapping) for row in rows}


class RateWatch:
    """Looks at the rates and plans what they call for; several may run, one at a time decides."""

    def __init__(self, engine: Engine, clock: Clock, *, channels: Collection[str], has_webhook: bool) -> None:
        """`channels` are those that are configured; `has_webhook` whether the operator has a webhook."""
        self._engine = engine
        self._clock = clock
        self._channels = frozenset(channels)
        self._has_webhook = has_webhook

    def look(self) -> tuple[Sequence[DeliveryRate], Sequence[AlertEvent]]:
        """Measure, decide and plan in one transaction; returns the rates and what was announced.

        Raises SQLAlchemy's errors; nothing is announced then.
        """
        now = self._clock.now()
        with self._engine.begin() as connection:
            connection.execute(_LOCK, {"key": _ADVISORY_LOCK})
            rates = measure(connection, now)
            last = last_events(connection)
            decided: list[AlertEvent] = []
            notifications: list[PlannedNotification] = []
            team = read_preferences(connection, [OWNER], now)[OWNER]
            for channel in TARGETS_PCT:
                own = [rate for rate in rates if rate.channel == channel]
                event = decide(channel, own, last.get(channel), now)
                if event is not None:
                    decided.append(event)
                    notifications += [*self._planned(event, channel), *self._to_team(event, team)]
            store(connection, decided, notifications, now)
        return rates, decided

    def _planned(self, event: AlertEvent, channel: str) -> list[PlannedNotification]:
        """What always happens: a page, in order for each channel, and the operator's webhook where there is one."""
        page = PlannedNotification(
            event.event_id,
            ChannelName.PAGERDUTY,
            OPERATORS,
            suppressed_reason=None if ChannelName.PAGERDUTY in self._channels else NO_PAGERDUTY,
            ordering_key=f"delivery-rate:{channel}",
        )
        return (
            [page, PlannedNotification(event.event_id, ChannelName.WEBHOOK, OPERATOR)] if self._has_webhook else [page]
        )

    def _to_team(self, event: AlertEvent, team: Preferences) -> list[PlannedNotification]:
        """The team's own contacts, on the channels that there are."""
        return [
            PlannedNotification(event.event_id, each.channel, each.contact_id, fingerprint=each.fingerprint)
            for each in team.chosen()
            if each.role == "primary" and each.wants(event.severity) and each.channel in self._channels
        ]
