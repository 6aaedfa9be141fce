"""Typed reads of the risk marts, for the app, the API and the margin sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar, get_type_hints

from assets.risk.engine.methods import STANDARD_WINDOW


class Reader(Protocol):
    """What runs a query; `infra.runtime.bigquery.Warehouse` is the real one."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of `sql` as dicts, with named parameters."""
        ...


@dataclass(frozen=True)
class MarginHealth:
    """One account of `risk.margin_health`; USD amounts, percentages in percent, times UTC.

    `health_pct` is None without debt, and where an asset never had a price. With status `unpriced` the figures rest
    on the last prices, the oldest of which is `oldest_price_age_seconds` old, or miss
    events; `unpriced_reason` says which.
    """

    account_id: str
    status: str
    health_pct: Decimal | None
    collateral_usd: Decimal
    borrow_usd: Decimal
    margin_call_threshold_pct: Decimal
    liquidation_threshold_pct: Decimal
    recovery_margin_pct: Decimal
    unpriced_assets: str | None
    has_borrow: bool
    has_degraded_price: bool
    has_negative_position: bool
    price_ids: str | None
    oldest_price_at: datetime | None
    oldest_price_age_seconds: int | None
    late_events_pending: int
    last_event_at: datetime | None
    is_simulated: bool
    measured_at: datetime
    early_warning_threshold_pct: Decimal | None = None
    unpriced_reason: str | None = None
    is_confidence_unknown: bool = False


@dataclass(frozen=True)
class Exposure:
    """One position of `risk.account_exposures`; `exposure_usd` is None without a price.

    It is valued at `valuation_price_usd`, which differs from `price_usd` where valuation takes the confidence off.
    """

    account_id: str
    asset: str
    side: str
    quantity: Decimal
    price_usd: Decimal | None
    exposure_usd: Decimal | None
    price_id: str | None
    price_status: str
    price_observed_at: datetime | None
    price_age_seconds: int | None
    is_simulated: bool
    valuation_price_usd: Decimal | None = None
    positions_are_complete: bool = True


@dataclass(frozen=True)
class AssetExposure:
    """The book's exposure to one asset on one side; `exposure_usd` is None if any of it cannot be valued."""

    asset: str
    side: str
    quantity: Decimal
    exposure_usd: Decimal | None
    accounts: int
    price_usd: Decimal | None
    price_status: str
    price_age_seconds: int | None
    is_simulated: bool


@dataclass(frozen=True)
class LiquidationPrice:
    """One row of `risk.liquidation_prices`: USD at which `threshold` is reached, or None and a reason."""

    account_id: str
    asset: str
    threshold: str
    threshold_pct: Decimal
    trigger_price_usd: Decimal | None
    reason: str | None
    price_usd: Decimal | None
    has_unpriced_other: bool
    is_simulated: bool


@dataclass(frozen=True)
class ValueAtRisk:
    """One estimate for an account, or for the book (`account_id` None); losses positive, in USD.

    `reason` says why there is no figure, or, with `is_fallback`, why this method stands in for historical simulation.
    The bounds are those of an interval of `interval_confidence`; None where the sample cannot bound the figure.
    """

    account_id: str | None
    as_of_date: date
    method: str
    estimator: str
    confidence: Decimal
    horizon_days: int
    horizon_rule: str
    window_observations: int
    observations: int
    tail_observations: int
    var_usd: Decimal | None
    es_usd: Decimal | None
    var_lower_usd: Decimal | None
    var_upper_usd: Decimal | None
    es_lower_usd: Decimal | None
    es_upper_usd: Decimal | None
    interval_method: str
    interval_confidence: Decimal
    is_fallback: bool
    reason: str | None
    price_set_id: str
    is_simulated: bool
    seed: int | None
    code_version: str
    computed_at: datetime


@dataclass(frozen=True)
class BookSummary:
    """The book now: totals in USD, accounts by status, health of the whole in percent (None without debt).

    `is_complete` is False while any account with debt is unpriced: the totals then rest on old prices or miss some.
    """

    accounts: int
    collateral_usd: Decimal
    borrow_usd: Decimal
    health_pct: Decimal | None
    healthy: int
    margin_call: int
    liquidation: int
    unpriced: int
    no_debt: int
    late_events_pending: int
    oldest_price_age_seconds: int | None
    is_complete: bool
    is_simulated: bool
    measured_at: datetime | None


@dataclass(frozen=True)
class HealthPoint:
    """Health of an account, or of the book, at one intraday build."""

    snapshot_at: datetime
    health_pct: Decimal | None
    collateral_usd: Decimal
    borrow_usd: Decimal


