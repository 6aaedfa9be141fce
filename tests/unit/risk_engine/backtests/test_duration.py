"""The duration test against a general optimiser, its traps, and the level that it keeps."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from assets.risk.engine.backtests import duration_test
from assets.risk.engine.backtests.duration import random_days
from assets.risk.engine.backtests.weibull import fit_shapes, profile_likelihood, spells_of


def hits_on(observations: int, *days: int) -> np.ndarray:
    """A series with exceptions on these days, counted from 1."""
    hits = np.zeros(observations, dtype=bool)
    hits[np.array(days, dtype=int) - 1] = True
    return hits


def negative_log_likelihood(parameters: np.ndarray, completed: np.ndarray, censored: np.ndarray) -> float:
    """The Weibull likelihood as Christoffersen and Pelletier write it, in logs of a and b."""
    a, b = np.exp(parameters)
    density = np.log(a) * b + np.log(b) + (b - 1) * np.log(completed) - (a * completed) ** b
    return float(-(density.sum() - ((a * censored) ** b).sum()))


@pytest.mark.parametrize(
    ("days", "completed", "censored"),
    [
        ((3, 5, 9), [2, 4], [3, 1]),
        ((1, 5, 9), [4, 4], [1]),
        ((3, 5, 10), [2, 5], [3]),
        ((1, 4, 10), [3, 6], []),
    ],
    ids=["both ends censored", "first day", "last day", "first and last day"],
)
def test_spells_of__censors_only_ends_without_exception(
    days: tuple[int, ...], completed: list[int], censored: list[int]
) -> None:
    spells = spells_of(np.array([days]), 10)
    waits = np.exp(spells.logs[0][spells.present[0] > 0])
    assert waits == pytest.approx([*completed, *censored])
    assert spells.completed == len(completed)


@pytest.mark.parametrize(
    "days", [(20, 21, 22, 100, 101, 230), (1, 30, 70, 95, 140), (40, 41), (10, 60, 105, 160, 205, 250)]
)
def test_duration_test__finds_the_optimum_of_the_two_parameter_likelihood(days: tuple[int, ...]) -> None:
    completed = np.diff(days).astype(float)
    censored = np.array(
        ([] if days[0] == 1 else [days[0]]) + ([] if days[-1] == 250 else [250 - days[-1]]), dtype=float
    )
    start = np.array([-3.0, 0.0])
    options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 5000}
    best = minimize(negative_log_likelihood, start, (completed, censored), method="Nelder-Mead", options=options)
    rate = completed.size / (completed.sum() + censored.sum())
    exponential = negative_log_likelihood(np.array([np.log(rate), 0.0]), completed, censored)
    outcome = duration_test(hits_on(250, *days))
    assert outcome.statistic == pytest.approx(2 * (exponential - best.fun), abs=1e-6)
    assert outcome.shape == pytest.approx(np.exp(best.x[1]), rel=1e-4)
    assert outcome.degrees_of_freedom == 1


def test_duration_test__sees_clusters_in_a_shape_below_one() -> None:
    days = [*range(50, 54), *range(120, 124), *range(200, 204)]
    outcome = duration_test(hits_on(250, *days), np.random.default_rng(1))
    assert outcome.shape is not None
    assert outcome.shape < 1
    assert outcome.rejects()


def test_duration_test__sees_regularity_in_a_shape_above_one() -> None:
    outcome = duration_test(hits_on(250, *range(10, 250, 21), 11 + 21), np.random.default_rng(1))
    near_even = duration_test(
        hits_on(250, 10, 31, 51, 73, 94, 114, 136, 157, 178, 199, 221, 241), np.random.default_rng(1)
    )
    assert near_even.shape is not None
    assert near_even.shape > 1
    assert near_even.rejects()
    assert outcome.shape is not None
    assert outcome.shape < near_even.shape


@pytest.mark.parametrize("days", [(), (1,), (125,), (250,)], ids=["none", "only first", "one", "only last"])
def test_duration_test__needs_two_exceptions(days: tuple[int, ...]) -> None:
    outcome = duration_test(hits_on(250, *days), np.random.default_rng(1))
    assert outcome.statistic is None
    assert outcome.p_value is None
    assert outcome.reason == f"a wait between exceptions needs two of them, there are {len(days)}"


@pytest.mark.parametrize(
    "days", [tuple(range(1, 251)), tuple(range(1, 251, 83)), (90, 220)], ids=["all", "even", "one"]
)
def test_duration_test__has_no_optimum_for_equal_waits(days: tuple[int, ...]) -> None:
    outcome = duration_test(hits_on(250, *days), np.random.default_rng(1))
    assert outcome.statistic is None
    assert outcome.reason is not None
    assert "equally long" in outcome.reason


def test_duration_test__repeats_itself_with_one_seed() -> None:
    hits = np.random.default_rng(3).random(1000) < 0.03
    first, second = (duration_test(hits, np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_duration_test__keeps_its_level_where_chi_square_does_not() -> None:
    generator = np.random.default_rng(11)
    outcomes = [duration_test(generator.random(2000) < 0.1, generator, simulations=199) for _ in range(150)]
    exact = np.mean([outcome.rejects() for outcome in outcomes])
    asymptotic = np.mean([(outcome.p_value or 1.0) < 0.05 for outcome in outcomes])
    assert exact <= 0.10
    assert asymptotic > 0.15


@pytest.mark.parametrize("exceptions", [2, 4])
def test_random_days__draws_each_subset_equally_often(exceptions: int) -> None:
    samples = 30_000
    days = random_days(5, exceptions, samples, np.random.default_rng(5))
    drawn = Counter(map(tuple, days.tolist()))
    expected = {2: 10, 4: 5}[exceptions]
    assert len(drawn) == expected
    assert all(abs(count - samples / expected) < 5 * (samples / expected) ** 0.5 for count in drawn.values())
    assert all(list(subset) == sorted(subset) for subset in drawn)


@settings(max_examples=60)
@given(hits=st.lists(st.booleans(), min_size=3, max_size=120).map(np.array))
def test_duration_test__is_a_ratio_and_a_probability_or_has_a_reason(hits: np.ndarray) -> None:
    outcome = duration_test(hits, np.random.default_rng(0), simulations=19)
    if outcome.statistic is None:
        assert outcome.reason
        return
    assert outcome.statistic >= 0
    assert outcome.p_value is not None
    assert outcome.exact_p_value is not None
    assert 0 <= outcome.p_value <= 1
    assert 0 < outcome.exact_p_value <= 1


@settings(max_examples=60)
@given(waits=st.lists(st.integers(1, 3000), min_size=3, max_size=40).filter(lambda waits: len(set(waits)) > 1))
def test_fit_shapes__is_no_worse_than_its_neighbours(waits: list[int]) -> None:
    days = np.cumsum([1, *waits])[None, :]
    spells = spells_of(days, int(days[0, -1]))
    shape = fit_shapes(spells)
    best = profile_likelihood(spells, shape)[0]
    assert all(best >= profile_likelihood(spells, shape * factor)[0] - 1e-9 for factor in (0.5, 0.99, 1.01, 2.0))
