"""Exact finite-sample p-values of the coverage tests, for independent exceptions of known probability.

Every likelihood ratio here depends on a sequence only through its first day, its last day, the number x of exceptions
and the number r of runs of exceptions (r = x - n11). The number of sequences that share these four is a product of two
binomials, for x exceptions fall into r runs in C(x - 1, r - 1) ways and n - x other days into their z runs in
C(n - x - 1, z - 1) ways, with z = r + 1 less one for each end that is an exception. So the distribution is written down
instead of run through a dynamic programme. Given x, r is hypergeometric (x draws from n with n - x + 1 successes).

Left out are only the counts x and, within a count, the numbers of runs r whose total probability is below 1e-15: the
first by summing the binomial tails, the second by Hoeffding's bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from assets.risk.engine.backtests.ratios import coverage_ratio, first_failure_ratio, independence_ratio
from assets.risk.engine.backtests.special import Floats, Ints, log_binomial_pmf, log_factorials

TIE = 1e-9
_NEGLIGIBLE = 2.5e-16


@dataclass(frozen=True)
class SequenceDistribution:
    """Probability and likelihood ratios of each class of sequences with the same sufficient statistics."""

    exceptions: Ints
    probability: Floats
    coverage: Floats
    independence: Floats

    def independence_p_value(self, observed: float) -> float:
        """P(LRind >= observed)."""
        return _mass_from(observed, self.independence, self.probability)

    def conditional_coverage_p_value(self, observed: float) -> float:
        """P(LRuc + LRind >= observed)."""
        return _mass_from(observed, self.coverage + self.independence, self.probability)


def coverage_p_value(observed: float, observations: int, probability: float) -> float:
    """P(LRuc >= observed) over all counts, none left out."""
    counts = np.arange(observations + 1)
    mass = np.exp(log_binomial_pmf(counts, observations, probability))
    return _mass_from(observed, coverage_ratio(counts, observations, probability), mass)


def first_failure_p_value(observed: float, observations: int, probability: float) -> float:
    """P(TUFF ratio >= observed) over the day of the first exception, and over having none."""
    days = np.arange(1, observations + 1)
    mass = np.exp(np.log(probability) + (days - 1) * np.log1p(-probability))
    quiet = observations * np.log1p(-probability)
    ratios = np.append(first_failure_ratio(days, probability), -2 * quiet)
    return _mass_from(observed, ratios, np.append(mass, np.exp(quiet)))


def sequence_distribution(observations: int, probability: float) -> SequenceDistribution:
    """The joint distribution of LRuc and LRind for `observations` independent days."""
    counts = np.arange(observations + 1)
    kept = _likely(np.exp(log_binomial_pmf(counts, observations, probability)))
    log_weight = kept * np.log(probability) + (observations - kept) * np.log1p(-probability)
    ways = _Ways(observations)
    per_count = coverage_ratio(kept, observations, probability)
    count_index, runs = _run_grid(kept, observations)
    parts = [
        ways.classes(kept[count_index], runs, first, last, log_weight[count_index], per_count[count_index])
        for first in (0, 1)
        for last in (0, 1)
    ]
    return SequenceDistribution(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def independence_p_value_given_count(observed: float, observations: int, exceptions: int) -> float:
    """P(LRind >= observed) among all orderings of that many exceptions: free of the coverage probability."""
    count = np.array([exceptions])
    runs = np.arange(exceptions + 1)
    ways = _Ways(observations)
    log_total = ways.log_choose(np.array([observations]), count)
    zeros, none = np.zeros(runs.size), np.zeros(runs.size)
    parts = [
        ways.classes(np.repeat(count, runs.size), runs, first, last, zeros - log_total, none)
        for first in (0, 1)
        for last in (0, 1)
    ]
    _, probability, _, ratios = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _mass_from(observed, ratios, probability)


class _Ways:
    """Counts sequences of a given length by first day, last day, exceptions and runs."""

    def __init__(self, observations: int) -> None:
        self._observations = observations

    @cached_property
    def _log_factorial(self) -> Floats:
        return log_factorials(self._observations)

    def log_choose(self, total: Ints, chosen: Ints) -> Floats:
        """log C(total, chosen) where 0 <= chosen <= total."""
        table = self._log_factorial
        return cast(Floats, table[total] - table[chosen] - table[total - chosen])

    def classes(
        self, count: Ints, runs: Ints, first: int, last: int, log_weight: Floats, coverage: Floats
    ) -> tuple[Ints, Floats, Floats, Floats]:
        """Exceptions, probability, LRuc and LRind of the classes that exist with these two ends.

        `log_weight` is the log-probability of one sequence with that count.
        """
        others = self._observations - count
        gaps = runs + 1 - first - last
        # No runs means none of that kind of day at all, and the other way round.
        exist = ((runs == 0) == (count == 0)) & ((gaps == 0) == (others == 0))
        exist &= (gaps >= 0) & (gaps <= others) & (runs <= count) & (runs >= max(first, last))
        count, runs, others, gaps = count[exist], runs[exist], others[exist], gaps[exist]
        log_ways = self._log_compositions(count, runs) + self._log_compositions(others, gaps)
        ratios = independence_ratio(*transition_counts(self._observations, count, runs, first, last))
        return count, np.exp(log_ways + log_weight[exist]), coverage[exist], ratios

    def _log_compositions(self, days: Ints, runs: Ints) -> Floats:
        """log of the number of ways to split days into that many runs; one way to split none into none."""
        return self.log_choose(np.maximum(days - 1, 0), np.maximum(runs - 1, 0))


def transition_counts(
    observations: int, count: Ints, runs: Ints, first: int, last: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """n00, n01, n10 and n11 of sequences with these sufficient statistics."""
    entered, left, stayed = runs - first, runs - last, count - runs
    return observations - 1 - entered - left - stayed, entered, left, stayed


def _likely(mass: Floats) -> Ints:
    """The counts that remain once each tail of total probability below the bound is cut off."""
    low = int(np.searchsorted(np.cumsum(mass), _NEGLIGIBLE))
    high = mass.size - int(np.searchsorted(np.cumsum(mass[::-1]), _NEGLIGIBLE))
    return np.arange(low, high)


def _run_grid(counts: Ints, observations: int) -> tuple[Ints, Ints]:
    """Each pair of a count (as index) and a number of runs that is not negligible for it."""
    mean = counts * (observations - counts + 1) / observations
    reach = np.sqrt(counts * np.log(2 / _NEGLIGIBLE) / 2)
    lowest = np.maximum(np.floor(mean - reach), np.minimum(counts, 1)).astype(np.int64)
    highest = np.minimum(np.ceil(mean + reach), counts).astype(np.int64)
    sizes = highest - lowest + 1
    index = np.repeat(np.arange(counts.size), sizes)
    starts = np.cumsum(sizes) - sizes
    return index, np.arange(int(sizes.sum())) - starts[index] + lowest[index]


def _mass_from(observed: float, ratios: Floats, probability: Floats) -> float:
    """Probability of a ratio at least as large, where ratios closer than `TIE` count as equal."""
    if observed <= TIE:
        return 1.0
    return min(float(probability[ratios >= observed - TIE].sum()), 1.0)
