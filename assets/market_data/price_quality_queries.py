"""Typed reads of how prices went over days and when they could not be relied upon, behind the oracle's page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from assets.risk.queries import Reader, read_rows

MAX_PERIODS = 4_000
"""More periods than this within a week are more than a timeline can show; the newest count."""


@dataclass(frozen=True)
class Period:
    """A stretch in which an asset's prices had one quality: `ok`, `degraded`, or `missing` where there was no price.

    It ends with its last price: what follows is another period, or silence.
    """

    asset: str
    quality: str
    began_at: datetime
    last_at: datetime
    prices: int
    reason: str | None


@dataclass(frozen=True)
class PricePath:
    """Prices of one asset within a span of time (USD): last, lowest, highest, and how many of them were not ok.

    The prices are None where none of the span had one.
    """

    bucket_at: datetime
    last_usd: Decimal | None
    low_usd: Decimal | None
    high_usd: Decimal | None
    prices: int
    degraded: int
    missing: int
    reason: str | None
    is_simulated: bool


# A new period begins where the quality changes, and after a silence in which nobody said anything.
PERIODS_SQL = """
with
    prices as (
        select
            asset,
            price_id,
            published_at,
            if(price_usd is null, 'missing', quality) as quality,
            degraded_reason
        from raw.market_prices
        where ingested_at >= @since and published_at >= @since
        qualify row_number() over (partition by price_id order by ingested_at, message_id) = 1
    ),

    compared as (
        select
            *,
            lag(quality) over (partition by asset order by published_at, price_id) as quality_before,
            lag(published_at) over (partition by asset order by published_at, price_id) as published_before
        from prices
    ),

    marked as (
        select
            *,
            if(
                quality_before is null
                or quality != quality_before
                or timestamp_diff(published_at, published_before, microsecond) > @max_silence_us,
                1,
                0
            ) as is_start
        from compared
    ),

    numbered as (
        select
            *,
            sum(is_start) over (
                partition by asset
                order by published_at, price_id
                rows between unbounded preceding and current row
            ) as period_number
        from marked
    )

select
    asset,
    quality,
    min(published_at) as began_at,
    max(published_at) as last_at,
    count(*) as prices,
    max(if(is_start = 1, degraded_reason, null)) as reason
from numbered
group by asset, quality, period_number
order by began_at desc, asset
limit @max_rows
"""

PRICE_PATH_SQL = """
with
    prices as (
        select
            price_id,
            published_at,
            price_usd,
            quality,
            degraded_reason,
            is_simulated,
            timestamp_micros(div(unix_micros(published_at), @bucket_us) * @bucket_us) as bucket_at
        from raw.market_prices
        where ingested_at >= @since and published_at >= @since and asset = @asset
        qualify row_number() over (partition by price_id order by ingested_at, message_id) = 1
    ),

    placed as (
        select
            *,
            row_number() over (
                partition by bucket_at order by price_usd is null, published_at desc, price_id
            ) as price_place,
            row_number() over (
                partition by bucket_at order by degraded_reason is null, published_at desc, price_id
            ) as reason_place
        from prices
    )

select
    bucket_at,
    max(if(price_place = 1, price_usd, null)) as last_usd,
    min(price_usd) as low_usd,
    max(price_usd) as high_usd,
    count(*) as prices,
    countif(quality != 'ok') as degraded,
    countif(price_usd is null) as missing,
    max(if(reason_place = 1, degraded_reason, null)) as reason,
    logical_or(is_simulated) as is_simulated
from placed
group by bucket_at
order by bucket_at
"""


def periods(reader: Reader, since: datetime, max_silence: timedelta) -> list[Period]:
    """Stretches of one quality of each asset since then, newest first, at most `MAX_PERIODS`."""
    parameters = {"since": since, "max_silence_us": max_silence // timedelta(microseconds=1), "max_rows": MAX_PERIODS}
    return read_rows(reader, Period, PERIODS_SQL, parameters)


def price_path(reader: Reader, asset: str, since: datetime, bucket: timedelta) -> list[PricePath]:
    """The prices of an asset since then by spans of `bucket`, oldest first."""
    return read_rows(
        reader,
        PricePath,
        PRICE_PATH_SQL,
        {"asset": asset, "since": since, "bucket_us": bucket // timedelta(microseconds=1)},
    )
