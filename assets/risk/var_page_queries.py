"""Typed reads behind the page of the risk models: scenario P&L, forecasts against what followed, stressed accounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from assets.risk.engine.methods import STANDARD_WINDOW, Method
from assets.risk.queries import Reader, read_rows
from assets.risk.stress_queries import StressedAccount
from assets.risk.var_queries import VarComponent

BOOK = "book"
ACCOUNT = "account"
ANY_STATUS = ""


@dataclass(frozen=True)
class ScenarioPnl:
    """P&L of a portfolio as it is at `as_of_date` under the returns that ended on `scenario_date`; None if unknown."""

    scenario_date: date
    pnl_usd: Decimal | None
    as_of_date: date
    price_set_id: str
    is_simulated: bool


@dataclass(frozen=True)
class Forecast:
    """What was forecast at the end of a day, and the P&L of the next day on the positions of that day; USD.

    `pnl_usd` is None where it is not known or the day is not over.
    """

    as_of_date: date
    var_usd: Decimal | None
    es_usd: Decimal | None
    pnl_date: date | None
    pnl_usd: Decimal | None
    is_simulated: bool


@dataclass(frozen=True)
class DayPnl:
    """P&L of a past day on the positions of today (USD); None where a return or a value is missing."""

    pnl_date: date
    pnl_usd: Decimal | None


# A return that is missing leaves the scenario unknown; what is worth nothing moves nothing.
SCENARIO_PNL_SQL = """
with
    exposures as (
        select asset, as_of_date, price_set_id, cast(net_exposure_usd as float64) as exposure_usd
        from intermediate.int_risk__portfolio_exposures
        where
            portfolio_kind = @portfolio_kind
            and portfolio_id = @portfolio_id
            and (net_exposure_usd is null or net_exposure_usd != 0)
    ),

    scenarios as (
        select asset, scenario_date, simple_return, is_simulated
        from intermediate.int_risk__scenarios
        where horizon_days = @horizon_days and scenario_age_days < @window_observations
    ),

    days as (select scenario_date from scenarios group by scenario_date),

    moved as (
        select
            days.scenario_date,
            exposures.as_of_date,
            exposures.price_set_id,
            exposures.exposure_usd * scenarios.simple_return as pnl_usd,
            scenarios.is_simulated
        from exposures
        cross join days
        left join
            scenarios on exposures.asset = scenarios.asset and days.scenario_date = scenarios.scenario_date
    )

select
    scenario_date,
    as_of_date,
    price_set_id,
    if(countif(pnl_usd is null) > 0, null, sum(cast(pnl_usd as numeric))) as pnl_usd,
    coalesce(logical_or(is_simulated), false) as is_simulated
from moved
group by scenario_date, as_of_date, price_set_id
order by scenario_date
"""

# Each day counts once: the figure that was computed last, on the closes that it rested on.
FORECASTS_SQL = """
with
    forecasts as (
        select 'book' as portfolio_kind, 'book' as portfolio_id, as_of_date, price_set_id, method, confidence,
            horizon_days, window_observations, var_usd, es_usd, is_simulated, computed_at
        from risk.book_var
        union all
        select 'account' as portfolio_kind, account_id as portfolio_id, as_of_date, price_set_id, method, confidence,
            horizon_days, window_observations, var_usd, es_usd, is_simulated, computed_at
        from risk.portfolio_var
    ),

    last_computed as (
        select *
        from forecasts
        where
            portfolio_kind = @portfolio_kind
            and portfolio_id = @portfolio_id
            and horizon_days = 1
            and window_observations = @window_observations
            and method = @method
            and confidence = @confidence
            and as_of_date >= @since
        qualify row_number() over (partition by as_of_date order by computed_at desc) = 1
    ),

    realised as (
        select as_of_date, price_set_id, pnl_date, pnl_usd
        from intermediate.int_risk__realised_pnl
        where portfolio_kind = @portfolio_kind and portfolio_id = @portfolio_id and as_of_date >= @since
    )

select
    last_computed.as_of_date,
    last_computed.var_usd,
    last_computed.es_usd,
    realised.pnl_date,
    realised.pnl_usd,
    last_computed.is_simulated
from last_computed
left join
    realised
    on last_computed.as_of_date = realised.as_of_date
    and last_computed.price_set_id = realised.price_set_id
order by last_computed.as_of_date
"""

PAST_PNL_SQL = """
with
    exposures as (
        select asset, as_of_date, cast(net_exposure_usd as float64) as exposure_usd
        from intermediate.int_risk__portfolio_exposures
        where
            portfolio_kind = @portfolio_kind
            and portfolio_id = @portfolio_id
            and (net_exposure_usd is null or net_exposure_usd != 0)
    ),

    returns as (
        select asset, price_date, return_1d
        from intermediate.int_risk__asset_returns
        where price_date >= @since
    ),

    days as (select price_date from returns group by price_date),

    moved as (
        select days.price_date, exposures.exposure_usd * returns.return_1d as pnl_usd
        from exposures
        cross join days
        left join returns on exposures.asset = returns.asset and days.price_date = returns.price_date
        where days.price_date <= exposures.as_of_date
    )

