"""Portfolios whose assets lack returns or a value: who has no figure and why, and where a fallback stands in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from assets.risk.engine import estimators
from assets.risk.engine.batch import Answer, Histories, Question, answer
from assets.risk.engine.levels import STANDARD_CONFIDENCES
from assets.risk.engine.methods import FALLBACK_MIN_OBSERVATIONS, NORMAL, Method

WINDOW = 250
# In alphabetical order, as the columns of the exposures below.
ASSETS = ("BTC", "DAI", "ETH", "GAP", "MID", "NEW", "OLD", "TINY")
DAI_FLAT = "DAI never moved in 250 returns"
GAP_SHORT = "GAP has 190 of 250 returns"
MID_SHORT = "MID has 200 of 250 returns"
NEW_SHORT = "NEW has 100 of 250 returns"
OLD_ENDED = "no close of OLD on 2026-01-30"
TINY_SHORT = "TINY has 59 of 250 returns"
SIMULATIONS = [each for each in Method if each not in NORMAL]


@pytest.fixture
def histories(make_histories: Callable[..., Histories]) -> Histories:
    draw = np.random.default_rng(33).normal
    return make_histories(
        {
            "BTC": draw(0, 0.03, 300),
            "DAI": np.zeros(300),
            "ETH": draw(0, 0.04, 300),
            "GAP": draw(0, 0.05, 300),
            "MID": draw(0, 0.06, 200),
            "NEW": draw(0, 0.06, 100),
            "OLD": draw(0, 0.05, 300),
            "TINY": draw(0, 0.05, 59),
        },
        # A hole of 59 closes takes the 60 returns that end in it or just after it.
        missing={"GAP": range(60, 119), "OLD": [0]},
    )


def ask(histories: Histories, method: Method, *portfolios: dict[str, float]) -> Answer:
    exposures = np.array([[each.get(asset, 0.0) for asset in ASSETS] for each in portfolios])
    return answer(Question(method, 1, WINDOW, STANDARD_CONFIDENCES), exposures, histories)


def has_figures(found: Answer) -> list[bool]:
    known = [[np.isfinite(tail.var), np.isfinite(tail.es)] for tail in found.tails]
    assert (np.all(known, axis=(0, 1)) == np.any(known, axis=(0, 1))).all()
    return [bool(each) for each in np.all(known, axis=(0, 1))]


@pytest.mark.parametrize("method", SIMULATIONS)
def test_simulation__has_no_figure_where_an_asset_lacks_returns(histories: Histories, method: Method) -> None:
    found = ask(
        histories,
        method,
        {"BTC": 1},
        {"BTC": 1, "NEW": 1e-9},
        {"NEW": -1, "GAP": 1},
        {"OLD": 1, "BTC": 1},
        {"DAI": 5, "ETH": 2},
        {"DAI": 5, "NEW": 1, "OLD": 1, "TINY": 1, "GAP": 1},
        {"BTC": 1, "ETH": -1},
    )
    assert has_figures(found) == [True, False, False, False, False, False, True]
    assert found.reasons == [
        None,
        NEW_SHORT,
        f"{GAP_SHORT}; {NEW_SHORT}",
        OLD_ENDED,
        DAI_FLAT,
        "; ".join([DAI_FLAT, GAP_SHORT, NEW_SHORT, OLD_ENDED, TINY_SHORT]),
        None,
    ]
    assert found.observations.tolist() == [250, 100, 100, 249, 250, 59, 250]
    assert not found.is_fallback.any()


@pytest.mark.parametrize("method", NORMAL)
@pytest.mark.parametrize(
    ("portfolio", "assets", "days", "reason"),
    [
        ({"BTC": 3.0, "NEW": -2.0}, ["BTC", "NEW"], range(100), NEW_SHORT),
        ({"NEW": 1.0}, ["NEW"], range(100), NEW_SHORT),
        ({"GAP": 1.0, "ETH": 1.0}, ["ETH", "GAP"], [*range(59), *range(119, 250)], GAP_SHORT),
        ({"MID": 1.0, "GAP": 2.0}, ["GAP", "MID"], [*range(59), *range(119, 200)], f"{GAP_SHORT}; {MID_SHORT}"),
    ],
)
def test_normal__uses_the_days_that_all_assets_have_and_says_so(
    histories: Histories, method: Method, portfolio: dict[str, float], assets: list[str], days: object, reason: str
) -> None:
    ages = np.array(list(days))  # type: ignore[call-overload]
    found = ask(histories, method, portfolio)
    rows = np.sort(WINDOW - 1 - ages)
    pnl = histories.window(WINDOW, 1).of(assets)[rows] @ np.array([portfolio[asset] for asset in assets])
    estimate = estimators.delta_normal if method is Method.DELTA_NORMAL else estimators.ewma_delta_normal
    for tail, expected in zip(found.tails, estimate(pnl[None, :], STANDARD_CONFIDENCES), strict=True):
        for name in ("var", "es", "var_lower", "var_upper", "es_lower", "es_upper"):
            np.testing.assert_allclose(getattr(tail, name), getattr(expected, name), rtol=1e-9)
    assert found.is_fallback.tolist() == [True]
    assert found.observations.tolist() == [len(ages)]
    assert found.reasons == [f"{len(ages)} common returns, for {reason}"]


@pytest.mark.parametrize("method", NORMAL)
def test_normal__has_no_figure_below_sixty_common_days(histories: Histories, method: Method) -> None:
    # NEW has a return on the last 100 days, of which GAP lacks the earlier 41.
    found = ask(histories, method, {"TINY": 1}, {"GAP": 1, "NEW": 1}, {"BTC": 1, "TINY": 1, "NEW": 1}, {"BTC": 1})
    assert has_figures(found) == [False, False, False, True]
    assert found.reasons == [TINY_SHORT, f"{GAP_SHORT}; {NEW_SHORT}", f"{NEW_SHORT}; {TINY_SHORT}", None]
    assert not found.is_fallback.any()
    assert found.observations.tolist() == [59, 100, 59, 250]


@pytest.mark.parametrize(("days", "is_enough"), [(59, False), (60, True)])
def test_fallback__begins_at_sixty_returns(
    make_histories: Callable[..., Histories], days: int, is_enough: bool
) -> None:
    assert FALLBACK_MIN_OBSERVATIONS == 60
    returns = np.random.default_rng(1).normal(0, 0.02, days)
    found = answer(
        Question(Method.EWMA_DELTA_NORMAL, 10, WINDOW, STANDARD_CONFIDENCES),
        np.array([[1.0]]),
        make_histories({"NEW": returns}),
    )
    assert has_figures(found) == [is_enough]
    assert found.is_fallback.tolist() == [is_enough]
    words = f"NEW has {days} of 250 returns"
    assert found.reasons == [f"{days} common returns, for {words}" if is_enough else words]


@pytest.mark.parametrize("method", NORMAL)
def test_normal__does_not_stand_in_for_what_never_moved_or_has_no_close(histories: Histories, method: Method) -> None:
    found = ask(histories, method, {"DAI": 1}, {"DAI": 1, "NEW": 1}, {"OLD": 1, "BTC": 1}, {"OLD": 1, "GAP": 1})
    assert has_figures(found) == [False] * 4
    assert found.reasons == [DAI_FLAT, f"{DAI_FLAT}; {NEW_SHORT}", OLD_ENDED, f"{GAP_SHORT}; {OLD_ENDED}"]
    assert not found.is_fallback.any()


@pytest.mark.parametrize("method", Method)
def test_portfolio__has_the_figures_that_it_has_without_others(histories: Histories, method: Method) -> None:
    portfolios = [{"BTC": 1.0}, {"BTC": 1.0, "NEW": 1.0}, {"GAP": 1.0}, {"ETH": 2.0}, {"OLD": 1.0}, {"NEW": 3.0}, {}]
    together = ask(histories, method, *portfolios)
    for place, portfolio in enumerate(portfolios):
        alone = ask(histories, method, portfolio)
        assert alone.reasons == [together.reasons[place]]
        assert alone.is_fallback.tolist() == [together.is_fallback[place]]
        assert alone.observations.tolist() == [together.observations[place]]
        for tail, other in zip(together.tails, alone.tails, strict=True):
            for name in ("var", "es", "var_lower", "var_upper", "es_lower", "es_upper"):
                np.testing.assert_allclose(getattr(tail, name)[place], getattr(other, name)[0], rtol=1e-9)


@pytest.mark.parametrize("method", Method)
def test_unvalued_exposure__leaves_no_figure_and_says_why(histories: Histories, method: Method) -> None:
    nan = float("nan")
    found = ask(
        histories,
        method,
        {"BTC": nan},
        {"BTC": 1, "ETH": nan},
        {"BTC": nan, "NEW": 1, "ETH": nan},
        {"NEW": nan},
        {"OLD": nan, "DAI": 1},
        {"BTC": 1, "ETH": 1},
    )
    assert has_figures(found) == [False] * 5 + [True]
    assert found.reasons == [
        "the exposure to BTC has no value",
        "the exposure to ETH has no value",
        f"the exposure to BTC has no value; the exposure to ETH has no value; {NEW_SHORT}",
        "the exposure to NEW has no value",
        f"{DAI_FLAT}; {OLD_ENDED}",
        None,
    ]
    assert not found.is_fallback.any()


@pytest.mark.parametrize("method", Method)
def test_portfolio__without_exposure_is_nought_though_no_asset_has_its_returns(
    make_histories: Callable[..., Histories], method: Method
) -> None:
    question = Question(method, 1, WINDOW, STANDARD_CONFIDENCES)
    found = answer(question, np.zeros((1, 2)), make_histories({"DAI": np.zeros(300), "NEW": [0.1]}))
    assert found.reasons == [None]
    assert found.observations.tolist() == [WINDOW]
    assert [(tail.var[0], tail.es[0]) for tail in found.tails] == [(0, 0)] * 4
