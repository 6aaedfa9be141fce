"""The closed-form distribution against enumeration of every sequence and against simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from assets.risk.engine.backtests.exact import (
    coverage_p_value,
    first_failure_p_value,
    independence_p_value_given_count,
    sequence_distribution,
)
from assets.risk.engine.backtests.ratios import coverage_ratio, first_failure_ratio, independence_ratio
from assets.risk.engine.backtests.transitions import count_transitions

TIE = 1e-9


class Enumeration:
    """Every sequence of a length with its probability and its likelihood ratios, each counted from the sequence."""

    def __init__(self, observations: int, probability: float) -> None:
        sequences = np.array(list(product([False, True], repeat=observations)))
        counted = [count_transitions(sequence) for sequence in sequences]
        self.exceptions = np.array([each.exceptions for each in counted])
        self.weight = probability**self.exceptions * (1 - probability) ** (observations - self.exceptions)
        self.coverage = coverage_ratio(self.exceptions, observations, probability)
        columns = np.array([(each.n00, each.n01, each.n10, each.n11) for each in counted]).T
        self.independence = independence_ratio(*columns)
        waits = np.where(sequences.any(axis=1), sequences.argmax(axis=1) + 1, 1)
        censored = -2 * observations * np.log1p(-probability)
        self.first_failure = np.where(sequences.any(axis=1), first_failure_ratio(waits, probability), censored)

    def mass(self, ratios: np.ndarray, observed: float) -> float:
        return float(self.weight[ratios >= observed - TIE].sum())


@pytest.mark.parametrize("probability", [0.01, 0.3])
@pytest.mark.parametrize("observations", [1, 2, 3, 5, 8, 12])
def test_exact_p_values__equal_enumeration_of_all_sequences(observations: int, probability: float) -> None:
    truth = Enumeration(observations, probability)
    known = sequence_distribution(observations, probability)
    joint = truth.coverage + truth.independence
    for row in np.unique(np.round([truth.coverage, truth.independence, joint], 9), axis=1, return_index=True)[1]:
        uc, ind, cc = truth.coverage[row], truth.independence[row], joint[row]
        assert coverage_p_value(uc, observations, probability) == pytest.approx(
            truth.mass(truth.coverage, uc), abs=1e-12
        )
        assert known.independence_p_value(ind) == pytest.approx(truth.mass(truth.independence, ind), abs=1e-12)
        assert known.conditional_coverage_p_value(cc) == pytest.approx(truth.mass(joint, cc), abs=1e-12)
        tuff = truth.first_failure[row]
        assert first_failure_p_value(tuff, observations, probability) == pytest.approx(
            truth.mass(truth.first_failure, tuff), abs=1e-12
        )


@pytest.mark.parametrize("observations", [2, 5, 11])
def test_independence_p_value_given_count__equals_enumeration_of_all_orderings(observations: int) -> None:
    truth = Enumeration(observations, 0.5)
    for exceptions in range(observations + 1):
        ratios = truth.independence[truth.exceptions == exceptions]
        for observed in np.unique(np.round(ratios, 10)):
            assert independence_p_value_given_count(observed, observations, exceptions) == pytest.approx(
                np.mean(ratios >= observed - TIE), abs=1e-12
            )


def test_exact_p_values__agree_with_simulation_at_250_days() -> None:
    samples, observations, probability = 40_000, 250, 0.025
    hits = np.random.default_rng(20260101).random((samples, observations)) < probability
    before, after = hits[:, :-1], hits[:, 1:]
    both, up, down = (np.count_nonzero(each, axis=1) for each in (before & after, ~before & after, before & ~after))
    independence = independence_ratio(observations - 1 - both - up - down, up, down, both)
    joint = independence + coverage_ratio(np.count_nonzero(hits, axis=1), observations, probability)
    known = sequence_distribution(observations, probability)
    for observed in (0.3, 0.6, 1.5, 3.841, 6.0):
        for exact, simulated in (
            (known.independence_p_value(observed), np.mean(independence >= observed - TIE)),
            (known.conditional_coverage_p_value(observed), np.mean(joint >= observed - TIE)),
        ):
            assert simulated == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / samples))


@pytest.mark.parametrize("probability", [0.01, 0.05, 0.4])
@pytest.mark.parametrize("observations", [2, 250, 1000, 3650])
def test_sequence_distribution__leaves_nothing_of_weight_out(observations: int, probability: float) -> None:
    known = sequence_distribution(observations, probability)
    mean = known.exceptions @ known.probability
    assert known.probability.sum() == pytest.approx(1.0, abs=1e-11)
    assert mean == pytest.approx(observations * probability, rel=1e-10)


def test_exact_p_values__differ_from_chi_square_where_it_misleads() -> None:
    # Zero exceptions in a year: 2.5% by chi-square, yet a right model does at least as badly in 9% of the years.
    assert coverage_p_value(5.02516, 250, 0.01) == pytest.approx(0.0948, abs=5e-4)
