"""Typed reads behind the page of one account, and those of the exports: history, settlements, alerts, thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from assets.risk.queries import MarginHealth, Reader, read_rows

# As long as raw events stay in BigQuery.
SETTLEMENTS_WITHIN = timedelta(days=90)
# So many accounts are of one moment; a larger book is read in several pages.
BOOK_PAGE_ROWS = 10_000


@dataclass(frozen=True)
class HealthBucket:
    """The snapshots of an account's health in a span of time that begins at `bucket_at`.

    `lowest_health_pct` (percent) is that of the snapshots whose prices were current; None where none had a health.
    """

    bucket_at: datetime
    lowest_health_pct: Decimal | None
    snapshots: int
    unpriced_snapshots: int
    no_debt_snapshots: int
    is_simulated: bool


@dataclass(frozen=True)
class Settlement:
    """A settled event, as it first arrived; `signed_quantity` in units of the asset, below zero for what goes out.

    `matching` is the number of all events that the page is one of.
    """

    event_id: str
    asset: str
    side: str
    kind: str
    signed_quantity: Decimal
    chain: str | None
    tx_hash: str | None
    occurred_at: datetime
    ingested_at: datetime
    is_late: bool
    matching: int


@dataclass(frozen=True)
class ChannelDelivery:
    """The notifications of a margin event on one channel that stand alike; `seconds_to_accept` is the longest."""

    margin_event_id: str
    channel: str
    state: str
    notifications: int
    seconds_to_accept: Decimal | None


@dataclass(frozen=True)
class OwnThresholds:
    """What somebody set for one account, in percent of health; a None stands for the default."""

    margin_call_pct: Decimal | None
    liquidation_pct: Decimal | None
    early_warning_pct: Decimal | None
    recovery_margin_pct: Decimal | None
    set_at: datetime
    set_by: str
    reason: str | None


# Two snapshots of a build must not make a line of two points: a span has one, the worst that was known.
HEALTH_TRAIL_SQL = """
with
    snapshots as (
        select
            timestamp_micros(div(unix_micros(snapshot_at), @bucket_us) * @bucket_us) as bucket_at,
            status,
            health_pct,
            is_simulated
        from risk.margin_health_history
        where account_id = @account_id and snapshot_at >= @since
    )

select
    bucket_at,
    min(if(status = 'unpriced', null, health_pct)) as lowest_health_pct,
    count(*) as snapshots,
    countif(status = 'unpriced') as unpriced_snapshots,
    countif(status = 'no_debt') as no_debt_snapshots,
    coalesce(logical_or(is_simulated), false) as is_simulated
from snapshots
group by bucket_at
order by bucket_at
"""

SETTLEMENTS_SQL = """
with
    first_deliveries as (
        select
            event_id,
            asset,
            side,
            kind,
            signed_quantity,
            chain,
            tx_hash,
            occurred_at,
            ingested_at,
            is_late
        from staging.stg_settlements__events
        where account_id = @account_id and ingested_at >= @since
        qualify row_number() over (partition by event_id order by ingested_at, message_id) = 1
    )

select
    event_id,
    asset,
    side,
    kind,
    signed_quantity,
    chain,
    tx_hash,
    occurred_at,
    ingested_at,
    is_late,
    count(*) over () as matching
from first_deliveries
order by occurred_at desc, event_id
limit @max_rows
offset @skipped_rows
"""

DELIVERIES_SQL = """
select
    event_id as margin_event_id,
    channel,
    state,
    count(*) as notifications,
    max(seconds_to_accept) as seconds_to_accept
from risk.notification_deliveries
where kind = 'margin' and event_id in unnest(@margin_event_ids)
group by event_id, channel, state
order by event_id, channel, state
"""

OWN_THRESHOLDS_SQL = """
select
    margin_call_pct,
    liquidation_pct,
    early_warning_pct,
    recovery_margin_pct,
    set_at,
    set_by,
    reason
from staging.stg_margin__account_thresholds
where account_id = @account_id
"""

BOOK_PAGE_SQL = """
select *
from risk.margin_health
where account_id > @after_account_id
order by account_id
limit @max_rows
"""


def health_trail(reader: Reader, account_id: str, since: datetime, bucket: timedelta) -> list[HealthBucket]:
    """Health of one account since a time (UTC) by spans of time, oldest first, without empty ones."""
    parameters = {"account_id": account_id, "since": since, "bucket_us": bucket // timedelta(microseconds=1)}
    return read_rows(reader, HealthBucket, HEALTH_TRAIL_SQL, parameters)


def settlements(
    reader: Reader, account_id: str, since: datetime, max_rows: int = 25, skipped_rows: int = 0
) -> list[Settlement]:
    """A page of the account's settled events that arrived since a time (UTC), the last settled first."""
    parameters = {"account_id": account_id, "since": since, "max_rows": max_rows, "skipped_rows": skipped_rows}
    return read_rows(reader, Settlement, SETTLEMENTS_SQL, parameters)


def channel_deliveries(reader: Reader, margin_event_ids: Sequence[str]) -> list[ChannelDelivery]:
    """How the notifications of margin events stand, by channel and state; empty for no events."""
    if not margin_event_ids:
        return []
    return read_rows(reader, ChannelDelivery, DELIVERIES_SQL, {"margin_event_ids": list(margin_event_ids)})


def own_thresholds(reader: Reader, account_id: str) -> OwnThresholds | None:
    """The thresholds that the account has instead of the default ones; None where nobody set any."""
    return next(iter(read_rows(reader, OwnThresholds, OWN_THRESHOLDS_SQL, {"account_id": account_id})), None)


def book_pages(reader: Reader, page_rows: int = BOOK_PAGE_ROWS) -> Iterator[list[MarginHealth]]:
    """The whole book by account, `page_rows` accounts at a time, each page of one moment (`measured_at`)."""
    after = ""
    while True:
        page = read_rows(reader, MarginHealth, BOOK_PAGE_SQL, {"after_account_id": after, "max_rows": page_rows})
        if page:
            yield page
        if len(page) < page_rows:
            return
        after = page[-1].account_id
