"""What one backtest found, or why it found nothing."""

from __future__ import annotations

from dataclasses import dataclass

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Outcome:
    """A statistic with its p-values; all None, and a reason in words, where the data cannot carry the test.

    `p_value` is asymptotic (or from a bootstrap where the test says so), `exact_p_value` holds at this sample size.
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
