"""Forecasts held against what followed: rows of `risk.var_backtests` and `risk.var_exceptions`.

Two kinds. `stored_forecasts` takes what the marts said each day and the P&L of the positions of that day. `history`
makes the forecasts anew for each past day, with the positions of today held still: so a new model or book is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from assets.risk.backtest_series import (
    History,
    Series,
    history_series,
    periods,
    read_history,
    read_subjects,
    stored_series,
)
from assets.risk.engine.backtests import BacktestReport, Verdict, run_backtest
from assets.risk.engine.bootstrap import seed_of
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.methods import ESTIMATORS, STANDARD_WINDOW, Method
from assets.risk.engine.portfolio import usd
from assets.risk.engine.rolling import METHODS
from assets.risk.tables import VAR_BACKTESTS, VAR_EXCEPTIONS
from infra.runtime.bigquery import TableSpec, Warehouse
from infra.runtime.bulk import replace_rows
from infra.runtime.clock import Clock
from infra.runtime.version import code_version


@dataclass(frozen=True)
class Judged:
    """One row of `risk.var_backtests`, with the verdict at hand."""

    kind: str
    subject_kind: str
    subject_id: str
    method: Method
    confidence: Decimal
    period: str
    verdict: Verdict
    reason: str


def backtest(
    warehouse: Warehouse, clock: Clock, progress: Callable[[int, int, str], None] = lambda _d, _t, _w: None
) -> list[Judged]:
    """Run both kinds of backtests and put their rows in the place of those of the same day and price set."""
    history = read_history(warehouse)
    subjects = read_subjects(warehouse, history)
    accounts = [subject.subject_id for subject in subjects if subject.kind == "account"]
    work: list[Callable[[], Iterable[Series]]] = [lambda: stored_series(warehouse, accounts)]
    for subject in subjects:
        for method in METHODS if subject.kind != "account" else (Method.HISTORICAL,):
            work.append(lambda subject=subject, method=method: history_series(history, subject, method))  # type: ignore[misc]
    rows: list[dict[str, Any]] = []
    exceptions: list[dict[str, Any]] = []
    judged: list[Judged] = []
    computed_at = clock.now()
    for done, series_of in enumerate(work):
        progress(done, len(work), "stored forecasts" if done == 0 else "history")
        for series in series_of():
            for period, part in periods(series):
                row, verdict = judge(part, period, history, computed_at)
                rows.append(row)
                judged.append(verdict)
            exceptions.extend(exception_rows(series, history, computed_at))
    scope = {"as_of_date": history.as_of_date, "price_set_id": history.price_set_id}
    key = ("backtest_kind", "subject_kind", "subject_id", "method", "confidence", "horizon_days", "window_observations")
    replace_rows(warehouse, VAR_BACKTESTS, table_of(VAR_BACKTESTS, rows), scope, (*key, "period"))
    replace_rows(warehouse, VAR_EXCEPTIONS, table_of(VAR_EXCEPTIONS, exceptions), scope, (*key, "exception_date"))
    progress(len(work), len(work), "written")
    return judged


def judge(series: Series, period: str, history: History, computed_at: datetime) -> tuple[dict[str, Any], Judged]:
    """The row of one backtest; a test that could not be run leaves NULL and a note, never a pass."""
    labels = _labels(series, history, computed_at)
    subject = series.subject
    question = (series.kind, subject.kind, subject.subject_id, series.method, series.confidence, period)
    seed = seed_of(history.price_set_id, history.as_of_date, *question)
    try:
        report = run_backtest(series.pnl, series.var, series.es, series.confidence, seed)
    except RiskInputError as error:
        verdict, reason, found = Verdict.UNKNOWN, f"not judged: {error.message}", _unjudged(series)
    else:
        verdict, reason, found = report.verdict, report.verdict_reason, _figures(report)
    row = (
        labels
        | found
        | {
            "period": period,
            "estimator": ESTIMATORS[series.method],
            "first_date": series.dates[0] if len(series.dates) else None,
            "verdict": str(verdict),
            "verdict_reason": reason,
            "seed": seed,
        }
    )
    judged = Judged(
        series.kind,
        series.subject.kind,
        series.subject.subject_id,
        series.method,
        series.confidence,
        period,
        verdict,
        reason,
    )
    return row, judged


def _labels(series: Series, history: History, computed_at: datetime) -> dict[str, Any]:
    return {
        "as_of_date": history.as_of_date,
        "backtest_kind": series.kind,
        "subject_kind": series.subject.kind,
        "subject_id": series.subject.subject_id,
        "method": str(series.method),
        "confidence": series.confidence,
        "horizon_days": 1,
        "window_observations": STANDARD_WINDOW,
        "price_set_id": history.price_set_id,
        "is_simulated": series.is_simulated,
        "code_version": code_version(),
        "computed_at": computed_at,
    }


def _figures(report: BacktestReport) -> dict[str, Any]:
    tests = {
        "kupiec": report.unconditional_coverage,
        "independence": report.independence,
        "conditional": report.conditional_coverage,
        "duration": report.duration,
        "dynamic_quantile": report.dynamic_quantile,
        "mcneil_frey": report.es_residuals,
    }
    found: dict[str, Any] = {}
    for name, outcome in tests.items():
        found |= {
            f"{name}_statistic": outcome.statistic,
            f"{name}_p_value": outcome.p_value,
            f"{name}_exact_p_value": outcome.exact_p_value,
        }
    light = report.traffic_light
    multipliers = light.multipliers if light else None
    notes = [f"{name}: {outcome.reason}" for name, outcome in tests.items() if outcome.reason]
    notes += [f"acerbi_szekely: {report.z2.reason}"] if report.z2.reason else []
    return found | {
        "observations": report.observations,
        "missing": report.missing,
        "exceptions": report.exceptions if report.observations else None,
        "expected_exceptions": Decimal(repr(round(report.expected_exceptions, 9))) if report.observations else None,
        "acerbi_szekely_z2": report.z2.statistic,
        "acerbi_szekely_p_value": report.z2.p_value,
        "zone": str(light.zone) if light else None,
        "multiplier_1996": multipliers.multiplier_1996 if multipliers else None,
        "multiplier_frtb": multipliers.multiplier_frtb if multipliers else None,
        "notes": "; ".join(notes) or None,
    }


def _unjudged(series: Series) -> dict[str, Any]:
    return {"observations": 0, "missing": len(series.dates)}


def exception_rows(series: Series, history: History, computed_at: datetime) -> Iterator[dict[str, Any]]:
    """A row for each day whose loss exceeded the forecast."""
    with np.errstate(invalid="ignore"):
        places = np.flatnonzero(-series.pnl > series.var)
    for place in map(int, places):
        loss, var = -float(series.pnl[place]), float(series.var[place])
        yield _labels(series, history, computed_at) | {
            "exception_date": series.dates[place],
            "forecast_date": date.fromordinal(series.dates[place].toordinal() - 1),
            "pnl_usd": usd(-loss),
            "var_usd": usd(var),
            "es_usd": usd(float(series.es[place])),
            "excess_usd": usd(loss - var),
            "seed": None,
        }


_ARROW = {
    "STRING": pa.string(),
    "DATE": pa.date32(),
    "NUMERIC": pa.decimal128(38, 9),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}


def table_of(spec: TableSpec, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as Arrow in the columns of the table; a column that a row lacks is NULL."""
    return pa.table(
        {field.name: pa.array([row.get(field.name) for row in rows], _ARROW[field.field_type]) for field in spec.schema}
    )