@dataclass(frozen=True)
class MarginEventRow:
    """One transition of `risk.margin_events`."""

    margin_event_id: str
    account_id: str
    severity: str
    episode_id: str
    transition_number: int
    health_pct: Decimal | None
    collateral_usd: Decimal
    borrow_usd: Decimal
    threshold_pct: Decimal | None
    price_ids: str | None
    detected_at: datetime
    is_simulated: bool


Row = TypeVar("Row")


def read_rows(reader: Reader, row: type[Row], sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
    """Rows of `sql` as dataclasses; a column that the statement does not give is None."""
    names = get_type_hints(row)
    return [row(**{name: found.get(name) for name in names}) for found in reader.query(sql, parameters)]


MARGIN_HEALTH_SQL = """
select *
from risk.margin_health
where account_id = @account_id
"""

# Accounts that owe come first, nearest to (or furthest below) their threshold on top; unknown ones above all.
NEAREST_TO_CALL_SQL = """
select *
from risk.margin_health
order by
    case status when 'unpriced' then 0 when 'no_debt' then 2 else 1 end,
    health_pct,
    account_id
limit @max_rows
"""

ACCOUNT_IDS_SQL = """
select account_id
from risk.margin_health
order by account_id
limit @max_rows
"""

ACCOUNT_EXPOSURES_SQL = """
select *
from risk.account_exposures
where account_id = @account_id and quantity != 0
order by side desc, exposure_usd desc, asset
"""

ASSET_EXPOSURES_SQL = """
select
    asset,
    side,
    sum(quantity) as quantity,
    if(countif(exposure_usd is null) > 0, null, sum(exposure_usd)) as exposure_usd,
    count(distinct account_id) as accounts,
    max(price_usd) as price_usd,
    max(price_status) as price_status,
    max(price_age_seconds) as price_age_seconds,
    logical_or(is_simulated) as is_simulated
from risk.account_exposures
where quantity != 0
group by asset, side
order by side desc, exposure_usd desc, asset
"""

LIQUIDATION_PRICES_SQL = """
select *
from risk.liquidation_prices
where account_id in unnest(@account_ids)
order by account_id, asset, threshold_pct desc
"""

# One estimate a confidence: historical simulation, or what stands in where it has no figure.
ACCOUNT_VAR_SQL = """
select *
from risk.portfolio_var
where
    account_id in unnest(@account_ids)
    and horizon_days = @horizon_days
    and window_observations = @window_observations
    and as_of_date = (select max(as_of_date) from risk.portfolio_var)
qualify
    row_number() over (
        partition by account_id, confidence
        order by
            case
                when method = 'historical_simulation' and var_usd is not null then 0
                when is_fallback and method = 'ewma_delta_normal' and var_usd is not null then 1
                when method = 'historical_simulation' then 2
                else 3
            end,
            computed_at desc
    ) = 1
order by account_id, confidence
"""

BOOK_VAR_SQL = """
select *
from risk.book_var
where
    horizon_days = @horizon_days
    and window_observations = @window_observations
    and as_of_date = (select max(as_of_date) from risk.book_var)
qualify
    row_number() over (
        partition by confidence
        order by
            case
                when method = 'historical_simulation' and var_usd is not null then 0
                when is_fallback and method = 'ewma_delta_normal' and var_usd is not null then 1
                when method = 'historical_simulation' then 2
                else 3
            end,
            computed_at desc
    ) = 1
order by confidence
"""

# A price set may be replaced within a day: the figures of the one that was computed last count.
ACCOUNT_VAR_ESTIMATES_SQL = """
select *
from risk.portfolio_var
where account_id = @account_id and as_of_date = (select max(as_of_date) from risk.portfolio_var)
qualify
    row_number() over (
        partition by method, horizon_days, window_observations, confidence order by computed_at desc
    ) = 1
order by method, horizon_days, window_observations, confidence
"""

BOOK_VAR_ESTIMATES_SQL = """
select *
from risk.book_var
where as_of_date = (select max(as_of_date) from risk.book_var)
qualify
    row_number() over (
        partition by method, horizon_days, window_observations, confidence order by computed_at desc
    ) = 1
order by method, horizon_days, window_observations, confidence
"""

BOOK_SUMMARY_SQL = """
with
    totals as (
        select
            count(*) as accounts,
            coalesce(sum(collateral_usd), numeric '0') as collateral_usd,
            coalesce(sum(borrow_usd), numeric '0') as borrow_usd,
            countif(status = 'healthy') as healthy,
            countif(status = 'margin_call') as margin_call,
            countif(status = 'liquidation') as liquidation,
            countif(status = 'unpriced') as unpriced,
            countif(status = 'no_debt') as no_debt,
            coalesce(sum(late_events_pending), 0) as late_events_pending,
            max(oldest_price_age_seconds) as oldest_price_age_seconds,
            coalesce(logical_or(is_simulated), false) as is_simulated,
            max(measured_at) as measured_at
        from risk.margin_health
    )

select
    *,
    unpriced = 0 as is_complete,
    if(
        borrow_usd > 0,
        cast(cast((collateral_usd - borrow_usd) * numeric '100' as numeric) / borrow_usd as numeric),
        null
    ) as health_pct
from totals
"""

HEALTH_HISTORY_SQL = """
select
    snapshot_at,
    health_pct,
    collateral_usd,
    borrow_usd
from risk.margin_health_history
where account_id = @account_id and snapshot_at >= @since
order by snapshot_at
"""

MARGIN_EVENTS_SQL = """
select *
from risk.margin_events
where (@account_id = '' or account_id = @account_id) and detected_at >= @since
order by detected_at desc, transition_number desc
limit @max_rows
"""


def margin_health(reader: Reader, account_id: str) -> MarginHealth | None:
    """Health of one account now; None if it has no position."""
    return next(iter(read_rows(reader, MarginHealth, MARGIN_HEALTH_SQL, {"account_id": account_id})), None)


def nearest_to_call(reader: Reader, max_rows: int = 20) -> list[MarginHealth]:
    """Accounts that need eyes first: unpriced ones, then the lowest health."""
    return read_rows(reader, MarginHealth, NEAREST_TO_CALL_SQL, {"max_rows": max_rows})


def account_ids(reader: Reader, max_rows: int = 10_000) -> list[str]:
    """Ids of accounts with a position, sorted."""
    return [str(row["account_id"]) for row in reader.query(ACCOUNT_IDS_SQL, {"max_rows": max_rows})]


def account_exposures(reader: Reader, account_id: str) -> list[Exposure]:
    """Positions of one account, collateral first, largest first."""
    return read_rows(reader, Exposure, ACCOUNT_EXPOSURES_SQL, {"account_id": account_id})


def asset_exposures(reader: Reader) -> list[AssetExposure]:
    """The book by asset and side, collateral first, largest first."""
    return read_rows(reader, AssetExposure, ASSET_EXPOSURES_SQL)


def liquidation_prices(reader: Reader, account_ids: Sequence[str]) -> list[LiquidationPrice]:
    """Trigger prices of the accounts for each asset and threshold; empty for no accounts."""
    if not account_ids:
        return []
    return read_rows(reader, LiquidationPrice, LIQUIDATION_PRICES_SQL, {"account_ids": list(account_ids)})


def account_var(
    reader: Reader,
    account_ids: Sequence[str],
    horizon_days: int = 1,
    window_observations: int = STANDARD_WINDOW,
) -> list[ValueAtRisk]:
    """The latest estimates of the accounts, one a confidence; empty for no accounts."""
    if not account_ids:
        return []
    parameters = {
        "account_ids": list(account_ids),
        "horizon_days": horizon_days,
        "window_observations": window_observations,
    }
    return read_rows(reader, ValueAtRisk, ACCOUNT_VAR_SQL, parameters)


def book_var(reader: Reader, horizon_days: int = 1, window_observations: int = STANDARD_WINDOW) -> list[ValueAtRisk]:
    """The latest estimates of the book, one a confidence."""
    parameters = {"horizon_days": horizon_days, "window_observations": window_observations}
    return read_rows(reader, ValueAtRisk, BOOK_VAR_SQL, parameters)


def account_var_estimates(reader: Reader, account_id: str) -> list[ValueAtRisk]:
    """The latest estimates of the account by every method, horizon, window and confidence."""
    return read_rows(reader, ValueAtRisk, ACCOUNT_VAR_ESTIMATES_SQL, {"account_id": account_id})


def book_var_estimates(reader: Reader) -> list[ValueAtRisk]:
    """The latest estimates of the book by every method, horizon, window and confidence."""
    return read_rows(reader, ValueAtRisk, BOOK_VAR_ESTIMATES_SQL)


def book_summary(reader: Reader) -> BookSummary:
    """Totals of the book now."""
    return read_rows(reader, BookSummary, BOOK_SUMMARY_SQL)[0]


def health_history(reader: Reader, account_id: str, since: datetime) -> list[HealthPoint]:
    """Health of one account at each intraday build since a time (UTC), oldest first."""
    return read_rows(reader, HealthPoint, HEALTH_HISTORY_SQL, {"account_id": account_id, "since": since})


def margin_events(
    reader: Reader, since: datetime, account_id: str | None = None, max_rows: int = 100
) -> list[MarginEventRow]:
    """Transitions since a time (UTC), of one account or of all, newest first."""
    parameters = {"account_id": account_id or "", "since": since, "max_rows": max_rows}
    return read_rows(reader, MarginEventRow, MARGIN_EVENTS_SQL, parameters)
