"""Typed reads of what became of alerts: the delivery ledger, rates, latencies, suppressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from assets.risk.queries import Reader, read_rows


@dataclass(frozen=True)
class LedgerFilter:
    """Which notifications are wanted; an empty text is no filter. They were planned at `since` (UTC) or later."""

    since: datetime
    account_id: str = ""
    severity: str = ""
    channel: str = ""
    state: str = ""

    def parameters(self) -> Mapping[str, Any]:
        """As parameters of the statement."""
        return {
            "since": self.since,
            "account_id": self.account_id,
            "severity": self.severity,
            "channel": self.channel,
            "state": self.state,
        }


@dataclass(frozen=True)
class Delivery:
    """One notification as it stands; `recipient` is a key, never an address. Times are UTC."""

    notification_id: str
    event_id: str | None
    kind: str | None
    rule: str | None
    account_id: str | None
    severity: str | None
    channel: str | None
    recipient: str | None
    state: str
    detected_at: datetime | None
    planned_at: datetime | None
    accepted_at: datetime | None
    delivered_at: datetime | None
    seconds_to_accept: Decimal | None
    attempts: int
    provider_message_id: str | None
    last_detail: str | None


@dataclass(frozen=True)
class DeliveryRate:
    """The share of a channel's notifications that arrived in the `window_hours` that end with an hour (UTC)."""

    channel: str
    hour_at: datetime
    window_hours: int
    is_running: bool
    ended: int
    succeeded: int
    failed: int
    pending: int
    rate_pct: Decimal | None
    target_pct: Decimal | None
    status: str


@dataclass(frozen=True)
class Latency:
    """Seconds from detection until a provider accepted, of a channel in an hour (UTC), or in all of them (None).

    Each is the smallest one that at least that share took at most.
    """

    channel: str
    hour_at: datetime | None
    accepted: int
    p50_seconds: Decimal
    p95_seconds: Decimal
    p99_seconds: Decimal


@dataclass(frozen=True)
class Suppression:
    """Notifications that were not sent for the same reason."""

    channel: str | None
    severity: str | None
    reason: str | None
    notifications: int
    last_at: datetime


DELIVERIES_SQL = """
select *
from risk.notification_deliveries
where
    planned_at >= @since
    and (@account_id = '' or account_id = @account_id)
    and (@severity = '' or severity = @severity)
    and (@channel = '' or channel = @channel)
    and (@state = '' or state = @state)
order by planned_at desc, notification_id
limit @max_rows
offset @skipped_rows
"""

DELIVERY_RATES_SQL = """
select *
from risk.delivery_rates
where (window_hours = 24 and is_running) or (window_hours = 1 and hour_at >= @since)
order by channel, window_hours desc, hour_at
"""

# Digests, tests and escalations come when they are due, which says nothing of the providers.
LATENCIES_SQL = """
with
    accepted as (
        select channel, seconds_to_accept, timestamp_trunc(accepted_at, hour) as hour_at
        from risk.notification_deliveries
        where
            accepted_at >= @since
            and seconds_to_accept is not null
            and channel is not null
            and kind in ('margin', 'compliance')
    ),

    windows as (
        select channel, hour_at, seconds_to_accept
        from accepted
        union all
        select channel, cast(null as timestamp) as hour_at, seconds_to_accept
        from accepted
    ),

    ranked as (
        select
            channel,
            hour_at,
            seconds_to_accept,
            row_number() over (partition by channel, hour_at order by seconds_to_accept) as place,
            count(*) over (partition by channel, hour_at) as places
        from windows
    )

select
    channel,
    hour_at,
    count(*) as accepted,
    min(if(place * 100 >= places * 50, seconds_to_accept, null)) as p50_seconds,
    min(if(place * 100 >= places * 95, seconds_to_accept, null)) as p95_seconds,
    min(if(place * 100 >= places * 99, seconds_to_accept, null)) as p99_seconds
from ranked
group by channel, hour_at
order by channel, hour_at
"""

# Reasons without the ids and times that differ from one notification to the next.
SUPPRESSIONS_SQL = """
with
    suppressed as (
        select
            channel,
            severity,
            planned_at,
            case
                when starts_with(last_detail, 'silenced until ')
                then 'silenced'
                when starts_with(last_detail, 'digested into ')
                then 'digested'
                when starts_with(last_detail, 'inhibited by liquidation ')
                then 'inhibited'
                when ends_with(last_detail, ' has no contact')
                then 'no_contact'
                else last_detail
            end as reason
        from risk.notification_deliveries
        where planned_at >= @since and state = 'suppressed'
    )

select channel, severity, reason, count(*) as notifications, max(planned_at) as last_at
from suppressed
group by channel, severity, reason
order by notifications desc, channel, severity, reason
limit @max_rows
"""

LAST_STEP_SQL = """
select max(state_at) as last_step_at
from staging.stg_alerting__notification_events
where state_at >= @since
"""


def deliveries(reader: Reader, wanted: LedgerFilter, max_rows: int, skipped_rows: int = 0) -> list[Delivery]:
    """A page of the notifications that fit all filters, newest first."""
    parameters = {**wanted.parameters(), "max_rows": max_rows, "skipped_rows": skipped_rows}
    return read_rows(reader, Delivery, DELIVERIES_SQL, parameters)


def delivery_rates(reader: Reader, since: datetime) -> list[DeliveryRate]:
    """Of each channel the last 24 hours, and the hours since a time (UTC), oldest first."""
    return read_rows(reader, DeliveryRate, DELIVERY_RATES_SQL, {"since": since})


def latencies(reader: Reader, since: datetime) -> list[Latency]:
    """Latencies of margin and compliance alerts by channel: of all since a time (UTC), and by hour, oldest first."""
    found = read_rows(reader, Latency, LATENCIES_SQL, {"since": since})
    return sorted(found, key=lambda row: (row.channel, row.hour_at is not None, row.hour_at))


def suppressions(reader: Reader, since: datetime, max_rows: int) -> list[Suppression]:
    """Why notifications since a time (UTC) were not sent, most frequent first."""
    return read_rows(reader, Suppression, SUPPRESSIONS_SQL, {"since": since, "max_rows": max_rows})


def last_step_at(reader: Reader, since: datetime) -> datetime | None:
    """When the newest step of the ledger that has arrived was taken (UTC); None without one since then."""
    rows = reader.query(LAST_STEP_SQL, {"since": since})
    return rows[0]["last_step_at"] if rows else None
