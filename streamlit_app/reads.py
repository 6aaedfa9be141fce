"""What a read of the marts gave: the value, when it was read, and what was wrong; and the last good value of each."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from assets.risk.queries import Reader
from infra.runtime.clock import Clock
from infra.runtime.errors import BallastError, NotReadyError

Value = TypeVar("Value")
ReadKey = tuple[Hashable, ...]


# BigQuery's words for a table or dataset that is not there; a missing function or column is another matter.
_ABSENT = re.compile(r"not found: (table|dataset|view)\b", re.IGNORECASE)


class ProblemKind(StrEnum):
    """Why a read gave nothing new."""

    AWAY = "away"
    NOT_BUILT = "not_built"
    REFUSED = "refused"


@dataclass(frozen=True)
class Problem:
    """What went wrong with a read, in words for a person."""

    kind: ProblemKind
    message: str


@dataclass(frozen=True)
class Reading(Generic[Value]):
    """One read of the marts.

    With a problem, `value` is the last good one, read at `read_at` (UTC); both are None if there never was one.
    """

    value: Value | None
    read_at: datetime | None
    problem: Problem | None = None

    def age_s(self, now: datetime) -> float | None:
        """Seconds since the value was read."""
        return None if self.read_at is None else max(0.0, (now - self.read_at).total_seconds())


def problem_of(error: Exception) -> Problem:
    """The problem that an error of a read stands for."""
    message = error.message if isinstance(error, BallastError) else f"{type(error).__name__}: {error}"
    if isinstance(error, NotReadyError | OSError):
        return Problem(ProblemKind.AWAY, message)
    if _ABSENT.search(message):
        return Problem(ProblemKind.NOT_BUILT, message)
    return Problem(ProblemKind.REFUSED, message)


@dataclass
class LastGood:
    """Reads through a reader and keeps the last good value of each, for all sessions of the process.

    After the warehouse did not answer, further reads within `back_off` fail at once instead of waiting each for
    their own deadline. At most `max_reads` values are kept, the least recently used goes first.
    """

    clock: Clock
    back_off: timedelta = timedelta(seconds=1)
    max_reads: int = 2_000
    _kept: OrderedDict[ReadKey, Reading[Any]] = field(default_factory=OrderedDict)
    _away: tuple[datetime, Problem] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(
        self, reader: Reader, key: ReadKey, run: Callable[[Reader], Value], max_age: timedelta = timedelta(0)
    ) -> Reading[Value]:
        """Run a read, or give the kept value if it is younger than `max_age`; a failure gives the last good value."""
        asked_at = self.clock.now()
        with self._lock:
            kept: Reading[Value] = self._kept.get(key, Reading(None, None))
            away = self._away
        if kept.read_at is not None and asked_at - kept.read_at < max_age:
            return kept
        if away is not None and asked_at - away[0] < self.back_off:
            return replace(kept, problem=away[1])
        try:
            fresh = Reading(run(reader), asked_at)
        except (BallastError, OSError) as error:
            return self._failed(kept, problem_of(error))
        self._keep(key, fresh)
        return fresh

    def _failed(self, kept: Reading[Value], problem: Problem) -> Reading[Value]:
        if problem.kind is ProblemKind.AWAY:
            with self._lock:
                self._away = (self.clock.now(), problem)
        return replace(kept, problem=problem)

    def _keep(self, key: ReadKey, fresh: Reading[Any]) -> None:
        with self._lock:
            self._away = None
            self._kept[key] = fresh
            self._kept.move_to_end(key)
            while len(self._kept) > self.max_reads:
                self._kept.popitem(last=False)
