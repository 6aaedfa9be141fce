"""The copula gives back what the returns were drawn from, within what their number allows, and only then."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

from assets.risk.engine.copula import PATHS, simulate
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.estimators import Floats

SCALES = np.array([0.01, 0.03, 0.06])
CORRELATION = np.array([[1.0, 0.7, 0.2], [0.7, 1.0, -0.3], [0.2, -0.3, 1.0]])
DEGREES = 4.0
ORDERS = [[0, 1, 3, 2, 4], [4, 2, 1, 0, 3], [4, 0, 2, 1, 3], [0, 3, 2, 1, 4]]


@cache
def drawn_from(observations: int = 1_500) -> Floats:
    """Returns of a multivariate Student-t with four degrees of freedom."""
    generator = np.random.default_rng(17)
    normal = generator.standard_normal((observations, 3)) @ np.linalg.cholesky(CORRELATION).T
    return np.asarray(normal * np.sqrt(DEGREES / generator.chisquare(DEGREES, observations))[:, None] * SCALES)


@cache
def simulated() -> Floats:
    return simulate(drawn_from(), seed=1)


def test_copula__gives_back_the_margins() -> None:
    found = simulated()
    assert found.shape == (PATHS, 3)
    for share in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
        quantiles = np.quantile(found, share, axis=0) / SCALES
        assert quantiles == pytest.approx(np.full(3, stats.t.ppf(share, DEGREES)), rel=0.2, abs=0.06)


def test_copula__gives_back_the_dependence() -> None:
    found = simulated()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        tau = stats.kendalltau(found[:, one], found[:, other]).statistic
        assert np.sin(np.pi / 2 * tau) == pytest.approx(CORRELATION[one, other], abs=0.07)


def test_copula__lets_extremes_come_together_more_often_than_a_normal_one() -> None:
    found = simulated()
    low = found <= np.quantile(found, 0.005, axis=0)
    together = (low[:, 0] & low[:, 1]).mean() / 0.005
    normal = stats.multivariate_normal.cdf([stats.norm.ppf(0.005)] * 2, cov=CORRELATION[:2, :2]) / 0.005
    assert together > 1.3 * normal


def test_copula__follows_from_the_seed() -> None:
    returns = drawn_from()[:200]
    first = simulate(returns, seed=5, paths=500)
    np.testing.assert_array_equal(simulate(returns, seed=5, paths=500), first)
    assert (simulate(returns, seed=6, paths=500) != first).any()


def test_copula__takes_no_price_below_zero() -> None:
    wild = np.random.default_rng(2).standard_t(2, (100, 2)) * 0.8
    found = simulate(wild, seed=1, paths=5_000)
    assert found.min() == -1.0
    assert (found == -1.0).mean() > 0.01
    assert found.max() > 1.0


@pytest.mark.parametrize("observations", [0, 1, 59])
def test_copula__refuses_fewer_than_sixty_returns(observations: int) -> None:
    assert np.isfinite(simulate(drawn_from()[:60], seed=1, paths=100)).all()
    with pytest.raises(RiskInputError) as refused:
        simulate(drawn_from()[:observations], seed=1)
    assert str(refused.value) == f"a copula needs at least 60 days with a return of each asset, not {observations}"


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf])
def test_copula__refuses_a_return_that_is_unknown(unknown: float) -> None:
    returns = drawn_from()[:100].copy()
    returns[50, 1] = unknown
    with pytest.raises(RiskInputError, match="a return of each asset"):
        simulate(returns, seed=1)


def test_copula__of_one_asset_is_its_margin() -> None:
    found = simulate(drawn_from()[:, :1], seed=3)
    assert found.shape == (PATHS, 1)
    quantiles = np.quantile(found, [0.01, 0.99])
    assert quantiles == pytest.approx(stats.t.ppf([0.01, 0.99], DEGREES) * SCALES[0], rel=0.2)


def test_copula__keeps_a_column_that_never_moved_and_leaves_the_others_theirs() -> None:
    returns = np.column_stack([np.zeros(200), drawn_from()[:200, :2]])
    found = simulate(returns, seed=3, paths=5_000)
    assert not found[:, 0].any()
    assert found[:, 1:].std(axis=0) == pytest.approx(returns[:, 1:].std(axis=0), rel=0.4)
    assert stats.kendalltau(found[:, 1], found[:, 2]).statistic > 0.3


def test_copula__takes_the_same_asset_twice_and_its_opposite() -> None:
    one = drawn_from()[:200, :1]
    found = simulate(np.hstack([one, one, -one]), seed=3, paths=2_000)
    assert np.abs(found[:, 0] - found[:, 1]).max() < 0.01
    assert np.abs(found[:, 0] + found[:, 2]).max() < 0.01


def test_copula__takes_pairs_whose_estimates_make_no_correlation_matrix() -> None:
    # Five levels in four orders, found by search: what is estimated pair by pair contradicts itself.
    levels = np.repeat(np.array(ORDERS).T, 16, axis=0)
    returns = levels / 100 - 0.02 + np.random.default_rng(1).normal(0, 1e-4, levels.shape)
    taus = [[stats.kendalltau(one, other).statistic for one in returns.T] for other in returns.T]
    assert np.linalg.eigvalsh(np.sin(np.pi / 2 * np.array(taus)))[0] < -0.1
    found = simulate(returns, seed=3, paths=1_000)
    assert np.isfinite(found).all()
    assert found.std(axis=0) == pytest.approx(returns.std(axis=0), rel=0.2)
