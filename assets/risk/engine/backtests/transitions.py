"""From P&L and forecasts to exceptions, and from exceptions to their transitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.risk.engine.backtests.special import Floats, Hits
from assets.risk.engine.errors import RiskInputError


@dataclass(frozen=True)
class Transitions:
    """How often a day of state i was followed by one of state j (1 = exception), over all n - 1 pairs of days.

    The first and last day belong to a single pair each, so the counts differ from those of the n days by at most one.
    """

    observations: int
    exceptions: int
    n00: int
    n01: int
    n10: int
    n11: int

    def __post_init__(self) -> None:
        """Refuse counts that no series has."""
        counts = (self.n00, self.n01, self.n10, self.n11, self.exceptions)
        pairs = self.n00 + self.n01 + self.n10 + self.n11
        if min(counts) < 0 or pairs != max(self.observations - 1, 0) or abs(self.n01 - self.n10) > 1:
            raise RiskInputError(
                f"transitions {self.n00}, {self.n01}, {self.n10}, {self.n11} do not come from {self.observations} days"
            )


def exceptions_of(pnl: Floats, var: Floats) -> Hits:
    """Days with a loss strictly greater than the Value at Risk forecast; P&L is positive for a gain."""
    return np.asarray(-pnl > var, dtype=np.bool_)


def count_transitions(hits: Hits) -> Transitions:
    """Count all four transitions, also where there is no exception or the only one is first or last."""
    before, after = hits[:-1], hits[1:]
    both = int(np.count_nonzero(before & after))
    up = int(np.count_nonzero(after)) - both
    down = int(np.count_nonzero(before)) - both
    pairs = max(hits.size - 1, 0)
    return Transitions(
        observations=int(hits.size),
        exceptions=int(np.count_nonzero(hits)),
        n00=pairs - both - up - down,
        n01=up,
        n10=down,
        n11=both,
    )
