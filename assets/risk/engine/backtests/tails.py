"""Null distributions for statistics that depend on the size of the losses, and so on a tail that one must assume."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from assets.risk.engine.backtests.special import Floats, normal_upper_quantile


class Tail(StrEnum):
    """The assumed distribution of P&L; only its shape matters, the forecasts carry the scale."""

    NORMAL = "normal"
    STUDENT_T4 = "student_t4"


def simulated_z2(
    observations: int, probability: float, simulations: int, generator: np.random.Generator, tail: Tail
) -> Floats:
    """Z2 of independent days whose VaR and ES forecasts are exact: the number of exceptions is binomial, and each loss
    over ES is that of the tail beyond its own quantile.
    """
    counts = generator.binomial(observations, probability, size=simulations)
    beyond = probability * (1 - generator.random(int(counts.sum())))
    losses = upper_quantile(beyond, tail) / expected_shortfall(probability, tail)
    series = np.repeat(np.arange(simulations), counts)
    sums = np.bincount(series, weights=losses, minlength=simulations)
    return np.asarray(1 - sums / (observations * probability), dtype=np.float64)


def upper_quantile(tail_probability: Floats, tail: Tail) -> Floats:
    """The loss exceeded with that probability (below one half), in units of the distribution's own scale.

    Student-t with four degrees of freedom has a closed form (Shaw 2006, Journal of Computational Finance 9(4)).
    """
    if tail is Tail.NORMAL:
        return normal_upper_quantile(tail_probability)
    root = np.sqrt(4 * tail_probability * (1 - tail_probability))
    return np.asarray(2 * np.sqrt(np.maximum(np.cos(np.arccos(root) / 3) / root - 1, 0.0)), dtype=np.float64)


def expected_shortfall(probability: float, tail: Tail) -> float:
    """Mean loss beyond the quantile of that tail probability, in the same units."""
    quantile = float(upper_quantile(np.array([probability]), tail)[0])
    if tail is Tail.NORMAL:
        return math.exp(-(quantile**2) / 2) / math.sqrt(2 * math.pi) / probability
    density = 3 / 8 / (1 + quantile**2 / 4) ** 2 / math.sqrt(1 + quantile**2 / 4)
    return density / probability * (4 + quantile**2) / 3
