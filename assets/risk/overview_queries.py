"""Typed reads behind the overview: the price of each asset with its sources, and what changed lately."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from assets.risk.queries import Exposure, LiquidationPrice, MarginHealth, Reader, liquidation_prices, read_rows

# The oracle's inputs of a price stand in the message that brought it.
SOURCES_WITHIN = timedelta(hours=1)
MAX_CHANGES = 500


@dataclass(frozen=True)
class AssetPrice:
    """The price that valuation uses for an asset: `price_status` is ok, degraded, stale or missing.

    `price_usd` is the last known one (USD), `confidence_usd` the half width of its interval; `sources` are the names of
    the sources that it rests on, empty where the message is older than `SOURCES_WITHIN`.
    """

    asset: str
    price_usd: Decimal | None
    confidence_usd: Decimal | None
    observed_at: datetime | None
    published_at: datetime
    price_status: str
    degraded_reason: str | None
    price_age_seconds: int | None
    price_max_age_seconds: int
    is_simulated: bool
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class PricePoint:
    """The last price (USD) of an asset in a minute."""

    asset: str
    price_usd: Decimal
    published_at: datetime


@dataclass(frozen=True)
class StatusChange:
    """A transition of an account's margin state; `previous_severity` is None where it opened its episode."""

    account_id: str
    severity: str
    previous_severity: str | None
    detected_at: datetime
    is_simulated: bool


@dataclass(frozen=True)
class Flow:
    """Settlements of one kind: how many, of how many accounts, and their value at the last prices.

    `value_usd` is None where any of them has no price.
    """

    kind: str
    events: int
    accounts: int
    value_usd: Decimal | None
    is_simulated: bool


MARGIN_HEALTHS_SQL = """
select *
from risk.margin_health
where account_id in unnest(@account_ids)
"""

EXPOSURES_OF_ACCOUNTS_SQL = """
select *
from risk.account_exposures
where account_id in unnest(@account_ids) and quantity != 0
order by account_id, side desc, exposure_usd desc, asset
"""

ASSET_PRICES_SQL = """
with
    prices as (select * from intermediate.int_market__latest_prices),

    messages as (
        select price_id, sources
        from raw.market_prices
        where ingested_at >= @since
        qualify row_number() over (partition by price_id order by ingested_at, message_id) = 1
    )

select
    prices.asset,
    prices.price_usd,
    prices.confidence_usd,
    prices.observed_at,
    prices.published_at,
    prices.price_status,
    prices.degraded_reason,
    prices.price_age_seconds,
    prices.price_max_age_seconds,
    prices.is_simulated,
    messages.sources
from prices
left join messages on prices.price_id = messages.price_id
order by prices.asset
"""

PRICE_POINTS_SQL = """
select asset, price_usd, published_at
from raw.market_prices
where ingested_at >= @since and published_at >= @since and price_usd is not null
qualify
    row_number() over (
        partition by asset, timestamp_trunc(published_at, minute)
        order by published_at desc, observed_at desc, price_id
    ) = 1
order by asset, published_at
"""

STATUS_CHANGES_SQL = """
select account_id, severity, previous_severity, detected_at, is_simulated
from risk.margin_events
where detected_at >= @since
order by detected_at desc, transition_number desc
limit @max_rows
"""

# An event counts by when it settled; it cannot have arrived before.
FLOWS_SQL = """
with
    events as (
        select event_id, account_id, asset, kind, quantity
        from raw.settlement_events
        where ingested_at >= @since and occurred_at >= @since
        qualify row_number() over (partition by event_id order by ingested_at, message_id) = 1
    ),

    prices as (select asset, price_usd, is_simulated from intermediate.int_market__latest_prices)

select
    events.kind,
    count(*) as events,
    count(distinct events.account_id) as accounts,
    if(
        countif(prices.price_usd is null) > 0,
        null,
        sum(cast(events.quantity * prices.price_usd as bignumeric))
    ) as value_usd,
    coalesce(logical_or(prices.is_simulated), false) as is_simulated
from events
left join prices on events.asset = prices.asset
group by kind
order by kind
"""


def margin_healths(reader: Reader, account_ids: Sequence[str]) -> Mapping[str, MarginHealth]:
    """Health of several accounts now, by account; those without a position are left out."""
    rows = read_rows(reader, MarginHealth, MARGIN_HEALTHS_SQL, {"account_ids": list(account_ids)})
    return {row.account_id: row for row in rows}


def exposures_of(reader: Reader, account_ids: Sequence[str]) -> Mapping[str, list[Exposure]]:
    """Positions of several accounts, by account, each as `queries.account_exposures` gives them."""
    rows = read_rows(reader, Exposure, EXPOSURES_OF_ACCOUNTS_SQL, {"account_ids": list(account_ids)})
    found: dict[str, list[Exposure]] = {account_id: [] for account_id in account_ids}
    for row in rows:
        found[row.account_id].append(row)
    return found


def triggers_of(reader: Reader, account_ids: Sequence[str]) -> Mapping[str, list[LiquidationPrice]]:
    """Trigger prices of several accounts, by account, each as `queries.liquidation_prices` gives them."""
    found: dict[str, list[LiquidationPrice]] = {account_id: [] for account_id in account_ids}
    for row in liquidation_prices(reader, account_ids):
        found[row.account_id].append(row)
    return found


def asset_prices(reader: Reader, now: datetime) -> list[AssetPrice]:
    """The price of each asset now, as valuation sees it, by asset."""
    rows = reader.query(ASSET_PRICES_SQL, {"since": now - SOURCES_WITHIN})
    return [AssetPrice(**{**row, "sources": _names(row["sources"])}) for row in rows]


def price_points(reader: Reader, since: datetime) -> list[PricePoint]:
    """The last price of each asset and minute since a time (UTC), oldest first."""
    return read_rows(reader, PricePoint, PRICE_POINTS_SQL, {"since": since})


def status_changes(reader: Reader, since: datetime) -> list[StatusChange]:
    """Transitions since a time (UTC), newest first, at most `MAX_CHANGES`."""
    return read_rows(reader, StatusChange, STATUS_CHANGES_SQL, {"since": since, "max_rows": MAX_CHANGES})


def flows(reader: Reader, since: datetime) -> list[Flow]:
    """What settled since a time (UTC), by kind."""
    return read_rows(reader, Flow, FLOWS_SQL, {"since": since})


def _names(sources: str | None) -> tuple[str, ...]:
    """Names of the sources in a price's message, sorted."""
    found = json.loads(sources) if sources else []
    return tuple(sorted({str(source["name"]) for source in found}))
