"""The few special functions that the backtests need, with types; SciPy ships none."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hits = NDArray[np.bool_]


def chi_square_tail(statistic: float, degrees_of_freedom: int) -> float:
    """P(chi-square >= statistic)."""
    return float(special.chdtrc(degrees_of_freedom, max(statistic, 0.0)))


def binomial_cdf(count: int, observations: int, probability: float) -> float:
    """P(X <= count) for X ~ Binomial(observations, probability)."""
    if count < 0:
        return 0.0
    if count >= observations:
        return 1.0
    return float(special.betainc(observations - count, count + 1, 1.0 - probability))


def binomial_tail(count: int, observations: int, probability: float) -> float:
    """P(X >= count) for X ~ Binomial(observations, probability), without the cancellation of 1 - cdf."""
    if count <= 0:
        return 1.0
    if count > observations:
        return 0.0
    return float(special.betainc(count, observations - count + 1, probability))


def log_binomial_pmf(counts: Ints, observations: int, probability: float) -> Floats:
    """log P(X = count) for X ~ Binomial(observations, probability)."""
    log_factorial = log_factorials(observations)
    log_choose = log_factorial[observations] - log_factorial[counts] - log_factorial[observations - counts]
    return cast(Floats, log_choose + counts * np.log(probability) + (observations - counts) * np.log1p(-probability))


def log_factorials(largest: int) -> Floats:
    """log k! for k = 0 ... largest."""
    return cast(Floats, special.gammaln(np.arange(1.0, largest + 2.0)))


def divergence(observed: ArrayLike, expected: ArrayLike) -> Floats:
    """observed * log(observed / expected), elementwise; 0 log 0 = 0, also where both are zero."""
    return cast(Floats, special.rel_entr(observed, expected))


def normal_upper_quantile(tail_probability: Floats) -> Floats:
    """The value that a standard normal exceeds with that probability."""
    return cast(Floats, -special.ndtri(tail_probability))
