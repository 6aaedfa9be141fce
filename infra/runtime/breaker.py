"""A circuit breaker: after faults in a row nothing is tried for a while, then one probe decides.

| State | Attempts | Leaves it |
|---|---|---|
| closed | all | `faults` in a row: open |
| open | none | after the open time: half_open |
| half_open | one probe | success: closed; fault: open, twice as long as before, up to eight times `open_s` |
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

MAX_GROWTH = 8


class BreakerState(StrEnum):
    """Whether attempts pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Counts what `succeeded` and `failed` report; `monotonic` gives seconds that never go back."""

    def __init__(self, faults: int, open_s: float, monotonic: Callable[[], float]) -> None:
        self._faults = faults
        self._open_s = open_s
        self._monotonic = monotonic
        self._state = BreakerState.CLOSED
        self._in_a_row = 0
        self._growth = 1
        self._until = 0.0

    @property
    def state(self) -> BreakerState:
        """The state; an open breaker stays open until somebody asks `allows` after its time."""
        return self._state

    @property
    def is_pristine(self) -> bool:
        """Closed and without a fault: nothing would be lost with it."""
        return self._state is BreakerState.CLOSED and self._in_a_row == 0

    def allows(self) -> bool:
        """Whether an attempt may start now; past the open time the caller who hears yes holds the only probe.

        A probe whose outcome nobody reports is given up after the open time, so that none can block for ever.
        """
        if self._state is BreakerState.CLOSED:
            return True
        if self._monotonic() < self._until:
            return False
        self._state = BreakerState.HALF_OPEN
        self._until = self._monotonic() + self._open_s * self._growth
        return True

    def retry_in_s(self) -> float:
        """Seconds until `allows` may say yes; 0 when it may now."""
        return 0.0 if self._state is BreakerState.CLOSED else max(self._until - self._monotonic(), 0.0)

    def succeeded(self) -> None:
        """Report an answer: the breaker closes, also when the answer belongs to an attempt from before it opened."""
        self._state, self._in_a_row, self._growth = BreakerState.CLOSED, 0, 1

    def failed(self) -> None:
        """Report a fault; while open it says nothing new, because it belongs to an attempt from before."""
        if self._state is BreakerState.OPEN:
            return
        if self._state is BreakerState.HALF_OPEN:
            self._growth = min(self._growth * 2, MAX_GROWTH)
        else:
            self._in_a_row += 1
            if self._in_a_row < self._faults:
                return
        self._state = BreakerState.OPEN
        self._until = self._monotonic() + self._open_s * self._growth
