"""Typed reads of prices, their trace and the states of sources in `raw`; times are given by the caller, UTC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeVar, get_type_hints

from ingest.prices.selection import GoodPrice
from ingest.prices.ticks import CHAINLINK, PYTH

LATEST_WITHIN = timedelta(days=2)
"""An asset without a price for longer counts as one that never had one."""
STATES_WITHIN = timedelta(days=1)
# Pub/Sub keeps what a consumer did not take for seven days.
LONGEST_DELAY = timedelta(days=7)
ALLOWED_SKEW = timedelta(minutes=5)


class Reader(Protocol):
    """What runs a query; `infra.runtime.bigquery.Warehouse` is the real one."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of `sql` as dicts, with named parameters."""
        ...


@dataclass(frozen=True)
class PriceRow:
    """One price of `raw.market_prices`; `sources` is JSON text."""

    price_id: str
    asset: str
    price_usd: Decimal | None
    confidence_usd: Decimal | None
    sources: str
    observed_at: datetime
    published_at: datetime
    quality: str
    degraded_reason: str | None
    is_simulated: bool


@dataclass(frozen=True)
class InputRow:
    """One reading of `raw.price_ticks`; one that was rejected has no `tick_id` and no price."""

    source: str
    tick_id: str | None
    price_usd: Decimal | None
    confidence_usd: Decimal | None
    observed_at: datetime | None
    received_at: datetime
    reference: str
    used: bool
    exclusion_code: str | None
    exclusion_reason: str | None


@dataclass(frozen=True)
class SourceRow:
    """The last statement about one source in `raw.oracle_sources`."""

    source: str
    state: str
    since: datetime
    failures: int
    last_error_code: str | None
    last_error_reason: str | None
    last_error_at: datetime | None
    last_answered_at: datetime | None
    last_tick_at: datetime | None
    stated_at: datetime


Row = TypeVar("Row")

_PRICE_COLUMNS = """price_id, asset, price_usd, confidence_usd, sources, observed_at, published_at, quality,
    degraded_reason, is_simulated"""

# The last word is the one published last: a price may rest on an older reading than the one before it.
LATEST_PRICES_SQL = f"""
select {_PRICE_COLUMNS}
from raw.market_prices
where ingested_at >= @since
qualify row_number() over (partition by asset order by published_at desc, observed_at desc, price_id) = 1
order by asset
"""  # noqa: S608 -- the columns are a constant

LATEST_PRICE_SQL = f"""
select {_PRICE_COLUMNS}
from raw.market_prices
where ingested_at >= @since and asset = @asset
order by published_at desc, observed_at desc, price_id
limit 1
"""  # noqa: S608 -- the columns are a constant

PRICE_HISTORY_SQL = f"""
select {_PRICE_COLUMNS}
from raw.market_prices
where
    ingested_at >= @arrived_from
    and ingested_at < @arrived_to
    and asset = @asset
    and published_at >= @published_from
    and (published_at < @published_to or (published_at = @published_to and price_id > @price_id))
qualify row_number() over (partition by price_id order by ingested_at, message_id) = 1
order by published_at desc, price_id
limit @max_rows
"""  # noqa: S608 -- the columns are a constant

PRICE_INPUTS_SQL = """
select
    source,
    tick_id,
    price_usd,
    confidence_usd,
    observed_at,
    received_at,
    reference,
    used,
    exclusion_code,
    exclusion_reason
from raw.price_ticks
where ingested_at >= @since and asset = @asset and price_id = @price_id
qualify row_number() over (partition by input_id order by ingested_at, message_id) = 1
order by used desc, source, received_at
"""

SOURCE_STATES_SQL = """
select
    source,
    state,
    since,
    failures,
    last_error_code,
    last_error_reason,
    last_error_at,
    last_answered_at,
    last_tick_at,
    stated_at
from raw.oracle_sources
where ingested_at >= @since
qualify row_number() over (partition by source order by stated_at desc, state_id) = 1
order by source
"""

LAST_GOOD_PRICES_SQL = """
select asset, price_usd, published_at, sources
from raw.market_prices
where ingested_at >= @since and quality = 'ok' and price_usd is not null
qualify row_number() over (partition by asset order by published_at desc, observed_at desc, price_id) = 1
"""


def latest_prices(reader: Reader, since: datetime) -> list[PriceRow]:
    """The last price of each asset among those that arrived since then."""
    return _read(reader, PriceRow, LATEST_PRICES_SQL, {"since": since})


def latest_price(reader: Reader, asset: str, now: datetime) -> PriceRow | None:
    """The last price of one asset; None without one within `LATEST_WITHIN`."""
    parameters = {"since": now - LATEST_WITHIN, "asset": asset}
    return next(iter(_read(reader, PriceRow, LATEST_PRICE_SQL, parameters)), None)


def price_history(
    reader: Reader, asset: str, published_from: datetime, published_to: datetime, price_id: str, max_rows: int
) -> list[PriceRow]:
    """Prices published from `published_from` up to the place of (`published_to`, `price_id`), newest first.

    With an empty id that is everything up to and with `published_to`.
    """
    parameters = {
        "asset": asset,
        "published_from": published_from,
        "published_to": published_to,
        "price_id": price_id,
        "arrived_from": published_from - ALLOWED_SKEW,
        "arrived_to": published_to + LONGEST_DELAY,
        "max_rows": max_rows,
    }
    return _read(reader, PriceRow, PRICE_HISTORY_SQL, parameters)


def price_inputs(reader: Reader, price: PriceRow) -> list[InputRow]:
    """The readings that were looked at for a price, used ones first; empty where the oracle left no trace."""
    parameters = {"since": price.published_at - ALLOWED_SKEW, "asset": price.asset, "price_id": price.price_id}
    return _read(reader, InputRow, PRICE_INPUTS_SQL, parameters)


def source_states(reader: Reader, now: datetime) -> list[SourceRow]:
    """What the oracle last said about each source."""
    return _read(reader, SourceRow, SOURCE_STATES_SQL, {"since": now - STATES_WITHIN})


def last_good_prices(reader: Reader, since: datetime) -> dict[str, GoodPrice]:
    """The last price of quality ok of each asset since then, if it rests on the oracle's sources only."""
    rows = reader.query(LAST_GOOD_PRICES_SQL, {"since": since})
    return {
        str(row["asset"]): GoodPrice(row["price_usd"], row["published_at"])
        for row in rows
        if {source["name"] for source in json.loads(row["sources"])} <= {CHAINLINK, PYTH}
    }


def _read(reader: Reader, row: type[Row], sql: str, parameters: Mapping[str, Any]) -> list[Row]:
    names = get_type_hints(row)
    return [row(**{name: found[name] for name in names}) for found in reader.query(sql, parameters)]
