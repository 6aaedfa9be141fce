"""What every estimator owes: coherence where it can have it, and figures that do not depend on order or unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from assets.risk.engine import estimators
from assets.risk.engine.estimators import Floats, Tail
from assets.risk.engine.methods import Method

untimed = settings(deadline=None)
CONFIDENCES = [Decimal(text) for text in ("0.6", "0.9", "0.95", "0.975", "0.99", "0.999")]

Estimate = Callable[[Floats, Floats], list[Tail]]


def _of_pnl(estimate: Callable[[Floats, Sequence[Decimal]], list[Tail]]) -> Estimate:
    return lambda returns, exposures: estimate((returns @ exposures)[None, :], CONFIDENCES)


def _volatility_scaled(returns: Floats, exposures: Floats) -> list[Tail]:
    pnl = estimators.volatility_scaled_returns(returns) @ exposures
    return estimators.historical(pnl[None, :], CONFIDENCES)


METHODS: dict[Method, Estimate] = {
    Method.HISTORICAL: _of_pnl(estimators.historical),
    Method.AGE_WEIGHTED: _of_pnl(estimators.age_weighted),
    Method.VOLATILITY_SCALED: _volatility_scaled,
    Method.DELTA_NORMAL: _of_pnl(estimators.delta_normal),
    Method.EWMA_DELTA_NORMAL: _of_pnl(estimators.ewma_delta_normal),
}
every_method = pytest.mark.parametrize("method", METHODS)


@dataclass(frozen=True)
class Case:
    """Returns in 1,024ths and exposures in whole dollars, so that P&L is exact and ties stay ties in any order."""

    returns: Floats
    exposures: Floats

    @property
    def pnl(self) -> Floats:
        return self.returns @ self.exposures


@st.composite
def cases(draw: st.DrawFn) -> Case:
    scenarios, assets = draw(st.integers(2, 80)), draw(st.integers(1, 4))
    moves = draw(arrays(np.int64, (scenarios, assets), elements=st.integers(-600, 1_500)))
    exposures = draw(arrays(np.int64, assets, elements=st.integers(-(10**6), 10**6)))
    return Case(moves / 1024, exposures.astype(np.float64))


def figures(tails: Sequence[Tail]) -> tuple[Floats, Floats]:
    """VaR and ES by confidence."""
    return np.array([tail.var[0] for tail in tails]), np.array([tail.es[0] for tail in tails])


def close_to(expected: Floats, scale: float) -> object:
    """Equal but for rounding, which is of the size of the P&L and not of the figure."""
    return pytest.approx(expected, rel=1e-9, abs=1e-9 * (scale + 1e-300))


def size(case: Case) -> float:
    """How large the figures of a case can be, those of scaled returns included."""
    scaled = estimators.volatility_scaled_returns(case.returns)
    return float((np.abs(case.returns) + np.abs(scaled)).max() * np.abs(case.exposures).sum())


@every_method
@untimed
@given(case=cases())
def test_es__is_not_below_var(method: Method, case: Case) -> None:
    var, es = figures(METHODS[method](case.returns, case.exposures))
    assert (es >= var).all()


@every_method
@untimed
@given(
    pnl=arrays(np.float64, st.integers(1, 60), elements=st.sampled_from([-0.1, -1 / 3, -7e-9, 0.0, 0.7, 1e12, -1e12]))
)
def test_es__is_not_below_var_where_losses_tie(method: Method, pnl: Floats) -> None:
    var, es = figures(METHODS[method](pnl[:, None], np.array([0.3])))
    assert (es >= var).all()


@every_method
@untimed
@given(case=cases())
def test_figures__grow_with_confidence(method: Method, case: Case) -> None:
    var, es = figures(METHODS[method](case.returns, case.exposures))
    tolerance = 1e-9 * size(case)
    assert (np.diff(var) >= -tolerance).all()
    assert (np.diff(es) >= -tolerance).all()


@every_method
@untimed
@given(case=cases(), factor=st.integers(1, 10**6))
def test_figures__of_a_multiple_of_a_portfolio_are_that_multiple(method: Method, case: Case, factor: int) -> None:
    var, es = figures(METHODS[method](case.returns, case.exposures))
    times_var, times_es = figures(METHODS[method](case.returns, case.exposures * factor))
    assert times_var == close_to(var * factor, size(case) * factor)
    assert times_es == close_to(es * factor, size(case) * factor)


@pytest.mark.parametrize("estimate", [estimators.historical, estimators.age_weighted])
@untimed
@given(case=cases(), gain=st.integers(-(10**6), 10**6))
def test_simulation__falls_by_a_sure_gain(estimate: object, case: Case, gain: int) -> None:
    assert callable(estimate)
    var, es = figures(estimate(case.pnl[None, :], CONFIDENCES))
    less_var, less_es = figures(estimate(case.pnl[None, :] + gain, CONFIDENCES))
    scale = float(np.abs(case.pnl).max()) + abs(gain)
    assert less_var == close_to(var - gain, scale)
    assert less_es == close_to(es - gain, scale)


@pytest.mark.parametrize("method", [Method.HISTORICAL, Method.DELTA_NORMAL])
@untimed
@given(case=cases(), data=st.data())
def test_figures__do_not_depend_on_the_order_of_scenarios(method: Method, case: Case, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(case.returns))))
    var, es = figures(METHODS[method](case.returns, case.exposures))
    other_var, other_es = figures(METHODS[method](case.returns[order], case.exposures))
    assert other_var == close_to(var, size(case))
    assert other_es == close_to(es, size(case))


@every_method
@untimed
@given(case=cases(), data=st.data())
def test_figures__do_not_depend_on_the_order_of_assets(method: Method, case: Case, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(case.exposures))))
    var, es = figures(METHODS[method](case.returns, case.exposures))
    other_var, other_es = figures(METHODS[method](case.returns[:, order], case.exposures[order]))
    assert other_var == close_to(var, size(case))
    assert other_es == close_to(es, size(case))


@every_method
@untimed
@given(case=cases())
def test_figures__do_not_change_by_an_asset_without_exposure(method: Method, case: Case) -> None:
    var, es = figures(METHODS[method](case.returns, case.exposures))
    wider = np.column_stack([case.returns, case.returns[:, 0] * 2])
    other_var, other_es = figures(METHODS[method](wider, np.append(case.exposures, 0.0)))
    assert other_var == close_to(var, size(case))
    assert other_es == close_to(es, size(case))


@untimed
@given(one=cases(), data=st.data())
def test_historical_es__of_a_sum_is_at_most_the_sum(one: Case, data: st.DataObject) -> None:
    exposures = data.draw(arrays(np.int64, one.exposures.shape, elements=st.integers(-(10**6), 10**6)))
    other = Case(one.returns, exposures.astype(np.float64))
    both = METHODS[Method.HISTORICAL](one.returns, one.exposures + other.exposures)
    apart = [figures(METHODS[Method.HISTORICAL](each.returns, each.exposures))[1] for each in (one, other)]
    assert (figures(both)[1] <= sum(apart) + 1e-9 * (size(one) + size(other))).all()
