"""The reads of the oracle's page, through the one cache of the process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from assets.market_data import oracle_queries, price_quality_queries
from assets.risk import overview_queries
from assets.risk.queries import Reader
from ingest.prices import reads as price_reads
from ingest.prices.feeds import FeedTable, load_feeds
from ingest.prices.presentation import MAX_SILENCE
from streamlit_app import data
from streamlit_app.reads import Read, Reading

LIVE = timedelta(seconds=1)
SOON = timedelta(seconds=5)
READINGS_WITHIN = timedelta(hours=1)
REJECTED_WITHIN = timedelta(hours=24)
TIMELINE = timedelta(days=7)
REJECTED_ROWS = 12
HISTORY_ROWS = 15


@dataclass(frozen=True)
class OracleReadings:
    """What the live page rests on, read together."""

    feeds: Reading[FeedTable]
    sources: Reading[list[price_reads.SourceRow]]
    prices: Reading[list[overview_queries.AssetPrice]]
    readings: Reading[list[oracle_queries.LastReading]]
    rejected: Reading[list[oracle_queries.Rejected]]
    periods: Reading[list[price_quality_queries.Period]]
    closes: Reading[oracle_queries.ClosesLoaded | None]
    now: datetime


@dataclass(frozen=True)
class AssetReadings:
    """What the charts of one asset rest on."""

    path: Reading[list[price_quality_queries.PricePath]]
    spreads: Reading[list[oracle_queries.Spread]]


def live() -> OracleReadings:
    """The oracle now."""
    now = data.system_clock().now()
    # Reads are told apart by their keys, so that a time that changes with each look must not be in one.
    minute = now.replace(second=0, microsecond=0)
    hour = minute.replace(minute=0)
    feeds, sources, prices, readings, rejected, periods, closes = data.shared().together(
        _feeds(),
        Read(("source_states",), lambda source: price_reads.source_states(source, now), LIVE),
        Read(("asset_prices",), lambda source: overview_queries.asset_prices(source, minute), data.PRICES_MAX_AGE),
        Read(
            ("last_readings",),
            lambda source: oracle_queries.last_readings(source, minute - READINGS_WITHIN),
            LIVE,
        ),
        Read(
            ("rejected_readings",),
            lambda source: oracle_queries.rejected(source, minute - REJECTED_WITHIN, max_rows=REJECTED_ROWS),
            SOON,
        ),
        Read(
            ("quality_periods",),
            lambda source: price_quality_queries.periods(source, hour - TIMELINE, MAX_SILENCE),
            data.SLOW_MAX_AGE,
        ),
        Read(("closes_loaded",), oracle_queries.closes_loaded, data.SLOW_MAX_AGE),
    )
    return OracleReadings(feeds, sources, prices, readings, rejected, periods, closes, data.system_clock().now())


def timeline_since(now: datetime) -> datetime:
    """Where the timeline begins: the full hour seven days ago."""
    return now.replace(minute=0, second=0, microsecond=0) - TIMELINE


def feed_table() -> Reading[FeedTable]:
    """The feeds and the limits of each asset, as their file is now."""
    return _one(_feeds())


def asset(name: str, span: timedelta, bucket: timedelta) -> AssetReadings:
    """Prices and spreads of one asset over the last `span`, by `bucket`."""
    since = data.system_clock().now().replace(second=0, microsecond=0) - span
    path, spreads = data.shared().together(
        _slow(
            ("price_path", name, span, bucket),
            lambda source: price_quality_queries.price_path(source, name, since, bucket),
        ),
        _slow(
            ("spreads", name, span, bucket),
            lambda source: oracle_queries.spreads(source, name, since, bucket),
        ),
    )
    return AssetReadings(path, spreads)


def history(name: str, since: datetime, until: datetime, price_id: str) -> Reading[list[price_reads.PriceRow]]:
    """Prices of an asset behind a place, newest first; one row more than a page tells that another page follows."""
    return _one(
        _slow(
            ("price_history", name, since, until, price_id),
            lambda source: price_reads.price_history(source, name, since, until, price_id, HISTORY_ROWS + 1),
        )
    )


def _feeds() -> Read:
    # A file, read like the marts so that a fault in it is a problem of this page and no crash.
    return _slow(("price_feeds",), lambda _source: load_feeds(data.settings().price_feeds))


def _slow(key: tuple[Any, ...], run: Callable[[Reader], Any]) -> Read:
    return Read(key, run, data.SLOW_MAX_AGE)


def _one(wanted: Read) -> Reading[Any]:
    return data.shared().together(wanted)[0]
