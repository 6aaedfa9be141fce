"""One backtest of one series of forecasts: every test, and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import ArrayLike

from assets.risk.engine.backtests.coverage import IndependenceOutcome, coverage_tests
from assets.risk.engine.backtests.duration import DurationOutcome, duration_test
from assets.risk.engine.backtests.dynamic_quantile import dynamic_quantile
from assets.risk.engine.backtests.inputs import Series, aligned
from assets.risk.engine.backtests.outcomes import SIMULATIONS, Outcome
from assets.risk.engine.backtests.shortfall import (
    ProxyLevel,
    ResidualOutcome,
    Z2Outcome,
    acerbi_szekely,
    desk_counter,
    proxy_level,
    residual_test,
)
from assets.risk.engine.backtests.traffic_light import DeskCounter, TrafficLight, traffic_light
from assets.risk.engine.backtests.transitions import exceptions_of
from assets.risk.engine.backtests.verdict import Evidence, Verdict, judge
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.levels import checked_confidence

_NO_ES = "there is no Expected Shortfall forecast"
_PROXY_975, _PROXY_99 = Decimal("0.975"), Decimal("0.99")


@dataclass(frozen=True)
class BacktestReport:
    """All that one series of forecasts shows against P&L.

    `observations` are the days with forecast and P&L, `missing` those without one of them, `es_missing` the
    observations without ES forecast, which only the two ES tests leave out. A test that could not be computed holds
    its reason. `traffic_light` is None without observations, `desk` where the confidence has no desk limit,
    `proxy_975` and `proxy_99` where no forecasts for them were given.
    """

    confidence: Decimal
    observations: int
    missing: int
    es_missing: int
    exceptions: int
    expected_exceptions: float
    unconditional_coverage: Outcome
    independence: IndependenceOutcome
    conditional_coverage: Outcome
    time_until_first_failure: Outcome
    duration: DurationOutcome
    dynamic_quantile: Outcome
    es_residuals: ResidualOutcome
    z2: Z2Outcome
    traffic_light: TrafficLight | None
    desk: DeskCounter | None
    proxy_975: ProxyLevel | None
    proxy_99: ProxyLevel | None
    verdict: Verdict
    verdict_reason: str
    seed: int
    simulations: int


def run_backtest(
    pnl: ArrayLike,
    var: ArrayLike,
    es: ArrayLike | None,
    confidence: Decimal,
    seed: int,
    *,
    var_975: ArrayLike | None = None,
    var_99: ArrayLike | None = None,
    simulations: int = SIMULATIONS,
) -> BacktestReport:
    """Judge daily forecasts of VaR (and ES, if there are any) against P&L of the same days, oldest first, in USD.

    Losses are positive in forecasts, gains are positive in P&L; NaN means unknown. The verdict follows
    `verdict.judge`: red for the red zone or far too many exceptions, amber for any other finding, unknown below 250
    days. `var_975` and `var_99` are forecasts for the same days, by which supervisors judge an ES at 97.5%. `seed`
    fixes all simulated p-values, each test with its own stream. Raises `RiskInputError`.
    """
    probability = float(1 - checked_confidence(confidence))
    if simulations < 1:
        raise RiskInputError(f"simulations is {simulations}; at least one is needed, 499 is usual")
    series = aligned(pnl, var, es)
    hits = exceptions_of(series.pnl, series.var)
    for_duration, for_quantile, for_residuals, for_z2 = _streams(seed)
    exceptions, observations = int(np.count_nonzero(hits)), int(hits.size)
    es_residuals, z2 = _shortfall_tests(series, confidence, for_residuals, for_z2, simulations)
    evidence = Evidence(
        observations=observations,
        missing=series.missing,
        exceptions=exceptions,
        expected_exceptions=observations * probability,
        coverage=coverage_tests(hits, probability),
        duration=duration_test(hits, for_duration, simulations),
        dynamic_quantile=dynamic_quantile(hits, series.var, probability, for_quantile, simulations),
        traffic_light=traffic_light(exceptions, observations, confidence),
        es_residuals=es_residuals,
        z2=z2,
    )
    verdict, reason = judge(evidence)
    return BacktestReport(
        confidence=confidence,
        observations=observations,
        missing=series.missing,
        es_missing=int(np.count_nonzero(~series.has_es)),
        exceptions=exceptions,
        expected_exceptions=evidence.expected_exceptions,
        unconditional_coverage=evidence.coverage.unconditional,
        independence=evidence.coverage.independence,
        conditional_coverage=evidence.coverage.conditional,
        time_until_first_failure=evidence.coverage.first_failure,
        duration=evidence.duration,
        dynamic_quantile=evidence.dynamic_quantile,
        es_residuals=es_residuals,
        z2=z2,
        traffic_light=evidence.traffic_light if observations else None,
        desk=desk_counter(series.pnl, series.var, confidence),
        proxy_975=None if var_975 is None else proxy_level(pnl, var_975, _PROXY_975),
        proxy_99=None if var_99 is None else proxy_level(pnl, var_99, _PROXY_99),
        verdict=verdict,
        verdict_reason=reason,
        seed=seed,
        simulations=simulations,
    )


def _shortfall_tests(
    series: Series,
    confidence: Decimal,
    for_residuals: np.random.Generator,
    for_z2: np.random.Generator,
    simulations: int,
) -> tuple[ResidualOutcome, Z2Outcome]:
    """Both ES tests over the days that have an ES forecast."""
    days = series.has_es
    if not days.any():
        return ResidualOutcome(reason=_NO_ES), Z2Outcome(None, critical_values_apply=False, reason=_NO_ES)
    pnl, var, es = series.pnl[days], series.var[days], series.es[days]
    return (
        residual_test(pnl, var, es, for_residuals, simulations),
        acerbi_szekely(pnl, var, es, confidence, for_z2, simulations),
    )


def _streams(seed: int) -> list[np.random.Generator]:
    """Independent generators for the four simulated tests, so that one test does not move the numbers of another."""
    if seed < 0:
        raise RiskInputError(f"seed is {seed}; it must not be negative")
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)]
