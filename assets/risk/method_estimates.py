"""Value at Risk of every portfolio by the methods of the plan: the rows of `risk.var_method_estimates`.

Exposures and plan come from the same models as historical simulation in SQL, and so does the reference of it that is
computed here: where the two differ, one of them is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assets.risk.engine.batch import Answer, Histories, Question, answer
from assets.risk.engine.estimators import Floats, Tail
from assets.risk.engine.history import closes_of
from assets.risk.engine.levels import INTERVAL_CONFIDENCE, tail_count
from assets.risk.engine.methods import ESTIMATORS, NORMAL, Method
from assets.risk.queries import Reader
from assets.risk.tables import VAR_METHOD_ESTIMATES
from infra.runtime.bigquery import Warehouse
from infra.runtime.bulk import read_table, replace_rows
from infra.runtime.clock import Clock
from infra.runtime.errors import NotReadyError
from infra.runtime.version import code_version

DEADLINE_S = 900.0

PLAN_SQL = """
select portfolio_kind, method, horizon_days, window_observations, confidence
from intermediate.int_risk__var_plan
order by portfolio_kind, method, horizon_days, window_observations, confidence
"""

CLOSES_SQL = """
select asset, price_date, close_usd, is_simulated
from staging.stg_market__daily_closes
where price_date > @after_date
"""

# The vectors count an exposure that has no value as nothing; here it must not.
UNVALUED_SQL = """
select portfolio_kind, portfolio_id, asset
from intermediate.int_risk__portfolio_exposures
where net_exposure_usd is null
"""

_KEY = ("portfolio_kind", "portfolio_id", "horizon_days", "window_observations", "confidence")
_DECIMAL = pa.decimal128(38, 9)
_FIGURES = ("var_usd", "es_usd", "var_lower_usd", "var_upper_usd", "es_lower_usd", "es_upper_usd")


@dataclass(frozen=True)
class Portfolios:
    """Portfolios of one kind: `exposures` of shape (portfolios, assets) in USD net of debt, NaN where unvalued."""

    kind: str
    ids: tuple[str, ...]
    exposures: Floats
    is_simulated: NDArray[np.bool_]


@dataclass(frozen=True)
class Inputs:
    """What the figures of one day rest on."""

    as_of_date: date
    price_set_id: str
    histories: Histories
    portfolios: Sequence[Portfolios]
    plan: Mapping[str, Sequence[Question]]


@dataclass(frozen=True)
class Written:
    """What one run wrote."""

    as_of_date: date
    price_set_id: str
    portfolios: int
    rows: int
    not_computed: int


def read_inputs(warehouse: Warehouse) -> Inputs:
    """Exposures, closes and plan as the models hold them; `NotReadyError` where there is no portfolio yet."""
    vectors = read_table(warehouse.settings, "intermediate.int_risk__exposure_vectors")
    if not vectors.num_rows:
        raise NotReadyError("No exposures are built yet: run risk_daily_job once positions have arrived.")
    as_of_date, price_set_id = vectors["as_of_date"][0].as_py(), str(vectors["price_set_id"][0].as_py())
    plan = _plan(warehouse)
    unvalued = warehouse.query(UNVALUED_SQL)
    columns = {name.removesuffix("_usd").upper(): name for name in vectors.column_names if name.endswith("_usd")}
    assets = tuple(sorted(columns.keys() | {str(row["asset"]) for row in unvalued}))
    asked = [question for questions in plan.values() for question in questions]
    longest = max(question.window + question.horizon_days for question in asked)
    closes = warehouse.query(CLOSES_SQL, {"after_date": date.fromordinal(as_of_date.toordinal() - longest - 1)})
    histories = Histories(
        closes_of((row["asset"], row["price_date"], row["close_usd"]) for row in closes if row["asset"] in assets),
        assets,
        as_of_date,
        price_set_id,
    )
    simulated = {str(row["asset"]) for row in closes if row["is_simulated"]}
    return Inputs(as_of_date, price_set_id, histories, _portfolios(vectors, columns, assets, unvalued, simulated), plan)


def _plan(reader: Reader) -> dict[str, list[Question]]:
    """Questions by kind of portfolio."""
    found: dict[str, list[Question]] = {}
    rows = reader.query(PLAN_SQL)
    keys = ("portfolio_kind", "method", "horizon_days", "window_observations")
    for (kind, method, horizon_days, window), members in groupby(rows, key=itemgetter(*keys)):
        confidences = tuple(row["confidence"].normalize() for row in members)
        found.setdefault(str(kind), []).append(Question(Method(method), int(horizon_days), int(window), confidences))
    return found


def _portfolios(
    vectors: pa.Table,
    columns: Mapping[str, str],
    assets: Sequence[str],
    unvalued: Sequence[Mapping[str, Any]],
    simulated: set[str],
) -> list[Portfolios]:
    nothing = np.zeros(vectors.num_rows)
    exposures = np.column_stack(
        [vectors[columns[asset]].to_numpy() if asset in columns else nothing for asset in assets]
    )
    kinds, ids = vectors["portfolio_kind"].to_pylist(), vectors["portfolio_id"].to_pylist()
    places = {key: place for place, key in enumerate(zip(kinds, ids, strict=True))}
    for row in unvalued:
        place = places[(row["portfolio_kind"], row["portfolio_id"])]
        exposures[place, assets.index(row["asset"])] = np.nan
    is_simulated = (exposures[:, [asset in simulated for asset in assets]] != 0).any(axis=1)
    found = []
    for kind in sorted(set(kinds)):
        # In order of id, so that a figure does not depend on the order in which rows were read.
        members = sorted((place for place in range(len(kinds)) if kinds[place] == kind), key=ids.__getitem__)
        found.append(
            Portfolios(kind, tuple(ids[place] for place in members), exposures[members], is_simulated[members])
        )
    return found


def estimate_methods(
    warehouse: Warehouse,
    clock: Clock,
    progress: Callable[[int, int, str], None] = lambda _done, _of, _what: None,
    deadline_s: float = DEADLINE_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> Written:
    """Compute the whole plan and write it, one method at a time.

    Once `deadline_s` has passed, what is left gets rows without a figure that say so; the normal methods, which are
    computed first, then stand in. `progress` is told questions done, all questions, and the one at hand.
    """
    ends = monotonic() + deadline_s
    inputs = read_inputs(warehouse)
    pairs = [
        (portfolios, question) for portfolios in inputs.portfolios for question in inputs.plan.get(portfolios.kind, ())
    ]
    # The normal methods, which may have to stand in for others, come first.
    pairs.sort(key=lambda pair: (pair[1].method not in NORMAL, pair[1].method))
    written = left_out = done = 0
    for method, members in groupby(pairs, key=lambda pair: pair[1].method):
        tables = []
        for portfolios, question in members:
            progress(done, len(pairs), f"{portfolios.kind} {method} {question.horizon_days}d {question.window}")
            if monotonic() < ends:
                found = answer(question, portfolios.exposures, inputs.histories)
            else:
                found = _not_computed(question, len(portfolios.ids), deadline_s)
                left_out += 1
            tables.append(_rows(found, portfolios, inputs, clock.now()))
            done += 1
        scope = {"as_of_date": inputs.as_of_date, "price_set_id": inputs.price_set_id, "method": str(method)}
        written += replace_rows(warehouse, VAR_METHOD_ESTIMATES, pa.concat_tables(tables), scope, _KEY)
    progress(done, len(pairs), "written")
    total = sum(len(portfolios.ids) for portfolios in inputs.portfolios)
    return Written(inputs.as_of_date, inputs.price_set_id, total, written, left_out)


def _not_computed(question: Question, portfolios: int, deadline_s: float) -> Answer:
    unknown = np.full(portfolios, np.nan)
    reason = f"not computed: the deadline of {deadline_s:.0f} s had passed"
    return Answer(
        question,
        [Tail(confidence, *[unknown] * 6) for confidence in question.confidences],
        np.zeros(portfolios, dtype=np.int64),
        [reason] * portfolios,
        np.zeros(portfolios, dtype=bool),
        None,
    )


def _rows(found: Answer, portfolios: Portfolios, inputs: Inputs, computed_at: datetime) -> pa.Table:
    question, count = found.question, len(portfolios.ids)
    return pa.concat_tables(
        _rows_at(found, tail, portfolios, _labels(question, tail, inputs, found.seed, computed_at), count)
        for tail in found.tails
    )


def _labels(
    question: Question, tail: Tail, inputs: Inputs, seed: int | None, computed_at: datetime
) -> dict[str, tuple[Any, pa.DataType]]:
    return {
        "as_of_date": (inputs.as_of_date, pa.date32()),
        "method": (str(question.method), pa.string()),
        "estimator": (ESTIMATORS[question.method], pa.string()),
        "confidence": (tail.confidence, _DECIMAL),
        "horizon_days": (question.horizon_days, pa.int64()),
        "horizon_rule": (str(question.rule), pa.string()),
        "window_observations": (question.window, pa.int64()),
        "tail_observations": (tail_count(question.window, tail.confidence), pa.int64()),
        "interval_method": (str(question.interval), pa.string()),
        "interval_confidence": (INTERVAL_CONFIDENCE, _DECIMAL),
        "price_set_id": (inputs.price_set_id, pa.string()),
        "seed": (seed, pa.int64()),
        "code_version": (code_version(), pa.string()),
        "computed_at": (computed_at, pa.timestamp("us", tz="UTC")),
    }


def _rows_at(
    found: Answer, tail: Tail, portfolios: Portfolios, labels: Mapping[str, tuple[Any, pa.DataType]], count: int
) -> pa.Table:
    figures = (tail.var, tail.es, tail.var_lower, tail.var_upper, tail.es_lower, tail.es_upper)
    columns: dict[str, pa.Array] = {
        "portfolio_kind": pa.repeat(portfolios.kind, count),
        "portfolio_id": pa.array(portfolios.ids, pa.string()),
        "observations": pa.array(found.observations, pa.int64()),
        "is_fallback": pa.array(found.is_fallback, pa.bool_()),
        "reason": pa.array(found.reasons, pa.string()),
        "is_simulated": pa.array(portfolios.is_simulated, pa.bool_()),
    }
    columns |= {name: pa.repeat(pa.scalar(value, kind), count) for name, (value, kind) in labels.items()}
    columns |= {name: numeric(values) for name, values in zip(_FIGURES, figures, strict=True)}
    return pa.table({field.name: columns[field.name] for field in VAR_METHOD_ESTIMATES.schema})


def numeric(values: Floats | Iterable[float]) -> pa.Array:
    """Statistics as NUMERIC: nine decimals; NULL for NaN."""
    found = np.asarray(values, dtype=np.float64)
    return pa.array(found, pa.float64(), mask=np.isnan(found)).cast(_DECIMAL)
