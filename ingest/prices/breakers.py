"""One circuit breaker a source: a source that fails or falls silent stops counting until it was well for a while.

A breaker stops no calls: sources call their providers themselves, with their own back-off. It decides whether what
they give may be used. Pure: every step takes the time and gives the next breaker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from ingest.messages import BreakerState

TRANSITIONS: dict[BreakerState, frozenset[BreakerState]] = {
    BreakerState.CLOSED: frozenset({BreakerState.OPEN}),
    BreakerState.OPEN: frozenset({BreakerState.HALF_OPEN}),
    BreakerState.HALF_OPEN: frozenset({BreakerState.CLOSED, BreakerState.OPEN}),
}
SILENT = "silent"


class Standing(StrEnum):
    """What a source's readings are worth now."""

    USABLE = "usable"
    LAST_RESORT = "last_resort"
    UNUSABLE = "unusable"


@dataclass(frozen=True)
class BreakerPolicy:
    """When a breaker opens and closes.

    It opens after `failures_to_open` failures in a row or `silence` without an answer; may close `cool_down` later
    (doubled at each opening that follows a short closed time, up to `longest_cool_down`); and closes after
    `answers_to_close` answers in a row over at least `recovery`.
    """

    failures_to_open: int = 5
    silence: timedelta = timedelta(seconds=60)
    cool_down: timedelta = timedelta(seconds=5)
    longest_cool_down: timedelta = timedelta(minutes=5)
    steady_after: timedelta = timedelta(minutes=10)
    answers_to_close: int = 3
    recovery: timedelta = timedelta(seconds=10)


@dataclass(frozen=True)
class LastError:
    """The last thing that went wrong with a source; `reason` names no secret."""

    code: str
    reason: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """The state of one source's breaker; `since` is when the state began, `failures` and `answers` are in a row."""

    source: str
    since: datetime
    state: BreakerState = BreakerState.CLOSED
    policy: BreakerPolicy = BreakerPolicy()
    failures: int = 0
    answers: int = 0
    openings: int = 0
    last_error: LastError | None = None
    last_answered_at: datetime | None = None
    last_tick_at: datetime | None = None

    @property
    def standing(self) -> Standing:
        """Half-open counts only where nothing better is there."""
        match self.state:
            case BreakerState.CLOSED:
                return Standing.USABLE
            case BreakerState.HALF_OPEN:
                return Standing.LAST_RESORT
            case BreakerState.OPEN:
                return Standing.UNUSABLE

    @property
    def cool_down(self) -> timedelta:
        """How long it stays open now."""
        doublings = min(max(self.openings - 1, 0), 16)
        return min(self.policy.cool_down * (1 << doublings), self.policy.longest_cool_down)

    def answered(self, at: datetime) -> Breaker:
        """The source was read completely."""
        known = replace(self, failures=0, answers=self.answers + 1, last_answered_at=at)._cooled(at)
        if known.state is not BreakerState.HALF_OPEN:
            return known
        if known.answers >= known.policy.answers_to_close and at - known.since >= known.policy.recovery:
            return known._turned(BreakerState.CLOSED, at)
        return known

    def ticked(self, at: datetime) -> Breaker:
        """The source gave a reading; whether it answered completely is said by `answered`."""
        return replace(self, last_tick_at=at)

    def rejected(self, code: str, reason: str, at: datetime) -> Breaker:
        """One reading of one asset cannot be used: remembered, but no reason to distrust all other assets."""
        return replace(self, last_error=LastError(code, reason, at))

    def failed(self, code: str, reason: str, at: datetime) -> Breaker:
        """The source could not be read."""
        known = replace(self, failures=self.failures + 1, answers=0, last_error=LastError(code, reason, at))
        too_many = known.failures >= known.policy.failures_to_open
        if known.state is BreakerState.HALF_OPEN or (known.state is BreakerState.CLOSED and too_many):
            return known._opened(at)
        return known

    def broken(self, code: str, reason: str, at: datetime) -> Breaker:
        """The source cannot run at all: open at once, and open still while it is said again."""
        known = replace(self, failures=self.failures + 1, answers=0, last_error=LastError(code, reason, at))
        return known if known.state is BreakerState.OPEN else known._opened(at)

    def passed(self, at: datetime) -> Breaker:
        """Time went by: silence opens it."""
        heard = max(self.last_answered_at or self.since, self.since)
        if self.state is BreakerState.OPEN or at - heard < self.policy.silence:
            return self
        # Where failures led to the silence (a source waits longer and longer), the failure tells more.
        silence = LastError(SILENT, f"no complete answer since {heard:%Y-%m-%d %H:%M:%S} UTC", at)
        error = self.last_error if self.failures else silence
        return replace(self, answers=0, last_error=error)._opened(at)

    def _cooled(self, at: datetime) -> Breaker:
        """Half-open once it was open for long enough and the source says something again."""
        if self.state is BreakerState.OPEN and at - self.since >= self.cool_down and self.answers > 0:
            return replace(self._turned(BreakerState.HALF_OPEN, at), answers=1)
        return self

    def _opened(self, at: datetime) -> Breaker:
        was_steady = self.state is BreakerState.CLOSED and at - self.since >= self.policy.steady_after
        return replace(self._turned(BreakerState.OPEN, at), openings=1 if was_steady else self.openings + 1)

    def _turned(self, state: BreakerState, at: datetime) -> Breaker:
        assert state in TRANSITIONS[self.state], f"no breaker goes from {self.state} to {state}"
        return replace(self, state=state, since=at)


def explained(breaker: Breaker) -> str:
    """Why the source does not count fully, in words; empty while it does."""
    error = f" ({breaker.last_error.code}: {breaker.last_error.reason})" if breaker.last_error else ""
    since = f"{breaker.since:%Y-%m-%d %H:%M:%S} UTC"
    match breaker.state:
        case BreakerState.CLOSED:
            return ""
        case BreakerState.HALF_OPEN:
            return f"answers again since {since} and is on probation"
        case BreakerState.OPEN:
            return f"cannot be relied upon since {since}{error}"
