"""Typed reads behind the oracle's page: last readings, refused readings, spread between sources, daily closes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from assets.risk.queries import Reader, read_rows


@dataclass(frozen=True)
class LastReading:
    """The last reading of a source for an asset that the oracle looked at; USD, times UTC.

    One that was rejected has no price. `tick_price_usd` and `tick_observed_at` are those of the last real reading.
    """

    asset: str
    source: str
    price_usd: Decimal | None
    confidence_usd: Decimal | None
    observed_at: datetime | None
    received_at: datetime
    published_at: datetime
    reference: str
    used: bool
    exclusion_code: str | None
    exclusion_reason: str | None
    is_simulated: bool | None
    tick_price_usd: Decimal | None
    tick_observed_at: datetime | None


@dataclass(frozen=True)
class Rejected:
    """A reading that no price rests on, for the reason given; the price it was looked at for is `price_id`."""

    asset: str
    source: str
    price_id: str
    price_usd: Decimal | None
    observed_at: datetime | None
    received_at: datetime
    published_at: datetime
    reference: str
    exclusion_code: str | None
    exclusion_reason: str | None
    times: int


@dataclass(frozen=True)
class Spread:
    """How far the sources lay apart within a span of time, in basis points of the lower price: the most, and the last.

    `sources` is how many had a price; with one there is nothing to compare and the spread is None.
    """

    bucket_at: datetime
    sources: int
    most_bp: Decimal | None
    last_bp: Decimal | None


@dataclass(frozen=True)
class ClosesLoaded:
    """The set of daily closes that risk uses; `simulated_assets` are those whose closes are made up."""

    price_set_id: str
    activated_at: datetime
    closes: int
    first_date: date
    last_date: date
    simulated_assets: tuple[str, ...]


# A rejection counts where the source had no reading at all for the last price: one that discredits a reading marks it.
LAST_READINGS_SQL = """
with
    readings as (
        select *
        from raw.price_ticks
        where ingested_at >= @since
        qualify row_number() over (partition by input_id order by ingested_at, message_id) = 1
    ),

    last_ticks as (
        select asset, source, price_usd, observed_at
        from readings
        where price_usd is not null
        qualify
            row_number() over (
                partition by asset, source order by received_at desc, published_at desc, input_id
            ) = 1
    ),

    last_readings as (
        select *
        from readings
        qualify
            row_number() over (
                partition by asset, source order by published_at desc, price_usd is null, received_at desc, input_id
            ) = 1
    )

select
    last_readings.asset,
    last_readings.source,
    last_readings.price_usd,
    last_readings.confidence_usd,
    last_readings.observed_at,
    last_readings.received_at,
    last_readings.published_at,
    last_readings.reference,
    last_readings.used,
    last_readings.exclusion_code,
    last_readings.exclusion_reason,
    last_readings.is_simulated,
    last_ticks.price_usd as tick_price_usd,
    last_ticks.observed_at as tick_observed_at
from last_readings
left join
    last_ticks on last_readings.asset = last_ticks.asset and last_readings.source = last_ticks.source
order by last_readings.asset, last_readings.source
"""

# The same reading is looked at again for each price: it counts once, with the last price that it was refused for.
REJECTED_SQL = """
with
    refused as (
        select *, coalesce(tick_id, input_id) as reading_id
        from raw.price_ticks
        where ingested_at >= @since and not used and (@asset = '' or asset = @asset)
        qualify row_number() over (partition by input_id order by ingested_at, message_id) = 1
    ),

    counted as (
        select
            *,
            count(*) over (partition by reading_id, exclusion_code) as times
        from refused
        qualify
            row_number() over (partition by reading_id, exclusion_code order by published_at desc, input_id) = 1
    )

select
    asset,
    source,
    price_id,
    price_usd,
    observed_at,
    received_at,
    published_at,
    reference,
    exclusion_code,
    exclusion_reason,
    times
from counted
order by published_at desc, asset, source, reading_id
limit @max_rows
"""

SPREADS_SQL = """
with
    readings as (
        select price_id, source, price_usd, published_at
        from raw.price_ticks
        where ingested_at >= @since and published_at >= @since and asset = @asset and price_usd is not null
        qualify row_number() over (partition by input_id order by ingested_at, message_id) = 1
    ),

    compared as (
        select
            price_id,
            published_at,
            count(distinct source) as sources,
            min(price_usd) as low_usd,
            max(price_usd) as high_usd
        from readings
        group by price_id, published_at
    ),

    spreads as (
        select
            timestamp_micros(div(unix_micros(published_at), @bucket_us) * @bucket_us) as bucket_at,
            published_at,
            price_id,
            sources,
            if(
                sources > 1,
                cast(round((high_usd - low_usd) / low_usd * bignumeric '10000', 4) as numeric),
                null
            ) as spread_bp
        from compared
    ),

    placed as (
        select
            *,
            row_number() over (
                partition by bucket_at order by spread_bp is null, published_at desc, price_id
            ) as place
        from spreads
    )

select
    bucket_at,
    max(sources) as sources,
    max(spread_bp) as most_bp,
    max(if(place = 1, spread_bp, null)) as last_bp
from placed
group by bucket_at
order by bucket_at
"""

CLOSES_SQL = """
select price_set_id, activated_at, closes, first_date, last_date, simulated_assets
from raw.price_sets
order by activated_at desc, price_set_id
limit 1
"""


def last_readings(reader: Reader, since: datetime) -> list[LastReading]:
    """The last reading of each source for each asset among those that arrived since then, by asset and source."""
    return read_rows(reader, LastReading, LAST_READINGS_SQL, {"since": since})


def rejected(reader: Reader, since: datetime, asset: str = "", max_rows: int = 20) -> list[Rejected]:
    """Readings since then that were not used, newest first, each once a code; of one asset, or of all (empty)."""
    return read_rows(reader, Rejected, REJECTED_SQL, {"since": since, "asset": asset, "max_rows": max_rows})


def spreads(reader: Reader, asset: str, since: datetime, bucket: timedelta) -> list[Spread]:
    """How far the sources of an asset lay apart since then, by spans of `bucket`, oldest first."""
    return read_rows(
        reader, Spread, SPREADS_SQL, {"asset": asset, "since": since, "bucket_us": bucket // timedelta(microseconds=1)}
    )


def closes_loaded(reader: Reader) -> ClosesLoaded | None:
    """The daily closes in use; None before the first load."""
    for row in reader.query(CLOSES_SQL):
        return ClosesLoaded(**{**row, "simulated_assets": tuple(json.loads(row["simulated_assets"] or "[]"))})
    return None
