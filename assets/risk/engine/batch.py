"""One question put to many portfolios: which of them have a figure, which a reason, which a fallback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from assets.risk.engine import estimators
from assets.risk.engine.bootstrap import MEAN_BLOCK, REPLICATES, seed_of, stationary_draws
from assets.risk.engine.copula import PATHS, simulate
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.estimators import Floats, Tail
from assets.risk.engine.history import Closes, ReturnWindow, return_window
from assets.risk.engine.methods import (
    FALLBACK_MIN_OBSERVATIONS,
    NORMAL,
    HorizonRule,
    IntervalMethod,
    Method,
    horizon_rule,
)

# Portfolios whose scenario P&L is in memory at once: 2,000 x 1,000 scenarios are 16 MB.
CHUNK = 2_000


@dataclass(frozen=True)
class Question:
    """A method, a horizon in days, a window in observations, and the confidences that are asked for."""

    method: Method
    horizon_days: int
    window: int
    confidences: tuple[Decimal, ...]

    @property
    def rule(self) -> HorizonRule:
        """What the horizon rests on."""
        return horizon_rule(self.method, self.horizon_days)

    @property
    def interval(self) -> IntervalMethod:
        """What the interval of VaR rests on."""
        if self.method in NORMAL:
            return IntervalMethod.CHI_SQUARE
        if self.method is Method.T_COPULA:
            return IntervalMethod.SIMULATION
        if self.method is Method.AGE_WEIGHTED:
            return IntervalMethod.BOOTSTRAP
        return IntervalMethod.ORDER_STATISTICS


@dataclass(frozen=True)
class Histories:
    """Closes up to `as_of`, and the return windows made of them, each once; `label` names the price set."""

    closes: Closes
    assets: tuple[str, ...]
    as_of: date
    label: str
    _windows: dict[tuple[int, int], ReturnWindow] = field(default_factory=dict)
    _draws: dict[tuple[int, int], NDArray[np.int64]] = field(default_factory=dict)
    _paths: dict[int, Floats] = field(default_factory=dict)

    def window(self, observations: int, horizon_days: int) -> ReturnWindow:
        """Returns over `observations` days."""
        key = (observations, horizon_days)
        if key not in self._windows:
            self._windows[key] = return_window(self.closes, self.assets, self.as_of, *key)
        return self._windows[key]

    def seed(self, *parts: object) -> int:
        """The seed of a simulation on these closes."""
        return seed_of(self.label, self.as_of, *parts)

    def draws(self, observations: int, horizon_days: int) -> NDArray[np.int64]:
        """The resamples of a window; blocks are at least twice as long as overlapping returns overlap."""
        key = (observations, horizon_days)
        if key not in self._draws:
            block = MEAN_BLOCK if horizon_days == 1 else max(MEAN_BLOCK, 2 * horizon_days)
            self._draws[key] = stationary_draws(observations, self.seed("bootstrap", *key), REPLICATES, block)
        return self._draws[key]

    def paths(self, observations: int) -> Floats:
        """Simulated one-day returns of all assets, from one fit to those whose window is complete; else zero."""
        if observations not in self._paths:
            window = self.window(observations, 1)
            complete = [place for place, asset in enumerate(self.assets) if asset not in window.problems]
            paths = np.zeros((PATHS, len(self.assets)))
            if complete:
                seed = self.seed(Method.T_COPULA, observations)
                paths[:, complete] = simulate(window.returns[:, complete], seed, PATHS)
            self._paths[observations] = paths
        return self._paths[observations]


@dataclass(frozen=True)
class Answer:
    """One entry a portfolio in each array; `reasons` says why there is no figure, or why it is a fallback."""

    question: Question
    tails: Sequence[Tail]
    observations: NDArray[np.int64]
    reasons: Sequence[str | None]
    is_fallback: NDArray[np.bool_]
    seed: int | None


def answer(question: Question, exposures: Floats, histories: Histories, *, intervals: bool = True) -> Answer:
    """Estimates for exposures of shape (portfolios, assets), USD net of debt, in the order of `histories.assets`.

    An exposure is NaN where it could not be valued. A portfolio whose assets lack returns has no figure, except by the
    normal methods: these use the days on which all its assets have one, and say so. `intervals` switches off the
    bootstrap, which is most of the work.
    """
    if exposures.ndim != 2 or exposures.shape[1] != len(histories.assets):
        raise RiskInputError(f"exposures must have one column for each of {len(histories.assets)} assets")
    if np.isinf(exposures).any():
        raise RiskInputError("an exposure is infinite")
    if question.horizon_days < 1:
        raise RiskInputError(f"horizon {question.horizon_days} must be at least one day")
    horizon = question.horizon_days if question.rule is HorizonRule.OVERLAPPING else 1
    window = histories.window(question.window, horizon)
    seed = histories.seed(question.method, question.window) if question.method is Method.T_COPULA else None
    collected = [np.full((6, len(exposures)), np.nan) for _ in question.confidences]
    observations = _observations(exposures, window)
    reasons: list[str | None] = [None] * len(exposures)
    for member in np.flatnonzero(np.isnan(exposures).any(axis=1)):
        reasons[member] = _unvalued_reason(exposures[member], window)
    is_fallback = np.zeros(len(exposures), dtype=bool)
    for lacking, members in _groups(exposures, window):
        days = _usable_days(question, window, lacking)
        reason = "; ".join(window.problems[asset] for asset in lacking) or None
        if days is None:
            for member in members:
                reasons[member] = reason
            continue
        if lacking:
            is_fallback[members] = True
            observations[members] = len(days)
            for member in members:
                reasons[member] = f"{len(days)} common returns, for {reason}"
        returns = np.nan_to_num(window.returns[days], nan=0.0)
        for chunk in np.array_split(members, -(-len(members) // CHUNK)):
            tails = _tails(question, exposures[chunk], returns, histories, intervals)
            for place, tail in zip(collected, tails, strict=True):
                place[:, chunk] = (tail.var, tail.es, tail.var_lower, tail.var_upper, tail.es_lower, tail.es_upper)
    tails = [Tail(confidence, *place) for confidence, place in zip(question.confidences, collected, strict=True)]
    return Answer(question, tails, observations, reasons, is_fallback, seed)


def _observations(exposures: Floats, window: ReturnWindow) -> NDArray[np.int64]:
    """Returns of the held asset that has the fewest."""
    counts = np.isfinite(window.returns).sum(axis=0)
    held = exposures != 0  # NaN is held
    found = np.where(held, counts[None, :], window.window)
    return np.asarray(found.min(axis=1, initial=window.window), dtype=np.int64)


def _unvalued_reason(exposures: Floats, window: ReturnWindow) -> str:
    """Why a portfolio with an exposure that could not be valued has no figure, by any method."""
    found = []
    for asset, exposure in sorted(zip(window.assets, exposures, strict=True)):
        problem = window.problems.get(asset)
        if np.isnan(exposure) and (problem is None or asset in window.short):
            found.append(f"the exposure to {asset} has no value")
        elif exposure != 0 and problem is not None:
            found.append(problem)
    return "; ".join(found)


def _groups(exposures: Floats, window: ReturnWindow) -> Iterator[tuple[tuple[str, ...], NDArray[np.int64]]]:
    """Portfolios whose exposures all have a value, by the assets with a problem that they hold."""
    valued = np.flatnonzero(~np.isnan(exposures).any(axis=1))
    suspects = sorted(window.problems)
    if not suspects:
        if len(valued):
            yield (), valued
        return
    columns = [window.assets.index(asset) for asset in suspects]
    masks, membership = np.unique(exposures[valued][:, columns] != 0, axis=0, return_inverse=True)
    for number, mask in enumerate(masks):
        lacking = tuple(asset for asset, is_held in zip(suspects, mask, strict=True) if is_held)
        yield lacking, valued[membership.reshape(-1) == number]


def _usable_days(question: Question, window: ReturnWindow, lacking: tuple[str, ...]) -> NDArray[np.int64] | None:
    """Rows of the window to estimate from; None where there is no figure."""
    if not lacking:
        return np.arange(window.window)
    if question.method not in NORMAL or not window.short.issuperset(lacking):
        return None
    days = np.flatnonzero(np.isfinite(window.of(lacking)).all(axis=1))
    return days if len(days) >= FALLBACK_MIN_OBSERVATIONS else None


def _tails(question: Question, exposures: Floats, returns: Floats, histories: Histories, intervals: bool) -> list[Tail]:
    horizon, confidences = question.horizon_days, question.confidences
    match question.method:
        case Method.HISTORICAL:
            tails = estimators.historical(pnl := exposures @ returns.T, confidences)
        case Method.AGE_WEIGHTED:
            tails = estimators.age_weighted(pnl := exposures @ returns.T, confidences)
        case Method.VOLATILITY_SCALED:
            pnl = exposures @ estimators.volatility_scaled_returns(returns).T
            tails = estimators.historical(pnl, confidences)
        case Method.DELTA_NORMAL:
            tails = estimators.delta_normal(pnl := exposures @ returns.T, confidences)
        case Method.EWMA_DELTA_NORMAL:
            tails = estimators.ewma_delta_normal(pnl := exposures @ returns.T, confidences)
        case Method.T_COPULA:
            tails = estimators.historical(exposures @ histories.paths(question.window).T, confidences)
    if intervals and question.interval in (IntervalMethod.ORDER_STATISTICS, IntervalMethod.BOOTSTRAP):
        tails = _with_bootstrap(question, tails, pnl, histories)
    scales = question.rule is HorizonRule.SQUARE_ROOT
    return estimators.scaled_by_root_of_time(tails, horizon) if scales else tails


def _with_bootstrap(question: Question, tails: list[Tail], pnl: Floats, histories: Histories) -> list[Tail]:
    overlap = question.horizon_days if question.rule is HorizonRule.OVERLAPPING else 1
    draws = histories.draws(question.window, overlap)
    is_weighted = question.method is Method.AGE_WEIGHTED
    weights = estimators.age_weights(question.window) if is_weighted else None
    bounds = estimators.bootstrap_intervals(pnl, question.confidences, draws, weights)
    return [
        Tail(
            tail.confidence,
            tail.var,
            tail.es,
            var_low if is_weighted else tail.var_lower,
            var_high if is_weighted else tail.var_upper,
            es_low,
            es_high,
        )
        for tail, (var_low, var_high, es_low, es_high) in zip(tails, bounds, strict=True)
    ]
