"""Do exceptions come as often as promised, and independently of one another?

Sources: Kupiec (1995), Techniques for Verifying the Accuracy of Risk Measurement Models, Journal of Derivatives 3(2);
Christoffersen (1998), Evaluating Interval Forecasts, International Economic Review 39(4). As in rugarch and MATLAB's
varbacktest, LRuc uses all n days and the transitions the n - 1 pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.risk.engine.backtests.exact import (
    SequenceDistribution,
    coverage_p_value,
    first_failure_p_value,
    independence_p_value_given_count,
    sequence_distribution,
)
from assets.risk.engine.backtests.outcomes import Outcome
from assets.risk.engine.backtests.ratios import coverage_ratio, first_failure_ratio, independence_ratio
from assets.risk.engine.backtests.special import Hits, chi_square_tail
from assets.risk.engine.backtests.transitions import Transitions, count_transitions
from assets.risk.engine.errors import RiskInputError


@dataclass(frozen=True)
class IndependenceOutcome(Outcome):
    """LRind with a second exact p-value, among all orderings of the observed number of exceptions.

    The first one assumes the promised probability: of a model that is wrong only in its rate it says "dependent" too.
    The second one does not, so it is the one to judge independence by.
    """

    exact_p_value_given_count: float | None = None

    @property
    def decisive_p_value(self) -> float | None:
        """The exact p-value that blames the order of the exceptions, not their number."""
        return self.exact_p_value_given_count


@dataclass(frozen=True)
class CoverageTests:
    """The tests that rest on the count of exceptions and on their transitions."""

    unconditional: Outcome
    independence: IndependenceOutcome
    conditional: Outcome
    first_failure: Outcome


def coverage_tests(hits: Hits, probability: float) -> CoverageTests:
    """All coverage tests of a series of exceptions in order of time; the exact distribution is built once."""
    transitions = count_transitions(hits)
    distribution = sequence_distribution(hits.size, probability) if hits.size > 1 else None
    return CoverageTests(
        unconditional=unconditional_coverage(transitions.exceptions, transitions.observations, probability),
        independence=independence(transitions, probability, distribution),
        conditional=conditional_coverage(transitions, probability, distribution),
        first_failure=time_until_first_failure(hits, probability),
    )


def unconditional_coverage(exceptions: int, observations: int, probability: float) -> Outcome:
    """Kupiec's proportion of failures test: LRuc ~ chi-square(1) if exceptions have the promised probability."""
    _check_probability(probability)
    if not 0 <= exceptions <= observations:
        raise RiskInputError(f"{exceptions} exceptions cannot happen in {observations} days")
    if observations == 0:
        return Outcome(reason="there are no observations")
    statistic = float(coverage_ratio(np.array([exceptions]), observations, probability)[0])
    exact = coverage_p_value(statistic, observations, probability)
    return Outcome(statistic, chi_square_tail(statistic, 1), exact, degrees_of_freedom=1)


def independence(
    transitions: Transitions, probability: float, distribution: SequenceDistribution | None = None
) -> IndependenceOutcome:
    """Christoffersen's test: LRind ~ chi-square(1) if yesterday's exception says nothing about today's.

    `distribution` is that of `sequence_distribution` for the same length and probability, where it is at hand.
    """
    _check_probability(probability)
    if transitions.observations < 2:
        return IndependenceOutcome(reason="a transition needs two observations")
    known = distribution or sequence_distribution(transitions.observations, probability)
    statistic = _independence_statistic(transitions)
    return IndependenceOutcome(
        statistic,
        chi_square_tail(statistic, 1),
        known.independence_p_value(statistic),
        degrees_of_freedom=1,
        exact_p_value_given_count=independence_p_value_given_count(
            statistic, transitions.observations, transitions.exceptions
        ),
    )


def conditional_coverage(
    transitions: Transitions, probability: float, distribution: SequenceDistribution | None = None
) -> Outcome:
    """Christoffersen's joint test: LRcc = LRuc + LRind ~ chi-square(2) for independent exceptions at the right rate."""
    _check_probability(probability)
    observations = transitions.observations
    if observations < 2:
        return Outcome(reason="a transition needs two observations")
    known = distribution or sequence_distribution(observations, probability)
    rate = float(coverage_ratio(np.array([transitions.exceptions]), observations, probability)[0])
    statistic = rate + _independence_statistic(transitions)
    exact = known.conditional_coverage_p_value(statistic)
    return Outcome(statistic, chi_square_tail(statistic, 2), exact, degrees_of_freedom=2)


def time_until_first_failure(hits: Hits, probability: float) -> Outcome:
    """Kupiec's TUFF: LR ~ chi-square(1) if the first exception comes neither too early nor too late.

    Without an exception the wait is censored: the likelihood of n quiet days is (1 - p)^n against a supremum of 1.
    """
    _check_probability(probability)
    if hits.size == 0:
        return Outcome(reason="there are no observations")
    if hits.any():
        day = np.array([int(np.argmax(hits)) + 1])
        statistic = float(first_failure_ratio(day, probability)[0])
    else:
        statistic = float(-2 * hits.size * np.log1p(-probability))
    exact = first_failure_p_value(statistic, hits.size, probability)
    return Outcome(statistic, chi_square_tail(statistic, 1), exact, degrees_of_freedom=1)


def _independence_statistic(transitions: Transitions) -> float:
    """LRind of one series."""
    counts = (transitions.n00, transitions.n01, transitions.n10, transitions.n11)
    return float(independence_ratio(*(np.array([count]) for count in counts))[0])


def _check_probability(probability: float) -> None:
    """Refuse a coverage probability that no test can work with."""
    if not 0 < probability < 1:
        raise RiskInputError(f"the probability of an exception is {probability}, and must lie between 0 and 1")
