"""What is backtested: forecasts and P&L of a subject, from the marts or made anew for each past day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from assets.risk.engine.estimators import Floats
from assets.risk.engine.methods import STANDARD_WINDOW, Method
from assets.risk.engine.rolling import rolling_forecasts
from infra.runtime.bigquery import Warehouse
from infra.runtime.bulk import read_table
from infra.runtime.errors import NotReadyError

CONFIDENCES = (Decimal("0.975"), Decimal("0.99"))
# The traffic light and its multipliers are defined for a year of trading days.
YEAR = 250
LARGEST_ACCOUNTS = 10

# Each day counts once: the figure that was computed last, on the closes that it rested on.
STORED_SQL = """
with
    forecasts as (
        select 'book' as portfolio_kind, 'book' as portfolio_id, as_of_date, price_set_id, method, confidence, var_usd,
            es_usd, is_simulated, computed_at
        from risk.book_var
        where horizon_days = 1 and window_observations = @window_observations
        union all
        select 'account' as portfolio_kind, account_id as portfolio_id, as_of_date, price_set_id, method, confidence,
            var_usd, es_usd, is_simulated, computed_at
        from risk.portfolio_var
        where
            horizon_days = 1
            and window_observations = @window_observations
            and method = 'historical_simulation'
            and account_id in unnest(@account_ids)
    ),

    last_computed as (
        select *
        from forecasts
        qualify
            row_number() over (
                partition by portfolio_kind, portfolio_id, as_of_date, method, confidence order by computed_at desc
            ) = 1
    )

select
    last_computed.portfolio_kind,
    last_computed.portfolio_id,
    last_computed.method,
    last_computed.confidence,
    last_computed.as_of_date,
    realised_pnl.pnl_date,
    realised_pnl.pnl_usd,
    last_computed.var_usd,
    last_computed.es_usd,
    last_computed.is_simulated
from last_computed
inner join intermediate.int_risk__realised_pnl as realised_pnl
    on last_computed.portfolio_kind = realised_pnl.portfolio_kind
    and last_computed.portfolio_id = realised_pnl.portfolio_id
    and last_computed.as_of_date = realised_pnl.as_of_date
    and last_computed.price_set_id = realised_pnl.price_set_id
