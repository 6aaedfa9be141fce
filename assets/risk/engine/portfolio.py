"""One portfolio: its estimates as rows, its components, and the scenarios behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal

import numpy as np

from assets.risk.engine.batch import Answer, Histories, Question, answer
from assets.risk.engine.components import components
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.estimators import Floats, Tail
from assets.risk.engine.history import ReturnWindow
from assets.risk.engine.levels import INTERVAL_CONFIDENCE, STANDARD_CONFIDENCES, checked_confidence, tail_count
from assets.risk.engine.methods import ESTIMATORS, FALLBACK, HorizonRule, Method

_QUANTUM = Decimal("0.000000001")
# Nine decimals of the largest float.
_STORED = Context(prec=320, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class Estimate:
    """A row as `risk.portfolio_var` holds it; USD, losses positive, None with a reason where there is no figure."""

    method: Method
    estimator: str
    confidence: Decimal
    horizon_days: int
    horizon_rule: HorizonRule
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
    seed: int | None


@dataclass(frozen=True)
class AssetComponent:
    """What one asset adds to VaR and ES of a portfolio; USD, `marginal_var_ratio` USD a USD of exposure."""

    asset: str
    confidence: Decimal
    exposure_usd: Decimal
    component_var_usd: Decimal
    component_es_usd: Decimal
    marginal_var_ratio: Decimal | None
    incremental_var_usd: Decimal
    standalone_var_usd: Decimal


@dataclass(frozen=True)
class Scenario:
    """P&L of a portfolio in USD, had the returns that ended on `scenario_date` come again."""

    scenario_date: date
    pnl_usd: Decimal


def usd(value: float) -> Decimal | None:
    """A statistic as it is stored: nine decimals, half away from zero, no sign on a zero; None for NaN."""
    if np.isnan(value):
        return None
    found = Decimal(repr(float(value))).quantize(_QUANTUM, context=_STORED)
    return found if found else found.copy_abs()


def exposure_vector(exposures_usd: Mapping[str, Decimal | None], assets: Sequence[str]) -> Floats:
    """Exposures in the order of `assets`, shape (1, assets); None, one that could not be valued, becomes NaN.

    Raises `RiskInputError` for a portfolio without exposure, or with one that is infinite or to an asset that is not
    among `assets`.
    """
    if not exposures_usd:
        raise RiskInputError("the portfolio is empty: it has no exposure to estimate a risk of")
    unknown = sorted(set(exposures_usd) - set(assets))
    if unknown:
        raise RiskInputError(f"unknown assets: {', '.join(unknown)}")
    values = {asset: np.nan if usd is None else float(usd) for asset, usd in exposures_usd.items()}
    vector = np.array([[values.get(asset, 0.0) for asset in assets]])
    if np.isinf(vector).any():
        raise RiskInputError("an exposure is infinite")
    return vector


def estimates(
    exposures_usd: Mapping[str, Decimal | None],
    histories: Histories,
    questions: Iterable[Question],
    *,
    intervals: bool = True,
) -> list[Estimate]:
    """Estimates of one portfolio, net exposures in USD by asset; where a method has no figure, its row has a reason."""
    vector = exposure_vector(exposures_usd, histories.assets)
    return [row for question in questions for row in _rows(answer(question, vector, histories, intervals=intervals))]


def headline(
    exposures_usd: Mapping[str, Decimal | None],
    histories: Histories,
    window: int,
    horizon_days: int = 1,
    confidences: Sequence[Decimal] = STANDARD_CONFIDENCES,
    *,
    intervals: bool = True,
) -> list[Estimate]:
    """Historical simulation, or the fallback where it has no figure and the fallback has one."""
    question = Question(Method.HISTORICAL, horizon_days, window, tuple(confidences))
    rows = estimates(exposures_usd, histories, [question], intervals=intervals)
    return with_fallback(rows, exposures_usd, histories, question)


def with_fallback(
    rows: Sequence[Estimate],
    exposures_usd: Mapping[str, Decimal | None],
    histories: Histories,
    question: Question,
) -> list[Estimate]:
    """`rows`, the estimates for `question`, each replaced by the fallback where it has no figure and that has one."""
    if all(row.var_usd is not None for row in rows):
        return list(rows)
    instead = estimates(exposures_usd, histories, [replace(question, method=FALLBACK)])
    return [
        old
        if old.var_usd is not None or new.var_usd is None
        else replace(new, is_fallback=True, reason=new.reason or old.reason)
        for old, new in zip(rows, instead, strict=True)
    ]


def asset_components(
    exposures_usd: Mapping[str, Decimal | None], window: ReturnWindow, confidences: Sequence[Decimal]
) -> list[AssetComponent]:
    """Components of historical VaR and ES by asset; none where there is no estimate, or no exposure."""
    found_exposures = _estimable(exposures_usd, window)
    if not found_exposures:
        return []
    held, exposures = list(found_exposures), np.array(list(found_exposures.values()))
    parts = exposures[:, None] * window.of(held).T
    rows = []
    for found in components(parts, [checked_confidence(each) for each in confidences]):
        for place, asset in enumerate(held):
            component = float(found.component_var[place])
            rows.append(
                AssetComponent(
                    asset,
                    found.confidence,
                    _known(exposures[place]),
                    _known(component),
                    _known(found.component_es[place]),
                    usd(component / exposures[place]),
                    _known(found.incremental_var[place]),
                    _known(found.standalone_var[place]),
                )
            )
    return rows


def scenarios(exposures_usd: Mapping[str, Decimal | None], window: ReturnWindow) -> list[Scenario]:
    """Scenario P&L of a portfolio, oldest first; none where there is no estimate."""
    exposures = _estimable(exposures_usd, window)
    if exposures is None:
        return []
    pnl = np.array(list(exposures.values())) @ window.of(list(exposures)).T
    first = window.as_of - timedelta(days=window.window - 1)
    return [Scenario(first + timedelta(days=day), _known(value)) for day, value in enumerate(pnl)]


def _estimable(exposures_usd: Mapping[str, Decimal | None], window: ReturnWindow) -> dict[str, float] | None:
    """Exposures other than zero; None where one could not be valued, or the window cannot carry an estimate."""
    vector = exposure_vector(exposures_usd, window.assets)[0]
    values = dict(zip(window.assets, vector.tolist(), strict=True))
    held = {asset: values[asset] for asset in exposures_usd if values[asset] != 0}
    return None if np.isnan(list(held.values())).any() or window.problems.keys() & held.keys() else held


def _known(value: float) -> Decimal:
    found = usd(value)
    assert found is not None
    return found


def _rows(found: Answer) -> Iterable[Estimate]:
    question = found.question
    for tail in found.tails:
        yield Estimate(
            method=question.method,
            estimator=ESTIMATORS[question.method],
            confidence=tail.confidence,
            horizon_days=question.horizon_days,
            horizon_rule=question.rule,
            window_observations=question.window,
            observations=int(found.observations[0]),
            tail_observations=tail_count(question.window, tail.confidence),
            **_figures(tail),
            interval_method=question.interval,
            interval_confidence=INTERVAL_CONFIDENCE,
            is_fallback=bool(found.is_fallback[0]),
            reason=found.reasons[0],
            seed=found.seed,
        )


def _figures(tail: Tail) -> dict[str, Decimal | None]:
    return {
        "var_usd": usd(tail.var[0]),
        "es_usd": usd(tail.es[0]),
        "var_lower_usd": usd(tail.var_lower[0]),
        "var_upper_usd": usd(tail.var_upper[0]),
        "es_lower_usd": usd(tail.es_lower[0]),
        "es_upper_usd": usd(tail.es_upper[0]),
    }
