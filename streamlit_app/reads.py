"""What a read of the marts gave: the value, when it was read, and what was wrong; and the last good value of each.

`SharedReads` is what all pages of the process read through: each query runs once at a time, however many ask for it.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
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


@dataclass(frozen=True)
class Read:
    """One query to run: `key` names it and its arguments; a kept value younger than `max_age` will do."""

    key: ReadKey
    run: Callable[[Reader], Any]
    max_age: timedelta = timedelta(0)


@dataclass
class LastGood:
    """Reads through a reader and keeps the last good value of each, for all sessions of the process.

    After the warehouse did not answer, further reads within `back_off` fail at once instead of waiting each for
    their own deadline; a read that was refused is not asked again within its `max_age`, at most `back_off`. At most
    `max_reads` values are kept, the least recently used goes first.
    """

    clock: Clock
    back_off: timedelta = timedelta(seconds=1)
    max_reads: int = 2_000
    _kept: OrderedDict[ReadKey, Reading[Any]] = field(default_factory=OrderedDict)
    _refused: OrderedDict[ReadKey, tuple[datetime, Problem]] = field(default_factory=OrderedDict)
    _away: tuple[datetime, Problem] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(
        self, reader: Reader, key: ReadKey, run: Callable[[Reader], Value], max_age: timedelta = timedelta(0)
    ) -> Reading[Value]:
        """Run a read, or give the kept value if it is younger than `max_age`; a failure gives the last good value."""
        known: Reading[Value] | None = self.known(key, max_age)
        if known is not None:
            return known
        asked_at = self.clock.now()
        try:
            fresh = Reading(run(reader), asked_at)
        except (BallastError, OSError) as error:
            return self.failed(key, problem_of(error))
        self._keep(key, fresh)
        return fresh

    def known(self, key: ReadKey, max_age: timedelta) -> Reading[Any] | None:
        """What is known without asking: a young value, or the last one with why asking would be in vain; else None."""
        now = self.clock.now()
        with self._lock:
            kept = self._kept.get(key, Reading(None, None))
            away, refused = self._away, self._refused.get(key)
        if kept.read_at is not None and now - kept.read_at < max_age:
            return kept
        if away is not None and now - away[0] < self.back_off:
            return replace(kept, problem=away[1])
        if refused is not None and now - refused[0] < min(max_age, self.back_off):
            return replace(kept, problem=refused[1])
        return None

    def failed(self, key: ReadKey, problem: Problem) -> Reading[Any]:
        """The last good value of a read that gave nothing new."""
        now = self.clock.now()
        with self._lock:
            if problem.kind is ProblemKind.AWAY:
                self._away = (now, problem)
            else:
                self._refused[key] = (now, problem)
                _limit(self._refused, self.max_reads)
            kept = self._kept.get(key, Reading(None, None))
        return replace(kept, problem=problem)

    def part(self, key: ReadKey, whole: Reading[Mapping[str, Value]], name: str, absent: Value) -> Reading[Value]:
        """One value out of a read of several, kept as if it had been read alone under `key`.

        Where the whole was never read, for it was of other names before, the last good one of this name counts.
        """
        if whole.value is None:
            with self._lock:
                kept: Reading[Value] = self._kept.get(key, Reading(None, None))
            return replace(kept, problem=whole.problem)
        found = Reading(whole.value.get(name, absent), whole.read_at, whole.problem)
        with self._lock:
            self._put(key, Reading(found.value, found.read_at))
        return found

    def _keep(self, key: ReadKey, fresh: Reading[Any]) -> None:
        with self._lock:
            self._away = None
            self._refused.pop(key, None)
            self._put(key, fresh)

    def _put(self, key: ReadKey, fresh: Reading[Any]) -> None:
        self._kept[key] = fresh
        self._kept.move_to_end(key)
        _limit(self._kept, self.max_reads)


@dataclass
class Watched:
    """The names that were asked for lately, so that one query reads them all: fifty people, fifty accounts, one read.

    A name counts for `lately` after it was last asked for; of more than `most` the ones asked for last count.
    """

    clock: Clock
    lately: timedelta = timedelta(seconds=5)
    most: int = 200
    _asked: OrderedDict[str, datetime] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def with_name(self, name: str) -> tuple[str, ...]:
        """This name and the others, sorted."""
        now = self.clock.now()
        with self._lock:
            self._asked[name] = now
            self._asked.move_to_end(name)
            while len(self._asked) > self.most or now - next(iter(self._asked.values())) > self.lately:
                self._asked.popitem(last=False)
            return tuple(sorted(self._asked))


@dataclass
class SharedReads:
    """The reads of all pages of a process: one warehouse, one cache, and one run of each query at a time.

    Who asks for a query that is under way gets its answer too. Nobody waits longer than `deadline_s` seconds: then
    the last good value counts, with the problem that the warehouse is away, while the query goes on by itself.
    """

    reader: Reader
    kept: LastGood
    deadline_s: float
    workers: int = 8
    _running: dict[ReadKey, Future[Reading[Any]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pool: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="read")

    def together(self, *reads: Read) -> list[Reading[Any]]:
        """These reads at the same time, in their order."""
        found = [self.kept.known(each.key, each.max_age) for each in reads]
        asked = {each.key: self._ask(each) for each, known in zip(reads, found, strict=True) if known is None}
        if asked:
            wait(asked.values(), timeout=self.deadline_s)
        return [
            known if known is not None else self._answer(each.key, asked[each.key])
            for each, known in zip(reads, found, strict=True)
        ]

    def _ask(self, each: Read) -> Future[Reading[Any]]:
        with self._lock:
            running = self._running.get(each.key)
            if running is None:
                running = self._running[each.key] = self._pool.submit(self._run, each)
            return running

    def _run(self, each: Read) -> Reading[Any]:
        try:
            return self.kept.read(self.reader, each.key, each.run, each.max_age)
        finally:
            with self._lock:
                self._running.pop(each.key, None)

    def _answer(self, key: ReadKey, asked: Future[Reading[Any]]) -> Reading[Any]:
        if asked.done():
            return asked.result()
        return self.kept.failed(key, Problem(ProblemKind.AWAY, f"no answer within {self.deadline_s:g} s"))


def _limit(kept: OrderedDict[ReadKey, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