where last_computed.confidence in unnest(@confidences)
order by portfolio_kind, portfolio_id, method, confidence, as_of_date
"""


@dataclass(frozen=True)
class Subject:
    """What is backtested, with its exposures by asset, in USD."""

    kind: str
    subject_id: str
    exposures: dict[str, float]


@dataclass(frozen=True)
class Series:
    """Forecasts and P&L of one subject, method and confidence, oldest first; NaN where unknown.

    `dates` are the days of the P&L; each forecast was made at the end of the day before.
    """

    kind: str
    subject: Subject
    method: Method
    confidence: Decimal
    dates: Sequence[date]
    pnl: Floats
    var: Floats
    es: Floats
    is_simulated: bool


@dataclass(frozen=True)
class History:
    """One-day returns of all assets by day, NaN where there is none; days ascend."""

    as_of_date: date
    price_set_id: str
    dates: Sequence[date]
    assets: tuple[str, ...]
    returns: Floats
    simulated: frozenset[str]


def read_history(warehouse: Warehouse) -> History:
    """All one-day returns of the price set in force, up to its last common day."""
    columns = ["asset", "price_date", "return_1d", "is_simulated", "as_of_date", "price_set_id"]
    found = read_table(warehouse.settings, "intermediate.int_risk__asset_returns", columns)
    if not found.num_rows:
        raise NotReadyError("No returns are built yet: run risk_daily_job.")
    days = np.array(found["price_date"].to_pylist(), dtype="datetime64[D]")
    names = np.array(found["asset"].to_pylist())
    assets, places = np.unique(names, return_inverse=True)
    dates = np.arange(days.min(), days.max() + 1)
    returns = np.full((len(dates), len(assets)), np.nan)
    values = found["return_1d"].to_numpy()
    returns[(days - days.min()).astype(int), places] = values
    is_simulated = np.array(found["is_simulated"].to_pylist(), dtype=bool)
    return History(
        as_of_date=found["as_of_date"][0].as_py(),
        price_set_id=str(found["price_set_id"][0].as_py()),
        dates=[day.item() for day in dates],
        assets=tuple(map(str, assets)),
        returns=returns,
        simulated=frozenset(map(str, np.unique(names[is_simulated]))),
    )


def read_subjects(warehouse: Warehouse, history: History) -> list[Subject]:
    """The book, each asset (one US dollar of it), and the accounts with the largest gross exposure."""
    found = read_table(warehouse.settings, "intermediate.int_risk__portfolio_exposures").to_pylist()
    held: dict[tuple[str, str], dict[str, float]] = {}
    for row in found:
        usd_or_none = row["net_exposure_usd"]
        exposure = np.nan if usd_or_none is None else float(usd_or_none)
        held.setdefault((row["portfolio_kind"], row["portfolio_id"]), {})[row["asset"]] = exposure
    # What could not be valued comes first: it is not small, it is unknown.
    accounts = sorted(
        (key for key in held if key[0] == "account"),
        key=lambda key: (-np.nan_to_num(sum(map(abs, held[key].values())), nan=np.inf), key),
    )
    books = [key for key in held if key[0] == "book"]
    subjects = [Subject(kind, subject_id, held[kind, subject_id]) for kind, subject_id in books]
    subjects += [Subject("asset", asset, {asset: 1.0}) for asset in history.assets]
    return subjects + [Subject(kind, name, held[kind, name]) for kind, name in accounts[:LARGEST_ACCOUNTS]]


def history_series(history: History, subject: Subject, method: Method) -> Iterator[Series]:
    """Forecasts for each past day from the first on which all assets of the subject have a return.

    A subject with an asset that has no closes, or an exposure without value, has no P&L to judge: its series is one of
    unknown days.
    """
    assets = sorted(asset for asset, exposure in subject.exposures.items() if exposure != 0)
    exposures = np.array([subject.exposures[asset] for asset in assets])
    days: Sequence[date] = []
    pnl = np.empty(0)
    tails = None
    if set(assets) <= set(history.assets) and np.isfinite(exposures).all():
        until = history.dates.index(history.as_of_date) + 1
        returns = history.returns[:until][:, [history.assets.index(asset) for asset in assets]]
        known = np.flatnonzero(np.isfinite(returns).all(axis=1))
        start = int(known[0]) if len(known) else until
        returns = returns[start:]
        if len(returns) > STANDARD_WINDOW and assets:
            tails = rolling_forecasts(returns, exposures, STANDARD_WINDOW, method, CONFIDENCES)
            days = history.dates[start + STANDARD_WINDOW : until]
            pnl = returns[STANDARD_WINDOW:] @ exposures
    simulated = bool(history.simulated & set(assets))
    nothing = np.empty(0)
    for place, confidence in enumerate(CONFIDENCES):
        var, es = (tails[place].var, tails[place].es) if tails else (nothing, nothing)
        yield Series("history", subject, method, confidence, days, pnl, var, es, simulated)


def stored_series(warehouse: Warehouse, account_ids: Sequence[str]) -> Iterator[Series]:
    """What the marts said each day: of the book by every method, of these accounts by historical simulation."""
    parameters = {
        "window_observations": STANDARD_WINDOW,
        "account_ids": list(account_ids),
        "confidences": list(CONFIDENCES),
    }
    found: dict[tuple[str, str, str, Decimal], list[dict[str, Any]]] = {}
    for row in warehouse.query(STORED_SQL, parameters):
        key = (row["portfolio_kind"], row["portfolio_id"], row["method"], row["confidence"].normalize())
        found.setdefault(key, []).append(row)
    # Without a day that has passed there is nothing to judge, and a row must say so.
    found = found or {("book", "book", Method.HISTORICAL, confidence): [] for confidence in CONFIDENCES}
    for (kind, subject_id, method, confidence), rows in found.items():
        yield Series(
            kind="stored_forecasts",
            subject=Subject(kind, subject_id, {}),
            method=Method(method),
            confidence=confidence,
            dates=[row["pnl_date"] for row in rows],
            pnl=_column(rows, "pnl_usd"),
            var=_column(rows, "var_usd"),
            es=_column(rows, "es_usd"),
            is_simulated=any(row["is_simulated"] for row in rows),
        )


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> Floats:
    return np.array([np.nan if row[name] is None else float(row[name]) for row in rows], dtype=np.float64)


def periods(series: Series) -> Iterator[tuple[str, Series]]:
    """The whole series, and its last 250 days, for which the traffic light is defined."""
    yield "all_days", series
    recent = slice(-YEAR, None)
    yield (
        "last_250_days",
        replace(
            series,
            dates=series.dates[recent],
            pnl=series.pnl[recent],
            var=series.var[recent],
            es=series.es[recent],
        ),
    )
