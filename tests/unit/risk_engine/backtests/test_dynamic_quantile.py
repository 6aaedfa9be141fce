"""The dynamic quantile test against plain least squares, its degenerate designs, and the level that it keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.risk.engine.backtests import dynamic_quantile, unconditional_coverage
from assets.risk.engine.backtests.dynamic_quantile import LAGS, SparseSeries, random_series, statistics_of


def by_least_squares(hits: np.ndarray, var: np.ndarray, probability: float) -> tuple[float, int]:
    """The statistic and the rank as the paper writes them."""
    centred = hits - probability
    lags = [centred[LAGS - lag : -lag] for lag in range(1, LAGS + 1)]
    design = np.column_stack([np.ones(hits.size - LAGS), *lags, var[LAGS:]])
    coefficients, _, rank, _ = np.linalg.lstsq(design, centred[LAGS:], rcond=1e-10)
    fitted = design @ coefficients
    return float(fitted @ fitted) / (probability * (1 - probability)), int(rank)


def volatile_forecasts(observations: int, generator: np.random.Generator) -> np.ndarray:
    """A Value at Risk in USD that wanders."""
    return 2e5 * np.exp(np.cumsum(generator.normal(scale=0.03, size=observations)))


@pytest.mark.parametrize(("observations", "probability"), [(60, 0.3), (250, 0.05), (1000, 0.01)])
def test_dynamic_quantile__equals_least_squares(observations: int, probability: float) -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        hits, var = generator.random(observations) < probability, volatile_forecasts(observations, generator)
        outcome = dynamic_quantile(hits, var, probability)
        statistic, rank = by_least_squares(hits, var, probability)
        assert outcome.statistic == pytest.approx(statistic, rel=1e-8)
        assert outcome.degrees_of_freedom == rank


def test_dynamic_quantile__has_six_degrees_of_freedom() -> None:
    generator = np.random.default_rng(4)
    outcome = dynamic_quantile(generator.random(500) < 0.05, volatile_forecasts(500, generator), 0.05)
    assert outcome.degrees_of_freedom == 6


@pytest.mark.parametrize("level", [0.0, 1e-3, 123_456.78])
def test_dynamic_quantile__loses_a_degree_of_freedom_to_a_constant_forecast(level: float) -> None:
    hits = np.random.default_rng(4).random(500) < 0.05
    outcome = dynamic_quantile(hits, np.full(500, level), 0.05)
    assert outcome.degrees_of_freedom == 5
    assert outcome.statistic == pytest.approx(by_least_squares(hits, np.ones(500), 0.05)[0])


def test_dynamic_quantile__does_not_depend_on_the_unit_of_the_forecast() -> None:
    generator = np.random.default_rng(6)
    hits, var = generator.random(400) < 0.05, volatile_forecasts(400, generator)
    assert dynamic_quantile(hits, var, 0.05).statistic == pytest.approx(
        dynamic_quantile(hits, var / 1e9, 0.05).statistic
    )


def test_dynamic_quantile__catches_clusters_that_kupiec_passes() -> None:
    hits = np.zeros(250, dtype=bool)
    for start in (50, 120, 200):
        hits[start : start + 4] = True
    outcome = dynamic_quantile(hits, np.full(250, 1e4), 0.05, np.random.default_rng(1))
    assert not unconditional_coverage(12, 250, 0.05).rejects()
    assert outcome.rejects(0.01)


def test_dynamic_quantile__catches_forecasts_that_predict_their_own_failure() -> None:
    var = np.where(np.arange(500) // 50 % 2 == 0, 1e4, 2e4)
    hits = np.zeros(500, dtype=bool)
    hits[np.flatnonzero(var == 1e4)[::10]] = True
    outcome = dynamic_quantile(hits, var, 0.05, np.random.default_rng(1))
    assert not unconditional_coverage(int(hits.sum()), 500, 0.05).rejects()
    assert outcome.rejects(0.01)


def test_dynamic_quantile__has_no_statistic_without_exceptions() -> None:
    outcome = dynamic_quantile(np.zeros(250, dtype=bool), np.ones(250), 0.01, np.random.default_rng(1))
    assert outcome.statistic is None
    assert outcome.reason == "there is no exception, so that nothing can be regressed on lagged ones"


@pytest.mark.parametrize("observations", [0, 1, 4, 10])
def test_dynamic_quantile__has_no_statistic_for_a_short_series(observations: int) -> None:
    outcome = dynamic_quantile(np.ones(observations, dtype=bool), np.ones(observations), 0.01)
    assert outcome.statistic is None
    assert outcome.reason == "a regression with 6 coefficients needs more than 10 days"


@pytest.mark.parametrize("day", [0, 2, 100, 245, 249], ids=["first", "among the first", "inside", "near end", "last"])
def test_dynamic_quantile__copes_with_a_single_exception(day: int) -> None:
    hits = np.zeros(250, dtype=bool)
    hits[day] = True
    outcome = dynamic_quantile(hits, np.ones(250), 0.01, np.random.default_rng(1))
    statistic, rank = by_least_squares(hits, np.ones(250), 0.01)
    assert outcome.statistic == pytest.approx(statistic)
    assert outcome.degrees_of_freedom == rank


def test_dynamic_quantile__rejects_a_series_of_exceptions_only() -> None:
    outcome = dynamic_quantile(np.ones(250, dtype=bool), np.ones(250), 0.01, np.random.default_rng(1))
    assert outcome.degrees_of_freedom == 1
    assert outcome.statistic == pytest.approx(246 * 0.99**2 / (0.01 * 0.99))
    assert outcome.rejects(0.01)


def test_dynamic_quantile__keeps_its_level_where_chi_square_does_not() -> None:
    generator = np.random.default_rng(8)
    outcomes = [
        dynamic_quantile(generator.random(500) < 0.01, volatile_forecasts(500, generator), 0.01, generator, 199)
        for _ in range(300)
    ]
    assert np.mean([outcome.rejects() for outcome in outcomes]) <= 0.09
    assert np.mean([(outcome.p_value or 1.0) < 0.05 for outcome in outcomes]) > 0.12


def test_random_series__has_the_promised_probability_up_to_its_last_day() -> None:
    sparse = random_series(100, 0.05, 20_000, np.random.default_rng(9))
    per_day = np.bincount(sparse.day, minlength=100) / sparse.count
    assert sparse.day.max() == 99
    assert sparse.series.max() == sparse.count - 1
    assert per_day == pytest.approx(np.full(100, 0.05), abs=5 * (0.05 * 0.95 / sparse.count) ** 0.5)


@settings(max_examples=80)
@given(
    rows=st.lists(st.lists(st.booleans(), min_size=16, max_size=16), min_size=1, max_size=4).map(np.array),
    slope=st.sampled_from([0.0, 0.1]),
)
def test_statistics_of__equal_least_squares_for_any_exceptions(rows: np.ndarray, slope: float) -> None:
    series, day = np.nonzero(rows)
    forecast = slope * np.sin(np.arange(16.0))[LAGS:]
    found = statistics_of(SparseSeries(series, day, rows.shape[0], 16), forecast - forecast.mean(), 0.05)
    for hits, statistic in zip(rows, found, strict=True):
        expected, _ = by_least_squares(hits, 1 + slope * np.sin(np.arange(16.0)), 0.05)
        assert statistic == pytest.approx(expected, rel=1e-6, abs=1e-8)
