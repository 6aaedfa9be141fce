"""What one backtest found, or why it found nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIGNIFICANCE = 0.05
SIMULATIONS = 499
SIMULATION_TIE = 1e-7


@dataclass(frozen=True)
class Outcome:
    """A statistic with its p-values; all None, and a reason in words, where the data cannot carry the test.

    `p_value` is asymptotic (or from a bootstrap where the test says so), `exact_p_value` holds at this sample size:
    in closed form, or as a Monte Carlo test where the test says so.
    """

    statistic: float | None = None
    p_value: float | None = None
    exact_p_value: float | None = None
    degrees_of_freedom: int | None = None
    reason: str | None = None

    @property
    def decisive_p_value(self) -> float | None:
        """The p-value to judge by: the exact one where there is one, as asymptotic ones mislead at 250 days."""
        return self.p_value if self.exact_p_value is None else self.exact_p_value

    def rejects(self, significance: float = SIGNIFICANCE) -> bool:
        """Whether the null hypothesis falls; a test that could not be computed rejects nothing."""
        decisive = self.decisive_p_value
        return decisive is not None and decisive < significance


def simulated_p_value(observed: float, simulated: NDArray[np.float64]) -> float:
    """(1 + how many are at least as large) / (1 + how many there are), where near ties count as equal.

    The p-value of a Monte Carlo test, which keeps its level at any number of simulations.
    """
    as_large = np.count_nonzero(simulated >= observed - SIMULATION_TIE * max(abs(observed), 1.0))
    return (1 + int(as_large)) / (1 + simulated.size)
