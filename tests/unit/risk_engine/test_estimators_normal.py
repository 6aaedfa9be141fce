"""The normal methods against covariance matrices by hand, published reference values, and the root of time."""

from __future__ import annotations

import math
from decimal import Decimal
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from assets.risk.engine.estimators import (
    EWMA_DECAY,
    Floats,
    Tail,
    delta_normal,
    ewma_delta_normal,
    historical,
    scaled_by_root_of_time,
)
from assets.risk.engine.levels import STANDARD_CONFIDENCES

Z95, Z975, Z99 = (Decimal(text) for text in ("0.95", "0.975", "0.99"))
EXPOSURES = np.array([[10_000.0, 0.0, 0.0], [5_000.0, -2_500.0, 7_000.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])


def returns_of(scenarios: int, seed: int = 5) -> Floats:
    """Three correlated columns with a mean that is not zero."""
    common, own = np.random.default_rng(seed).normal(0.001, 0.02, (2, scenarios, 3))
    return np.asarray(common[:, :1] + own)


def ratios(confidence: Decimal) -> tuple[float, float]:
    """VaR and ES of a standard normal."""
    z = NormalDist().inv_cdf(float(confidence))
    return z, NormalDist().pdf(z) / float(1 - confidence)


def population_covariance(returns: Floats) -> Floats:
    rows, columns = returns.shape
    means = [math.fsum(returns[:, place]) / rows for place in range(columns)]
    return np.array(
        [
            [
                math.fsum((a - means[i]) * (b - means[j]) for a, b in zip(returns[:, i], returns[:, j], strict=True))
                / rows
                for j in range(columns)
            ]
            for i in range(columns)
        ]
    )


def ewma_covariance(returns: Floats) -> Floats:
    """V <- .94 V + .06 r r', seeded with the population covariance."""
    covariance = population_covariance(returns)
    for day in returns:
        covariance = 0.94 * covariance + 0.06 * np.outer(day, day)
    return covariance


@pytest.mark.parametrize("scenarios", [2, 60, 500])
@pytest.mark.parametrize(
    ("estimate", "covariance"), [(delta_normal, population_covariance), (ewma_delta_normal, ewma_covariance)]
)
def test_normal__sigma_is_that_of_the_exposures_and_the_covariance_of_returns(
    estimate: object, covariance: object, scenarios: int
) -> None:
    assert callable(estimate)
    assert callable(covariance)
    returns = returns_of(scenarios)
    matrix = covariance(returns)
    for confidence, tail in zip(
        STANDARD_CONFIDENCES, estimate(EXPOSURES @ returns.T, STANDARD_CONFIDENCES), strict=True
    ):
        sigmas = np.array([math.sqrt(exposure @ matrix @ exposure) for exposure in EXPOSURES])
        z, shortfall = ratios(confidence)
        np.testing.assert_allclose(tail.var, z * sigmas, rtol=1e-9)
        np.testing.assert_allclose(tail.es, shortfall * sigmas, rtol=1e-9)


def test_normal__assumes_a_mean_of_zero() -> None:
    flat = np.full((1, 250), -100.0)
    for tail in delta_normal(flat, STANDARD_CONFIDENCES):
        assert tail.var[0] == tail.es[0] == 0
    # The EWMA takes raw second moments: a steady loss of 100 is a volatility that tends to 100.
    for tail in ewma_delta_normal(flat, STANDARD_CONFIDENCES):
        assert tail.var[0] == pytest.approx(100 * ratios(tail.confidence)[0], rel=1e-6)


@pytest.mark.parametrize(
    ("estimate", "worth"),
    [(delta_normal, 250), (ewma_delta_normal, round((1 + EWMA_DECAY) / (1 - EWMA_DECAY)))],
)
def test_normal__interval_is_that_of_the_sigma_of_a_normal_sample(estimate: object, worth: int) -> None:
    assert callable(estimate)
    pnl = EXPOSURES @ returns_of(250).T
    low, high = (math.sqrt(worth / stats.chi2.ppf(share, worth - 1)) for share in (0.975, 0.025))
    for tail in estimate(pnl, STANDARD_CONFIDENCES):
        np.testing.assert_allclose(tail.var_lower, tail.var * low, rtol=1e-12)
        np.testing.assert_allclose(tail.var_upper, tail.var * high, rtol=1e-12)
        np.testing.assert_allclose(tail.es_lower, tail.es * low, rtol=1e-12)
        np.testing.assert_allclose(tail.es_upper, tail.es * high, rtol=1e-12)


@pytest.mark.parametrize("estimate", [delta_normal, ewma_delta_normal])
def test_normal__of_one_scenario_has_no_interval_and_of_unknown_pnl_no_figure(estimate: object) -> None:
    assert callable(estimate)
    (alone,) = estimate(np.array([[5.0]]), [Z99])
    assert np.isnan([alone.var_lower, alone.var_upper, alone.es_lower, alone.es_upper]).all()
    (tail,) = estimate(np.vstack([np.full(60, np.nan), returns_of(60)[:, 0]]), [Z99])
    assert np.isnan([tail.var[0], tail.es[0], tail.var_lower[0], tail.es_upper[0]]).all()
    assert tail.var[1] > 0


def test_delta_normal__interval_covers_the_truth_as_often_as_promised() -> None:
    samples = np.random.default_rng(9).normal(0, 100, (4_000, 250))
    (tail,) = delta_normal(samples, [Z99])
    z, shortfall = ratios(Z99)
    covered = (tail.var_lower <= 100 * z) & (100 * z <= tail.var_upper)
    # Four standard errors of a rate of 95% of 4,000.
    assert covered.mean() == pytest.approx(0.95, abs=0.014)
    es_covered = (tail.es_lower <= 100 * shortfall) & (100 * shortfall <= tail.es_upper)
    np.testing.assert_array_equal(es_covered, covered)


# The table of reference values: a position of 10,000 with a volatility of 20% a year of 250 days.
VALUE, DAILY = 10_000.0, 0.2 / math.sqrt(250)
NORMAL_REFERENCE = {Z95: (208.1, 260.9), Z975: (247.9, 295.7), Z99: (294.3, 337.1)}
T4_REFERENCE = {Z95: 190.7, Z975: 248.3, Z99: 335.1}
# Midpoints of 200,000 slices of equal probability: a sample without noise.
SLICES = (np.arange(200_000) + 0.5) / 200_000


@pytest.mark.parametrize("estimate", [delta_normal, ewma_delta_normal])
def test_reference__normal_methods_of_alternating_returns(estimate: object) -> None:
    assert callable(estimate)
    pnl = VALUE * DAILY * np.where(np.arange(250) % 2, 1.0, -1.0)
    found = {tail.confidence: (tail.var[0], tail.es[0]) for tail in estimate(pnl[None, :], list(NORMAL_REFERENCE))}
    for confidence, expected in NORMAL_REFERENCE.items():
        assert found[confidence] == pytest.approx(expected, abs=0.05)


def test_reference__historical_of_normal_returns() -> None:
    pnl = VALUE * DAILY * stats.norm.ppf(SLICES)
    for tail in historical(pnl[None, :], list(NORMAL_REFERENCE)):
        assert (tail.var[0], tail.es[0]) == pytest.approx(NORMAL_REFERENCE[tail.confidence], abs=0.06)


def test_reference__historical_of_student_t4_returns_with_the_same_variance() -> None:
    # The variance of a t4 is 2. Its tail is flatter, but crosses that of the normal only beyond about 97.5%.
    pnl = VALUE * DAILY / math.sqrt(2) * stats.t.ppf(SLICES, 4)
    for tail in historical(pnl[None, :], list(T4_REFERENCE)):
        assert tail.var[0] == pytest.approx(T4_REFERENCE[tail.confidence], abs=0.1)


def test_root_of_time__scales_every_figure() -> None:
    tails = delta_normal(EXPOSURES @ returns_of(250).T, STANDARD_CONFIDENCES)
    tails.append(Tail(Z99, *(np.array([each, np.nan]) for each in (1.0, 2.0, 0.5, 1.5, 1.0, 3.0))))
    names = ("var", "es", "var_lower", "var_upper", "es_lower", "es_upper")
    for tail, longer in zip(tails, scaled_by_root_of_time(tails, 10), strict=True):
        assert longer.confidence == tail.confidence
        for name in names:
            np.testing.assert_allclose(getattr(longer, name), getattr(tail, name) * math.sqrt(10), rtol=1e-12)
    for tail, same in zip(tails, scaled_by_root_of_time(tails, 1), strict=True):
        np.testing.assert_array_equal(same.var, tail.var)


def test_root_of_time__is_right_for_independent_returns() -> None:
    daily = np.random.default_rng(4).normal(0, 100, (10, 200_000))
    (one_day,), (ten_days,) = (delta_normal(pnl, [Z99]) for pnl in (daily[:1], daily.sum(axis=0, keepdims=True)))
    (scaled,) = scaled_by_root_of_time([one_day], 10)
    assert scaled.var[0] == pytest.approx(ten_days.var[0], rel=0.01)
