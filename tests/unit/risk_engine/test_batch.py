"""Many portfolios at once: the figures of each method, and how they are put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from assets.risk.engine import batch, estimators
from assets.risk.engine.batch import Answer, Histories, Question, answer
from assets.risk.engine.bootstrap import stationary_draws
from assets.risk.engine.copula import simulate
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.estimators import Floats, Tail
from assets.risk.engine.levels import STANDARD_CONFIDENCES
from assets.risk.engine.methods import HorizonRule, IntervalMethod, Method

WINDOW = 250
ASSETS = ("BTC", "ETH", "USDC")
FIGURES = ("var", "es", "var_lower", "var_upper", "es_lower", "es_upper")
# A long book, a hedged one, one that only borrows, and one of each asset alone.
EXPOSURES = np.array(
    [[8e4, 3e4, 0], [6e4, -2e4, -3e4], [0, -5e4, 0], [1e4, 0, 0], [0, 1e4, 0], [0, 0, 1e4]], dtype=np.float64
)
Make = Callable[..., Histories]


@pytest.fixture
def histories(make_histories: Make) -> Histories:
    generator = np.random.default_rng(21)
    common = generator.standard_t(4, 300) * 0.02
    return make_histories(
        {
            "BTC": common + generator.normal(0, 0.01, 300),
            "ETH": 1.3 * common + generator.normal(0, 0.02, 300),
            "USDC": generator.normal(0, 0.0005, 300),
        }
    )


def question(method: Method, horizon_days: int = 1, window: int = WINDOW) -> Question:
    return Question(method, horizon_days, window, STANDARD_CONFIDENCES)


def assert_same(found: list[Tail] | tuple[Tail, ...], expected: list[Tail], names: tuple[str, ...] = FIGURES) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.confidence == other.confidence
        for name in names:
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-9)


def ask(histories: Histories, method: Method, horizon_days: int = 1, exposures: Floats = EXPOSURES) -> Answer:
    return answer(question(method, horizon_days), exposures, histories)


@pytest.mark.parametrize(
    ("method", "estimate"),
    [
        (Method.HISTORICAL, estimators.historical),
        (Method.AGE_WEIGHTED, estimators.age_weighted),
        (Method.DELTA_NORMAL, estimators.delta_normal),
        (Method.EWMA_DELTA_NORMAL, estimators.ewma_delta_normal),
    ],
)
def test_answer__is_the_estimate_of_each_portfolios_pnl(histories: Histories, method: Method, estimate: object) -> None:
    assert callable(estimate)
    pnl = np.array([(histories.window(WINDOW, 1).returns * each).sum(axis=1) for each in EXPOSURES])
    found = ask(histories, method)
    assert_same(list(found.tails), estimate(pnl, STANDARD_CONFIDENCES), ("var", "es"))
    assert found.observations.tolist() == [WINDOW] * len(EXPOSURES)
    assert found.reasons == [None] * len(EXPOSURES)
    assert not found.is_fallback.any()
    assert found.seed is None


def test_answer__scales_returns_asset_by_asset(histories: Histories) -> None:
    returns = estimators.volatility_scaled_returns(histories.window(WINDOW, 1).returns)
    expected = estimators.historical(EXPOSURES @ returns.T, STANDARD_CONFIDENCES)
    assert_same(list(ask(histories, Method.VOLATILITY_SCALED).tails), expected, FIGURES[:4])


def test_answer__simulates_by_a_copula_fitted_once_to_all_assets(histories: Histories) -> None:
    found = ask(histories, Method.T_COPULA)
    expected = estimators.historical(EXPOSURES @ histories.paths(WINDOW).T, STANDARD_CONFIDENCES)
    assert_same(list(found.tails), expected)
    assert found.seed is not None
    assert found.seed == histories.seed(Method.T_COPULA, WINDOW)
    np.testing.assert_array_equal(histories.paths(WINDOW), simulate(histories.window(WINDOW, 1).returns, found.seed))
    # A portfolio alone has the figures that it has among others.
    assert_same(
        list(ask(histories, Method.T_COPULA, exposures=EXPOSURES[1:2]).tails),
        [Tail(tail.confidence, *(getattr(tail, name)[1:2] for name in FIGURES)) for tail in found.tails],
    )
    normal = ask(histories, Method.DELTA_NORMAL)
    np.testing.assert_allclose(found.tails[0].var, normal.tails[0].var, rtol=0.35)


def test_seed__follows_from_prices_day_method_and_window(histories: Histories) -> None:
    others = [
        histories.seed(Method.T_COPULA, 500),
        histories.seed("bootstrap", WINDOW, 1),
        Histories(histories.closes, ASSETS, histories.as_of, "px-other").seed(Method.T_COPULA, WINDOW),
        Histories(histories.closes, ASSETS, date(2026, 1, 29), "px-test").seed(Method.T_COPULA, WINDOW),
    ]
    assert len({histories.seed(Method.T_COPULA, WINDOW), *others}) == 5
    again = Histories(histories.closes, ASSETS, histories.as_of, histories.label)
    np.testing.assert_array_equal(again.paths(WINDOW), histories.paths(WINDOW))
    np.testing.assert_array_equal(again.draws(WINDOW, 1), histories.draws(WINDOW, 1))


@pytest.mark.parametrize("method", Method)
def test_horizon__of_ten_days_follows_the_rule_of_the_method(histories: Histories, method: Method) -> None:
    one_day, ten_days = (ask(histories, method, horizon) for horizon in (1, 10))
    if ten_days.question.rule is HorizonRule.SQUARE_ROOT:
        for short, long in zip(one_day.tails, ten_days.tails, strict=True):
            for name in FIGURES:
                np.testing.assert_allclose(getattr(long, name), getattr(short, name) * np.sqrt(10), rtol=1e-12)
        return
    assert method in (Method.HISTORICAL, Method.AGE_WEIGHTED)
    pnl = EXPOSURES @ histories.window(WINDOW, 10).returns.T
    estimate = estimators.historical if method is Method.HISTORICAL else estimators.age_weighted
    assert_same(list(ten_days.tails), estimate(pnl, STANDARD_CONFIDENCES), ("var", "es"))


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("horizon_days", [1, 10])
def test_intervals__enclose_the_figure_by_the_way_of_the_method(
    histories: Histories, method: Method, horizon_days: int
) -> None:
    found = ask(histories, method, horizon_days)
    has_es_bounds = found.question.interval is not IntervalMethod.SIMULATION
    for tail in found.tails:
        if tail.confidence > Decimal("0.99"):
            continue
        assert (tail.var_lower <= tail.var).all()
        # 250 losses do not bound the worse end at 99%.
        assert (np.isnan(tail.var_upper) | (tail.var <= tail.var_upper)).all()
        assert np.isfinite([tail.es_lower, tail.es_upper]).all() == has_es_bounds
    is_bootstrapped = method in (Method.HISTORICAL, Method.AGE_WEIGHTED, Method.VOLATILITY_SCALED)
    plain = answer(found.question, EXPOSURES, histories, intervals=False)
    assert_same(list(plain.tails), list(found.tails), ("var", "es"))
    for tail, without in zip(found.tails, plain.tails, strict=True):
        if is_bootstrapped:
            assert np.isnan([without.es_lower, without.es_upper]).all()
        kept = FIGURES[2:4] if method is not Method.AGE_WEIGHTED else ()
        assert_same([without], [tail], kept if is_bootstrapped else FIGURES)


def test_draws__of_overlapping_returns_come_in_longer_blocks(histories: Histories) -> None:
    assert histories.draws(WINDOW, 1) is histories.draws(WINDOW, 1)
    for horizon_days, block in ((1, 8), (3, 8), (10, 20)):
        seed = histories.seed("bootstrap", WINDOW, horizon_days)
        expected = stationary_draws(WINDOW, seed, 500, block)
        np.testing.assert_array_equal(histories.draws(WINDOW, horizon_days), expected)


@pytest.mark.parametrize("method", [each for each in Method if each is not Method.T_COPULA])
@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunks__do_not_change_results(
    histories: Histories, monkeypatch: pytest.MonkeyPatch, method: Method, chunk: int
) -> None:
    whole = ask(histories, method)
    monkeypatch.setattr(batch, "CHUNK", chunk)
    assert_same(list(ask(histories, method).tails), list(whole.tails))


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("factor", [1e-18, 1e-6, 1e18])
def test_figures__scale_with_exposures_of_any_size(histories: Histories, method: Method, factor: float) -> None:
    one, scaled = ask(histories, method), ask(histories, method, exposures=EXPOSURES * (factor / 1e4))
    for tail, other in zip(one.tails, scaled.tails, strict=True):
        for name in FIGURES:
            np.testing.assert_allclose(getattr(other, name), getattr(tail, name) * (factor / 1e4), rtol=1e-9)


@pytest.mark.parametrize("method", Method)
def test_figures__of_nothing_are_nothing_and_of_debt_a_loss_when_it_rises(histories: Histories, method: Method) -> None:
    found = ask(histories, method, exposures=np.array([[0.0, 0, 0], [0, -5e4, 0]]))
    assert found.reasons == [None, None]
    for tail in found.tails:
        assert tail.var[0] == tail.es[0] == 0
        assert tail.es[1] >= tail.var[1] > 0
    if method is Method.HISTORICAL:
        rises = np.sort(histories.window(WINDOW, 1).of(["ETH"])[:, 0])[::-1]
        assert found.tails[2].var[1] == pytest.approx(5e4 * rises[2])


def test_answer__of_no_portfolios_is_empty(histories: Histories, make_histories: Make) -> None:
    for each in (histories, make_histories({"BTC": [0.1], "ETH": [0.1], "USDC": [0.0]})):
        found = ask(each, Method.HISTORICAL, exposures=np.empty((0, 3)))
        assert found.reasons == []
        assert [tail.var.shape for tail in found.tails] == [(0,)] * 4


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 4), (1, 1, 3)])
def test_answer__refuses_exposures_of_another_shape(histories: Histories, shape: tuple[int, ...]) -> None:
    with pytest.raises(RiskInputError, match="one column for each of 3 assets"):
        ask(histories, Method.HISTORICAL, exposures=np.ones(shape))


@pytest.mark.parametrize("method", Method)
def test_answer__refuses_an_infinite_exposure_and_no_horizon(histories: Histories, method: Method) -> None:
    with pytest.raises(RiskInputError, match="an exposure is infinite"):
        ask(histories, method, exposures=np.array([[1.0, -np.inf, 0]]))
    for horizon_days in (0, -1):
        with pytest.raises(RiskInputError, match=f"horizon {horizon_days} must be at least one day"):
            ask(histories, method, horizon_days)