select
    price_date as pnl_date,
    if(countif(pnl_usd is null) > 0, null, sum(cast(pnl_usd as numeric))) as pnl_usd
from moved
group by price_date
order by price_date
"""

# A price set may be replaced within a day: the rows of the one that was computed last count.
COMPONENT_OF_SQL = """
select *
from risk.var_components
where
    as_of_date = (select max(as_of_date) from risk.var_components)
    and part_kind = @part_kind
    and part_id = @part_id
qualify row_number() over (partition by confidence order by computed_at desc) = 1
order by confidence
"""

STRESSED_PAGE_SQL = """
select *
from risk.stress_account_results
where scenario_id = @scenario_id and (@status_after = '' or status_after = @status_after)
order by loss_rank is null, loss_rank, account_id
limit @max_rows offset @skipped
"""

STRESSED_COUNT_SQL = """
select count(*) as accounts, max(computed_at) as computed_at
from risk.stress_account_results
where scenario_id = @scenario_id and (@status_after = '' or status_after = @status_after)
"""

ACCOUNT_STRESS_SQL = """
select *
from risk.stress_account_results
where account_id = @account_id
order by
    case kind when 'historical' then 0 when 'hypothetical' then 1 else 2 end,
    scenario_id
"""

BOOK_ASSETS_SQL = """
select asset
from intermediate.int_risk__exposures_as_of
group by asset
order by asset
"""


@dataclass(frozen=True)
class StressedPage:
    """Some accounts of a scenario, of `accounts` that there are."""

    accounts: int
    computed_at: datetime | None
    rows: list[StressedAccount]


def scenario_pnl(
    reader: Reader,
    account_id: str | None,
    horizon_days: int = 1,
    window_observations: int = STANDARD_WINDOW,
) -> list[ScenarioPnl]:
    """P&L of an account, or of the book (None), in each scenario of a window, oldest first."""
    parameters = _portfolio(account_id) | {"horizon_days": horizon_days, "window_observations": window_observations}
    return read_rows(reader, ScenarioPnl, SCENARIO_PNL_SQL, parameters)


def forecasts(
    reader: Reader,
    account_id: str | None,
    confidence: Decimal,
    since: date,
    method: str = Method.HISTORICAL,
) -> list[Forecast]:
    """The one-day forecasts of each day since then as they were made, with what followed, oldest first."""
    parameters = _portfolio(account_id) | {
        "confidence": confidence,
        "since": since,
        "method": str(method),
        "window_observations": STANDARD_WINDOW,
    }
    return read_rows(reader, Forecast, FORECASTS_SQL, parameters)


def past_pnl(reader: Reader, account_id: str | None, since: date) -> list[DayPnl]:
    """P&L of each past day since then on the positions of today, oldest first."""
    return read_rows(reader, DayPnl, PAST_PNL_SQL, _portfolio(account_id) | {"since": since})


def component_of(reader: Reader, account_id: str) -> list[VarComponent]:
    """What an account adds to the book's latest figures, one row a confidence."""
    parameters = {"part_kind": ACCOUNT, "part_id": account_id}
    return read_rows(reader, VarComponent, COMPONENT_OF_SQL, parameters)


def stressed_page(
    reader: Reader, scenario_id: str, status_after: str = ANY_STATUS, skipped: int = 0, max_rows: int = 20
) -> StressedPage:
    """Accounts of one scenario from the `skipped`-th on, largest loss first; of one status after the shock, or all."""
    wanted = {"scenario_id": scenario_id, "status_after": status_after}
    counted = reader.query(STRESSED_COUNT_SQL, wanted)[0]
    rows = read_rows(reader, StressedAccount, STRESSED_PAGE_SQL, wanted | {"max_rows": max_rows, "skipped": skipped})
    return StressedPage(int(counted["accounts"]), counted["computed_at"], rows)


def account_stress(reader: Reader, account_id: str) -> list[StressedAccount]:
    """What each scenario of the last build does to one account."""
    return read_rows(reader, StressedAccount, ACCOUNT_STRESS_SQL, {"account_id": account_id})


def book_assets(reader: Reader) -> list[str]:
    """Assets that the book holds or owes, sorted."""
    return [str(row["asset"]) for row in reader.query(BOOK_ASSETS_SQL)]


def _portfolio(account_id: str | None) -> dict[str, object]:
    return {
        "portfolio_kind": BOOK if account_id is None else ACCOUNT,
        "portfolio_id": BOOK if account_id is None else account_id,
    }
