"""Typed reads of what stands behind Value at Risk: components, backtests, exceptions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from assets.risk.engine.methods import Method
from assets.risk.queries import Reader, read_rows


@dataclass(frozen=True)
class VarComponent:
    """What an asset or an account adds to the book's risk; USD, `marginal_var_ratio` USD a USD of exposure.

    A figure is None with a reason.
    """

    part_kind: str
    part_id: str
    as_of_date: date
    method: str
    estimator: str
    confidence: Decimal
    horizon_days: int
    window_observations: int
    observations: int
    tail_observations: int
    exposure_usd: Decimal | None
    component_var_usd: Decimal | None
    component_es_usd: Decimal | None
    marginal_var_ratio: Decimal | None
    incremental_var_usd: Decimal | None
    standalone_var_usd: Decimal | None
    book_var_usd: Decimal | None
    book_es_usd: Decimal | None
    reason: str | None
    price_set_id: str
    is_simulated: bool
    code_version: str
    computed_at: datetime


@dataclass(frozen=True)
class VarBacktest:
    """One row of `risk.var_backtests`; a statistic is None where the data could not carry it, as `notes` says."""

    as_of_date: date
    backtest_kind: str
    subject_kind: str
    subject_id: str
    method: str
    estimator: str
    confidence: Decimal
    horizon_days: int
    window_observations: int
    period: str
    observations: int
    missing: int
    first_date: date | None
    exceptions: int | None
    expected_exceptions: Decimal | None
    kupiec_statistic: float | None
    kupiec_p_value: float | None
    kupiec_exact_p_value: float | None
    independence_statistic: float | None
    independence_p_value: float | None
    independence_exact_p_value: float | None
    conditional_statistic: float | None
    conditional_p_value: float | None
    conditional_exact_p_value: float | None
    duration_statistic: float | None
    duration_p_value: float | None
    duration_exact_p_value: float | None
    dynamic_quantile_statistic: float | None
    dynamic_quantile_p_value: float | None
    dynamic_quantile_exact_p_value: float | None
    mcneil_frey_statistic: float | None
    mcneil_frey_p_value: float | None
    acerbi_szekely_z2: float | None
    acerbi_szekely_p_value: float | None
    zone: str | None
    multiplier_1996: Decimal | None
    multiplier_frtb: Decimal | None
    verdict: str
    verdict_reason: str
    notes: str | None
    price_set_id: str
    is_simulated: bool
    seed: int | None
    code_version: str
    computed_at: datetime


@dataclass(frozen=True)
class VarException:
    """A day whose loss exceeded the forecast; USD, P&L below zero for a loss."""

    backtest_kind: str
    subject_kind: str
    subject_id: str
    method: str
    confidence: Decimal
    exception_date: date
    forecast_date: date
    pnl_usd: Decimal
    var_usd: Decimal
    es_usd: Decimal
    excess_usd: Decimal
    is_simulated: bool


# A price set may be replaced within a day: the rows of the one that was computed last count.
COMPONENTS_SQL = """
select *
from risk.var_components
where
    as_of_date = (select max(as_of_date) from risk.var_components)
    and part_kind = @part_kind
    and confidence = @confidence
qualify row_number() over (partition by part_id order by computed_at desc) = 1
order by component_es_usd desc, part_id
limit @max_rows
"""

BACKTESTS_SQL = """
select *
from risk.var_backtests
where
    as_of_date = (select max(as_of_date) from risk.var_backtests)
    and subject_kind = @subject_kind
    and (@subject_id = '' or subject_id = @subject_id)
    and (@method = '' or method = @method)
qualify
    row_number() over (
        partition by backtest_kind, subject_id, method, confidence, horizon_days, window_observations, period
        order by computed_at desc
    ) = 1
order by subject_id, method, backtest_kind, period, confidence
"""

EXCEPTIONS_SQL = """
select *
from risk.var_exceptions
where
    as_of_date = (select max(as_of_date) from risk.var_exceptions)
    and subject_kind = @subject_kind
    and subject_id = @subject_id
    and method = @method
qualify
    row_number() over (partition by backtest_kind, confidence, exception_date order by computed_at desc) = 1
order by exception_date desc, confidence, backtest_kind
limit @max_rows
"""


def var_components(
    reader: Reader, part_kind: str, confidence: Decimal = Decimal("0.99"), max_rows: int = 100
) -> list[VarComponent]:
    """Parts of the book (`asset` or `account`) by what they add to its latest Expected Shortfall, largest first."""
    parameters = {"part_kind": part_kind, "confidence": confidence, "max_rows": max_rows}
    return read_rows(reader, VarComponent, COMPONENTS_SQL, parameters)


def var_backtests(
    reader: Reader, subject_kind: str = "book", subject_id: str = "", method: str = Method.HISTORICAL
) -> list[VarBacktest]:
    """The latest backtests of a kind of subject; an empty `subject_id` or `method` stands for all."""
    parameters = {"subject_kind": subject_kind, "subject_id": subject_id, "method": str(method)}
    return read_rows(reader, VarBacktest, BACKTESTS_SQL, parameters)


def var_exceptions(
    reader: Reader, subject_kind: str, subject_id: str, method: str = Method.HISTORICAL, max_rows: int = 500
) -> list[VarException]:
    """Days of the latest backtests whose loss exceeded the forecast, newest first."""
    parameters = {
        "subject_kind": subject_kind,
        "subject_id": subject_id,
        "method": str(method),
        "max_rows": max_rows,
    }
    return read_rows(reader, VarException, EXCEPTIONS_SQL, parameters)
