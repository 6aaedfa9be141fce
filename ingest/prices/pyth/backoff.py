"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Exponential back-off with full jitter: a random time up to `base_s`, twice, four times that, up to `max_s`.

    Not for several threads at once.
    """

    base_s: float
    max_s: float
    generator: random.Random
    _failures: int = field(default=0, init=False)

    def next_s(self) -> float:
        """The wait after one more failure."""
        # Beyond 2**32 times the base every limit is reached.
        longest = min(self.max_s, self.base_s * 2 ** min(self._failures, 32))
        self._failures += 1
        return self.generator.uniform(0, longest)

    def reset(self) -> None:
        """Begin anew: the provider works."""
        self._failures = 0
