"""Kupiec, Christoffersen and TUFF against published values, traps and invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from assets.risk.engine.backtests import (
    Outcome,
    Transitions,
    conditional_coverage,
    count_transitions,
    coverage_tests,
    exceptions_of,
    independence,
    time_until_first_failure,
    unconditional_coverage,
)
from assets.risk.engine.errors import RiskInputError

MATLAB_TRANSITIONS = Transitions(observations=1043, exceptions=57, n00=932, n01=53, n10=53, n11=4)
KUPIEC_REGIONS = [
    (0.01, 255, 1, 6),
    (0.01, 510, 2, 10),
    (0.01, 1000, 5, 16),
    (0.05, 255, 7, 20),
    (0.05, 510, 17, 35),
    (0.05, 1000, 38, 64),
]

hit_series = st.lists(st.booleans(), min_size=2, max_size=60).map(np.array)
probabilities = st.sampled_from([0.01, 0.025, 0.05, 0.3])


def hits_on(observations: int, *days: int) -> np.ndarray:
    """A series with exceptions on these days, counted from 1."""
    hits = np.zeros(observations, dtype=bool)
    hits[np.array(days, dtype=int) - 1] = True
    return hits


@pytest.mark.parametrize(
    ("exceptions", "probability", "statistic", "p_value"), [(57, 0.05, 0.46147, 0.49694), (17, 0.01, 3.5118, 0.060933)]
)
def test_unconditional_coverage__equals_matlab_pof(
    exceptions: int, probability: float, statistic: float, p_value: float
) -> None:
    outcome = unconditional_coverage(exceptions, 1043, probability)
    assert outcome.statistic == pytest.approx(statistic, rel=2e-5)
    assert outcome.p_value == pytest.approx(p_value, rel=2e-5)
    assert outcome.degrees_of_freedom == 1


def test_independence__equals_matlab_cci() -> None:
    outcome = independence(MATLAB_TRANSITIONS, 0.05)
    assert outcome.statistic == pytest.approx(0.25866, abs=5e-6)
    assert outcome.p_value == pytest.approx(0.61104, abs=5e-6)


def test_conditional_coverage__equals_matlab_cc() -> None:
    outcome = conditional_coverage(MATLAB_TRANSITIONS, 0.05)
    assert outcome.statistic == pytest.approx(0.72013, abs=5e-6)
    assert outcome.p_value == pytest.approx(0.69763, abs=5e-6)
    assert outcome.degrees_of_freedom == 2


def test_time_until_first_failure__equals_matlab_tuff() -> None:
    outcome = time_until_first_failure(hits_on(1043, 58, 90), 0.05)
    assert outcome.statistic == pytest.approx(1.7354, abs=5e-5)
    assert outcome.p_value == pytest.approx(0.18773, abs=5e-6)


def test_unconditional_coverage__stays_finite_without_exceptions() -> None:
    outcome = unconditional_coverage(0, 250, 0.01)
    assert outcome.statistic == pytest.approx(5.02517, abs=5e-6)
    assert outcome.p_value == pytest.approx(0.02498, abs=5e-6)


@pytest.mark.parametrize(("probability", "observations", "fewest", "most"), KUPIEC_REGIONS)
def test_unconditional_coverage__has_the_95_percent_non_rejection_region_of_kupiec(
    probability: float, observations: int, fewest: int, most: int
) -> None:
    p_values = [unconditional_coverage(count, observations, probability).p_value or 0.0 for count in range(100)]
    accepted = [count for count, p_value in enumerate(p_values) if p_value > 0.05]
    assert accepted == list(range(fewest, most + 1))


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        (hits_on(6), (5, 0, 0, 0)),
        (hits_on(6, 1), (4, 0, 1, 0)),
        (hits_on(6, 6), (4, 1, 0, 0)),
        (hits_on(6, 3), (3, 1, 1, 0)),
        (hits_on(6, 1, 2, 3, 4, 5, 6), (0, 0, 0, 5)),
        (hits_on(6, 2, 3, 6), (1, 2, 1, 1)),
        (hits_on(1, 1), (0, 0, 0, 0)),
    ],
    ids=["none", "only first", "only last", "one inside", "all", "adjacent and last", "one day"],
)
def test_count_transitions__counts_all_four_over_one_pair_less_than_days(
    hits: np.ndarray, expected: tuple[int, int, int, int]
) -> None:
    counted = count_transitions(hits)
    assert (counted.n00, counted.n01, counted.n10, counted.n11) == expected


@pytest.mark.parametrize(
    "days", [(), (1,), (250,), tuple(range(1, 251))], ids=["none", "only first", "only last", "all"]
)
def test_independence__is_zero_where_one_state_never_leads_to_another_rate(days: tuple[int, ...]) -> None:
    tests = coverage_tests(hits_on(250, *days), 0.01)
    assert tests.independence.statistic == pytest.approx(0.0, abs=1e-9)
    assert tests.independence.p_value == pytest.approx(1.0, abs=1e-4)
    assert tests.independence.exact_p_value == 1.0
    assert tests.conditional.statistic == pytest.approx(tests.unconditional.statistic)


def test_coverage_tests__reject_a_series_of_exceptions_only() -> None:
    tests = coverage_tests(np.ones(250, dtype=bool), 0.01)
    assert tests.unconditional.statistic == pytest.approx(-2 * 250 * np.log(0.01))
    assert tests.unconditional.exact_p_value == pytest.approx(0.0, abs=1e-300)
    assert tests.conditional.rejects(1e-12)


def test_independence__catches_clusters_that_kupiec_passes() -> None:
    tests = coverage_tests(hits_on(250, *range(50, 54), *range(120, 124), *range(200, 204)), 0.05)
    assert not tests.unconditional.rejects()
    assert tests.independence.rejects(0.001)
    assert tests.conditional.rejects(0.001)


def test_independence__does_not_blame_order_for_a_wrong_rate() -> None:
    outcome = coverage_tests(hits_on(250, *range(10, 220, 15)), 0.01).independence
    assert outcome.exact_p_value is not None
    assert outcome.exact_p_value < 0.05
    assert outcome.exact_p_value_given_count is not None
    assert outcome.exact_p_value_given_count > 0.2
    assert not outcome.rejects()


def test_time_until_first_failure__treats_no_exception_as_a_censored_wait() -> None:
    outcome = time_until_first_failure(np.zeros(250, dtype=bool), 0.01)
    assert outcome.statistic == pytest.approx(unconditional_coverage(0, 250, 0.01).statistic)
    assert outcome.exact_p_value is not None
    # No other wait is rarer than a quiet year but those that come on the very first days.
    assert 0.99**250 <= outcome.exact_p_value < 0.2


def test_exceptions_of__needs_a_loss_strictly_beyond_the_forecast() -> None:
    pnl = np.array([-100.0, -100.01, 100.0, 0.0])
    assert exceptions_of(pnl, np.array([100.0, 100.0, 50.0, 0.0])).tolist() == [False, True, False, False]


def test_coverage_tests__give_reasons_for_too_short_series() -> None:
    empty, single = coverage_tests(np.zeros(0, dtype=bool), 0.01), coverage_tests(np.ones(1, dtype=bool), 0.01)
    assert empty.unconditional.reason == "there are no observations"
    assert empty.first_failure.reason == "there are no observations"
    assert empty.conditional == Outcome(reason="a transition needs two observations")
    assert single.independence.reason == "a transition needs two observations"
    assert single.unconditional.statistic == pytest.approx(-2 * np.log(0.01))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((251, 250, 0.01), "251 exceptions cannot happen in 250 days"),
        ((-1, 250, 0.01), "-1 exceptions cannot happen"),
        ((1, 250, 0.0), "probability of an exception is 0"),
        ((1, 250, 1.0), "probability of an exception is 1"),
    ],
)
def test_unconditional_coverage__refuses_impossible_input(arguments: tuple[int, int, float], message: str) -> None:
    with pytest.raises(RiskInputError, match=message):
        unconditional_coverage(*arguments)


@pytest.mark.parametrize("counts", [(3, 1, 1, 1), (6, 2, 0, 0), (5, 0, 0, -1)])
def test_transitions__refuse_counts_of_no_series(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(RiskInputError, match="do not come from 9 days"):
        Transitions(9, 2, *counts)


@given(hits=hit_series, probability=probabilities)
def test_coverage_tests__keep_ratios_and_p_values_in_range(hits: np.ndarray, probability: float) -> None:
    tests = coverage_tests(hits, probability)
    for outcome in (tests.unconditional, tests.independence, tests.conditional, tests.first_failure):
        assert outcome.statistic is not None
        assert outcome.p_value is not None
        assert outcome.exact_p_value is not None
        assert outcome.statistic >= 0
        assert 0 <= outcome.p_value <= 1
        assert 0 <= outcome.exact_p_value <= 1
    assert tests.independence.exact_p_value_given_count is not None
    assert 0 < tests.independence.exact_p_value_given_count <= 1


@given(hits=hit_series, probability=probabilities)
def test_conditional_coverage__is_the_sum_of_its_parts(hits: np.ndarray, probability: float) -> None:
    tests = coverage_tests(hits, probability)
    assert tests.conditional.statistic == pytest.approx(
        (tests.unconditional.statistic or 0) + (tests.independence.statistic or 0)
    )


@given(hits=hit_series, probability=probabilities, seed=st.integers(0, 2**32 - 1))
def test_unconditional_coverage__does_not_depend_on_order(hits: np.ndarray, probability: float, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(hits)
    assert coverage_tests(shuffled, probability).unconditional == coverage_tests(hits, probability).unconditional


@given(observations=st.integers(1, 400), probability=probabilities, data=st.data())
def test_unconditional_coverage__exact_p_value_sums_the_binomial(
    observations: int, probability: float, data: st.DataObject
) -> None:
    exceptions = data.draw(st.integers(0, observations))
    outcome = unconditional_coverage(exceptions, observations, probability)
    counts = np.arange(observations + 1)
    ratios = np.array([unconditional_coverage(int(each), observations, probability).statistic for each in counts])
    as_large = ratios >= (outcome.statistic or 0.0) - 1e-9
    expected = binom.pmf(counts[as_large], observations, probability).sum()
    assert outcome.exact_p_value == pytest.approx(expected, rel=1e-8, abs=1e-14)
