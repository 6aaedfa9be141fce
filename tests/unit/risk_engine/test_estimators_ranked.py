"""Estimators that rank losses: historical simulation, age-weighted, and scaled by volatility, each by a plain loop."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.estimators import (
    AGE_DECAY,
    Floats,
    Tail,
    age_weighted,
    age_weights,
    bootstrap_intervals,
    ewma_variances,
    historical,
    volatility_scaled_returns,
    worst_losses,
)
from assets.risk.engine.levels import STANDARD_CONFIDENCES, tail_ranks

LEVELS = [*STANDARD_CONFIDENCES, Decimal("0.75")]
SHAPES = [(1, 1), (1, 2), (3, 60), (4, 250), (2, 500), (2, 1000)]


def pnl_of(portfolios: int, scenarios: int, seed: int = 1) -> Floats:
    """Heavy-tailed P&L with some ties."""
    drawn = np.random.default_rng(seed).standard_t(3, (portfolios, scenarios)) * 1_000
    return np.asarray(np.round(drawn, -1))


@pytest.mark.parametrize(("portfolios", "scenarios"), SHAPES)
def test_historical__is_the_kth_worst_loss_and_the_mean_of_the_k_worst(portfolios: int, scenarios: int) -> None:
    pnl = pnl_of(portfolios, scenarios)
    for confidence, tail in zip(LEVELS, historical(pnl, LEVELS), strict=True):
        k = math.ceil(scenarios * (1 - Fraction(confidence)))
        ranks = tail_ranks(scenarios, confidence)
        assert tail.confidence == confidence
        for place, row in enumerate(pnl.tolist()):
            losses = sorted((-each for each in row), reverse=True)
            assert tail.var[place] == losses[k - 1]
            assert tail.es[place] == pytest.approx(math.fsum(losses[:k]) / k, rel=1e-12)
            bounds = (tail.var_lower[place], tail.var_upper[place])
            expected = (losses[rank - 1] if rank else math.nan for rank in (ranks.lower, ranks.upper))
            assert bounds == pytest.approx(tuple(expected), nan_ok=True, abs=0)
        assert np.isnan([tail.es_lower, tail.es_upper]).all()


def test_historical__takes_any_confidences_in_any_order() -> None:
    pnl = pnl_of(3, 250)
    mixed = [Decimal("0.99"), Decimal("0.6"), Decimal("0.99")]
    for confidence, tail in zip(mixed, historical(pnl, mixed), strict=True):
        (alone,) = historical(pnl, [confidence])
        np.testing.assert_array_equal(tail.var, alone.var)
        np.testing.assert_array_equal(tail.es, alone.es)
    assert historical(pnl, []) == []


@pytest.mark.parametrize("count", [1, 2, 249, 250])
def test_worst_losses__come_from_the_worst_on(count: int) -> None:
    pnl = pnl_of(3, 250)
    np.testing.assert_array_equal(worst_losses(pnl, count), -np.sort(pnl, axis=1)[:, :count])


def test_unknown_pnl__of_a_row_is_nan_and_leaves_other_rows_alone() -> None:
    pnl = pnl_of(3, 250)
    pnl[1] = np.nan
    for estimate in (historical, age_weighted):
        for tail, whole in zip(estimate(pnl, LEVELS), estimate(pnl[[0, 2]], LEVELS), strict=True):
            assert np.isnan([tail.var[1], tail.es[1]]).all()
            np.testing.assert_array_equal(tail.var[[0, 2]], whole.var)
            np.testing.assert_array_equal(tail.es[[0, 2]], whole.es)


@pytest.mark.parametrize("estimate", [historical, age_weighted])
@pytest.mark.parametrize("shape", [(5,), (0,), (2, 0), (2, 5, 1)])
def test_estimator__refuses_what_is_not_portfolios_by_scenarios(estimate: object, shape: tuple[int, ...]) -> None:
    assert callable(estimate)
    with pytest.raises(RiskInputError, match=r"portfolios x scenarios|at least one scenario"):
        estimate(np.zeros(shape), LEVELS)


@pytest.mark.parametrize("estimate", [historical, age_weighted])
def test_estimator__of_no_portfolios_is_empty(estimate: object) -> None:
    assert callable(estimate)
    assert [tail.var.shape for tail in estimate(np.empty((0, 60)), LEVELS)] == [(0,)] * len(LEVELS)


@pytest.mark.parametrize("loss", [0.1, 0.3, 1 / 3, 1e-18, 1e18])
def test_historical__es_of_losses_that_are_alike_is_not_below_var(loss: float) -> None:
    levels = [Decimal("0.99") - Decimal(step) / 1000 for step in range(100)]
    for tail in historical(np.full((1, 100), -loss), levels):
        assert tail.var[0] == loss
        assert loss <= tail.es[0] <= loss * (1 + 1e-15)


@pytest.mark.parametrize(("observations", "decay"), [(1, 0.98), (2, 0.5), (250, 0.98), (1000, 0.999), (3, 1e-9)])
def test_age_weights__sum_to_one_and_fall_by_the_decay_with_age(observations: int, decay: float) -> None:
    weights = age_weights(observations, decay)
    formula = [
        decay ** (observations - i) * (1 - decay) / (1 - decay**observations) for i in range(1, observations + 1)
    ]
    assert weights == pytest.approx(formula, rel=1e-12)
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_age_weights__refuse_a_decay_outside_nought_and_one(decay: float) -> None:
    with pytest.raises(RiskInputError, match="must lie between 0 and 1, both excluded"):
        age_weights(10, decay)


def weighted_by_a_loop(row: list[float], weights: list[float], confidence: Decimal) -> tuple[float, float]:
    """VaR and ES; of equal losses the older comes first."""
    order = sorted(range(len(row)), key=lambda place: (row[place], place))
    reached, lost = 0.0, 0.0
    for place in order:
        reached += weights[place]
        lost -= weights[place] * row[place]
        if reached >= float(1 - confidence) - 1e-13:
            return -row[place], lost / reached
    raise AssertionError("the weights do not sum to one")


@pytest.mark.parametrize("decay", [AGE_DECAY, 0.9, 0.995])
@pytest.mark.parametrize(("portfolios", "scenarios"), SHAPES)
def test_age_weighted__is_where_the_weights_reach_the_tail(portfolios: int, scenarios: int, decay: float) -> None:
    pnl = pnl_of(portfolios, scenarios)
    weights = age_weights(scenarios, decay).tolist()
    for confidence, tail in zip(LEVELS, age_weighted(pnl, LEVELS, decay), strict=True):
        for place, row in enumerate(pnl.tolist()):
            var, es = weighted_by_a_loop(row, weights, confidence)
            assert tail.var[place] == var
            assert tail.es[place] == pytest.approx(es, rel=1e-9)
        assert np.isnan([tail.var_lower, tail.var_upper, tail.es_lower, tail.es_upper]).all()


# A number of scenarios of which no tail ends just at a whole one, so that nearly equal weights cannot stop before it.
@pytest.mark.parametrize("scenarios", [251, 503, 997])
def test_age_weighted__tends_to_historical_as_the_decay_tends_to_one(scenarios: int) -> None:
    pnl = pnl_of(3, scenarios)
    found, plain = age_weighted(pnl, STANDARD_CONFIDENCES, 1 - 1e-9), historical(pnl, STANDARD_CONFIDENCES)
    for tail, like in zip(found, plain, strict=True):
        np.testing.assert_array_equal(tail.var, like.var)
        np.testing.assert_allclose(tail.es, like.es, rtol=1e-6)


@pytest.mark.parametrize("scenarios", [100, 250, 500, 1000])
def test_age_weighted__of_equal_weights_is_historical(scenarios: int) -> None:
    pnl = pnl_of(3, scenarios)
    # Each scenario drawn once, with the same weight: five of 500 make 1% although a fifth of a percent is no float.
    once = np.ones((1, scenarios), dtype=np.int64)
    found = bootstrap_intervals(pnl, LEVELS, once, np.full(scenarios, 1 / scenarios))
    for (var, _, es, _), like in zip(found, historical(pnl, LEVELS), strict=True):
        np.testing.assert_array_equal(var, like.var)
        np.testing.assert_allclose(es, like.es, rtol=1e-12)


def test_age_weighted__lets_a_recent_loss_count_for_more() -> None:
    old, new = np.zeros(500), np.zeros(500)
    old[0], new[-1] = -100.0, -100.0
    (tail,) = age_weighted(np.vstack([old, new]), [Decimal("0.99")])
    assert tail.var.tolist() == [0.0, 100.0]


def scaled_by_a_loop(column: list[float], decay: float = 0.94) -> list[float]:
    """Each return times the volatility forecast for tomorrow by that which was made for its own day."""
    mean = math.fsum(column) / len(column)
    forecasts = [math.fsum((each - mean) ** 2 for each in column) / len(column)]
    for each in column:
        forecasts.append(decay * forecasts[-1] + (1 - decay) * each**2)
    return [each * math.sqrt(forecasts[-1] / made) for each, made in zip(column, forecasts, strict=False)]


@pytest.mark.parametrize("scenarios", [2, 60, 500])
def test_volatility_scaled__returns_are_those_of_a_loop(scenarios: int) -> None:
    returns = np.random.default_rng(3).standard_t(4, (scenarios, 3)) * [0.01, 0.03, 0.08]
    found = volatility_scaled_returns(returns)
    assert found.shape == returns.shape
    for asset in range(3):
        assert found[:, asset] == pytest.approx(scaled_by_a_loop(returns[:, asset].tolist()), rel=1e-9)


def test_ewma_variances__are_forecast_before_the_day_and_the_last_is_for_tomorrow() -> None:
    returns = np.array([[0.01], [-0.03], [0.02]])
    seed = 0.0014 / 3
    expected = [seed, 0.94 * seed + 0.06 * 1e-4]
    expected += [0.94 * expected[-1] + 0.06 * 9e-4]
    expected += [0.94 * expected[-1] + 0.06 * 4e-4]
    assert ewma_variances(returns)[:, 0] == pytest.approx(expected)
    changed = returns.copy()
    changed[1] = 0.03
    # The sign of a return moves the seed alone, through the mean.
    assert ewma_variances(changed)[0, 0] == pytest.approx(np.var([0.01, 0.03, 0.02]))


def test_volatility_scaled__leaves_a_column_that_never_moved_at_zero() -> None:
    returns = np.column_stack([np.zeros(60), np.random.default_rng(3).normal(0, 0.02, 60)])
    found = volatility_scaled_returns(returns)
    assert not found[:, 0].any()
    assert found[:, 1] == pytest.approx(scaled_by_a_loop(returns[:, 1].tolist()))


def test_tail__entries_stand_in_the_order_of_portfolios() -> None:
    pnl = pnl_of(5, 250)
    tails: list[Tail] = [*historical(pnl, LEVELS), *age_weighted(pnl, LEVELS)]
    turned: list[Tail] = [*historical(pnl[::-1], LEVELS), *age_weighted(pnl[::-1], LEVELS)]
    for tail, other in zip(tails, turned, strict=True):
        np.testing.assert_array_equal(tail.var, other.var[::-1])
        np.testing.assert_array_equal(tail.es, other.es[::-1])
