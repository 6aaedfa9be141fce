"""A rolling forecast is what the estimator would have said on the day before, and nothing later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
import pytest

from assets.risk.engine import estimators, rolling
from assets.risk.engine.batch import Histories, Question, answer
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.estimators import Floats, Tail
from assets.risk.engine.levels import STANDARD_CONFIDENCES
from assets.risk.engine.methods import Method
from assets.risk.engine.rolling import METHODS, rolling_forecasts

WINDOW = 60
EXPOSURES = np.array([5_000.0, -2_000.0, 1_000.0])
ESTIMATES: dict[Method, Callable[[Floats, Sequence[Decimal]], list[Tail]]] = {
    Method.HISTORICAL: estimators.historical,
    Method.AGE_WEIGHTED: estimators.age_weighted,
    Method.VOLATILITY_SCALED: estimators.historical,
    Method.DELTA_NORMAL: estimators.delta_normal,
    Method.EWMA_DELTA_NORMAL: estimators.ewma_delta_normal,
}
every_method = pytest.mark.parametrize("method", METHODS)


def returns_of(days: int) -> Floats:
    common, own = np.random.default_rng(51).standard_t(4, (2, days, 3)) * 0.02
    return np.asarray(common[:, :1] + own)


def single(method: Method, returns: Floats, exposures: Floats) -> list[Tail]:
    """The estimate of one window."""
    if method is Method.VOLATILITY_SCALED:
        returns = estimators.volatility_scaled_returns(returns)
    return ESTIMATES[method]((returns @ exposures)[None, :], STANDARD_CONFIDENCES)


def figures(tails: Sequence[Tail]) -> Floats:
    """Shape (confidences, VaR and ES, days)."""
    return np.array([[tail.var, tail.es] for tail in tails])


@every_method
@pytest.mark.parametrize("chunk", [7, 500])
def test_forecasts__are_the_estimates_of_each_window(
    monkeypatch: pytest.MonkeyPatch, method: Method, chunk: int
) -> None:
    monkeypatch.setattr(rolling, "CHUNK", chunk)
    returns = returns_of(100)
    found = rolling_forecasts(returns, EXPOSURES, WINDOW, method, STANDARD_CONFIDENCES)
    assert [tail.confidence for tail in found] == list(STANDARD_CONFIDENCES)
    expected = np.concatenate(
        [figures(single(method, returns[day : day + WINDOW], EXPOSURES)) for day in range(40)], axis=2
    )
    assert figures(found).shape == (4, 2, 40)
    np.testing.assert_allclose(figures(found), expected, rtol=1e-9)


@every_method
def test_forecast__is_the_answer_on_the_closes_of_the_day_before(
    make_histories: Callable[..., Histories], method: Method
) -> None:
    returns = returns_of(WINDOW + 1)
    tails = rolling_forecasts(returns, EXPOSURES, WINDOW, method, STANDARD_CONFIDENCES)
    histories = make_histories({"A": returns[:-1, 0], "B": returns[:-1, 1], "C": returns[:-1, 2]})
    asked = Question(method, 1, WINDOW, STANDARD_CONFIDENCES)
    then = answer(asked, EXPOSURES[None, :], histories, intervals=False)
    np.testing.assert_allclose(figures(tails), figures(then.tails), rtol=1e-9)


@every_method
def test_forecast__does_not_look_at_its_own_day_or_a_later_one(method: Method) -> None:
    returns = returns_of(100)
    before = figures(rolling_forecasts(returns, EXPOSURES, WINDOW, method, STANDARD_CONFIDENCES))
    for day in (99, 80):
        changed = returns.copy()
        changed[day] = -0.9
        after = figures(rolling_forecasts(changed, EXPOSURES, WINDOW, method, STANDARD_CONFIDENCES))
        np.testing.assert_array_equal(after[:, :, : day - WINDOW + 1], before[:, :, : day - WINDOW + 1])
        assert (after[:, :, day - WINDOW + 1 :] != before[:, :, day - WINDOW + 1 :]).any() == (day < 99)


@every_method
def test_forecast__of_a_window_with_an_unknown_return_is_unknown(method: Method) -> None:
    returns = returns_of(150)
    holed = returns.copy()
    holed[70, 1] = np.nan
    tails = rolling_forecasts(holed, EXPOSURES, WINDOW, method, STANDARD_CONFIDENCES)
    found = figures(tails)
    whole = figures(rolling_forecasts(returns, EXPOSURES, WINDOW, method, STANDARD_CONFIDENCES))
    # The forecasts for the 60 days after day 70 rest on it.
    lacking = np.zeros(90, dtype=bool)
    lacking[11:71] = True
    assert np.isnan(found[:, :, lacking]).all()
    for tail in tails:
        bounds = np.array([tail.var_lower, tail.var_upper, tail.es_lower, tail.es_upper])
        assert np.isnan(bounds[:, lacking]).all()
    np.testing.assert_allclose(found[:, :, ~lacking], whole[:, :, ~lacking], rtol=1e-9)


@every_method
def test_forecast__does_not_need_returns_of_an_asset_without_exposure(method: Method) -> None:
    returns = returns_of(80)
    holed = returns.copy()
    holed[:, 1] = np.nan
    exposures = np.array([5_000.0, 0.0, 1_000.0])
    np.testing.assert_allclose(
        figures(rolling_forecasts(holed, exposures, WINDOW, method, STANDARD_CONFIDENCES)),
        figures(rolling_forecasts(returns[:, [0, 2]], exposures[[0, 2]], WINDOW, method, STANDARD_CONFIDENCES)),
        rtol=1e-12,
    )


@every_method
def test_forecast__of_no_exposure_is_nought_and_of_an_unvalued_one_unknown(method: Method) -> None:
    returns = returns_of(70)
    assert not figures(rolling_forecasts(returns, np.zeros(3), WINDOW, method, STANDARD_CONFIDENCES)).any()
    unvalued = np.array([1.0, np.nan, 0.0])
    assert np.isnan(figures(rolling_forecasts(returns, unvalued, WINDOW, method, STANDARD_CONFIDENCES))).all()


@every_method
def test_forecasts__are_one_a_day_and_es_is_not_below_var(method: Method) -> None:
    for tail in rolling_forecasts(returns_of(90), EXPOSURES, WINDOW, method, STANDARD_CONFIDENCES):
        shapes = {each.shape for each in (tail.var, tail.es, tail.var_lower, tail.var_upper, tail.es_lower)}
        assert shapes == {(30,)}
        assert (tail.es >= tail.var).all()


def test_copula__is_refused() -> None:
    with pytest.raises(RiskInputError, match="student_t_copula is not backtested over history"):
        rolling_forecasts(returns_of(100), EXPOSURES, WINDOW, Method.T_COPULA, STANDARD_CONFIDENCES)


@every_method
@pytest.mark.parametrize("days", [0, 1, WINDOW])
def test_history__no_longer_than_the_window_is_refused(method: Method, days: int) -> None:
    with pytest.raises(RiskInputError) as refused:
        rolling_forecasts(returns_of(100)[:days], EXPOSURES, WINDOW, method, STANDARD_CONFIDENCES)
    assert str(refused.value) == f"a history of {days} returns leaves no day after a window of {WINDOW}"


@every_method
def test_confidence__outside_a_half_and_one_is_refused(method: Method) -> None:
    with pytest.raises(RiskInputError, match="is not between"):
        rolling_forecasts(returns_of(70), EXPOSURES, WINDOW, method, [Decimal("0.99"), Decimal("0.3")])
