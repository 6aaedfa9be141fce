"""Confidences, the size of a tail, and which order statistics bound a quantile."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from scipy.stats import binom

from assets.risk.engine.errors import RiskInputError

STANDARD_CONFIDENCES = (Decimal("0.95"), Decimal("0.975"), Decimal("0.99"), Decimal("0.999"))
INTERVAL_CONFIDENCE = Decimal("0.95")
_LOWEST, _HIGHEST = Decimal("0.5"), Decimal(1)


@dataclass(frozen=True)
class TailRanks:
    """Ranks among losses sorted from the worst (1) on.

    `tail` is k, the rank of Value at Risk. `upper` and `lower` are the ranks of the worse and the milder end of its
    interval; None where the sample is too small to bound that end.
    """

    tail: int
    upper: int | None
    lower: int | None

    @property
    def deepest(self) -> int:
        """How many of the worst losses must be known for all of these."""
        return max(self.tail, self.lower or 0)


def checked_confidence(confidence: Decimal) -> Decimal:
    """`confidence`, or `RiskInputError` where it is not a number strictly between 0.5 and 1."""
    if not confidence.is_finite() or not _LOWEST < confidence < _HIGHEST:
        raise RiskInputError(f"confidence {confidence} is not between 0.5 and 1, both excluded; 0.99 is usual")
    return confidence


def tail_count(observations: int, confidence: Decimal) -> int:
    """k = ceil(n * (1 - confidence)) in exact arithmetic: 5 for n = 500 at 99%."""
    if observations < 1:
        raise RiskInputError("an estimate needs at least one observation")
    exact = observations * (1 - checked_confidence(confidence))
    return int(exact.to_integral_value(rounding=ROUND_CEILING))


@lru_cache(maxsize=1024)
def tail_ranks(observations: int, confidence: Decimal, interval_confidence: Decimal = INTERVAL_CONFIDENCE) -> TailRanks:
    """Ranks of VaR and of its distribution-free interval.

    The number N of losses beyond the true quantile is Binomial(n, 1 - confidence). The worse end is the largest rank l
    with P(N <= l - 1) <= a, the milder end the smallest rank u with P(N >= u) <= a, for a half of what the interval
    leaves out (David & Nagaraja, Order Statistics, 7.1).
    """
    tail = tail_count(observations, confidence)
    left_out = float(1 - checked_confidence(interval_confidence)) / 2
    beyond = float(1 - confidence)
    upper = lower = None
    for rank in range(1, observations + 1):
        if binom.cdf(rank - 1, observations, beyond) <= left_out:
            upper = rank
        if binom.sf(rank - 1, observations, beyond) <= left_out:
            lower = rank
            break
    return TailRanks(tail, upper, lower)
