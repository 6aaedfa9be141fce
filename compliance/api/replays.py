"""Replays of policies that people start: one at a time in a process, kept in its memory for an hour, never stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from secrets import token_hex
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from compliance.api.errors import ReplayBusyError, ReplayNotFoundError
from compliance.errors import ComplianceError
from compliance.policy.judging import Judge
from compliance.policy.replay import Past, replay
from infra.runtime.clock import Clock
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger

KEPT = timedelta(hours=1)
MOST_KEPT = 20
CLOSE_WAIT_S = 5.0
# How often a replay looks whether it shall stop, in transactions.
EVERY = 50
_log = get_logger(__name__)


class ReplayState(StrEnum):
    """How far a replay is."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED = frozenset({ReplayState.DONE, ReplayState.CANCELLED, ReplayState.FAILED})


@dataclass(frozen=True, slots=True)
class ReplayRun:
    """A replay as it stands; `total` None: not counted yet; `report` is there once it is done."""

    replay_id: str
    policy_version: str
    days: int
    since: datetime
    until: datetime
    started_by: str
    started_at: datetime
    state: ReplayState = ReplayState.RUNNING
    done: int = 0
    total: int | None = None
    ended_at: datetime | None = None
    problem: str | None = None
    report: dict[str, Any] | None = None


class ReplayFailedError(ComplianceError):
    """A replay ended without a report; the message is for who started it."""

    code = "replay_failed"


@dataclass(frozen=True, slots=True)
class Task:
    """What is replayed: the policy, ready and as text (`name` is what refusals call it), over `(since, until]`."""

    judge: Judge
    name: str
    text: str
    since: datetime
    until: datetime


class Tell(Protocol):
    """Who is told how far a replay is; what this raises ends the replay."""

    def total(self, transactions: int) -> None:
        """So many there are."""
        ...

    def more(self, transactions: int) -> None:
        """So many more are judged."""
        ...

    def stoppable(self, stop: Callable[[], None]) -> None:
        """How to stop what is not told anything while it waits."""


class Run(Protocol):
    """Replays a task and gives the report."""

    def __call__(self, task: Task, tell: Tell, /) -> dict[str, Any]: ...


class ReplaySource:
    """Where a replay reads the past; each call opens connections of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def count(self, since: datetime, until: datetime) -> int:
        """How many transactions there are in `(since, until]`."""
        from compliance.policy.history import count_past

        return count_past(self._engine, since, until)

    def read(self, judge: Judge, since: datetime, until: datetime) -> Iterable[Past]:
        """The transactions of `(since, until]` with the figures that the policy goes by."""
        from compliance.policy.history import read_past

        return read_past(self._engine, judge.policy, since, until)


def replay_here(source: ReplaySource) -> Run:
    """Replays in this thread."""

    def run(task: Task, tell: Tell) -> dict[str, Any]:
        tell.total(source.count(task.since, task.until))
        return replay(task.judge, source.read(task.judge, task.since, task.until), tell.more, EVERY).to_json()

    return run


def problem_of(error: Exception) -> str:
    """What ended a replay, in words that hold no figures of transactions."""
    if isinstance(error, BallastError):
        return error.message
    if isinstance(error, SQLAlchemyError):
        return f"PostgreSQL did not answer ({type(error).__name__})."
    _log.error("policy_replay_failed", reason=type(error).__name__)
    return f"The replay failed ({type(error).__name__})."


class _CancelledError(Exception):
    """Somebody asked the replay to stop."""


class Replays:
    """The replays of this process; safe to use from several threads."""

    def __init__(self, run: Run, clock: Clock, new_id: Callable[[], str] = lambda: token_hex(12)) -> None:
        self._replay = run
        self._clock = clock
        self._new_id = new_id
        self._lock = threading.Lock()
        self._runs: dict[str, ReplayRun] = {}
        self._progress: dict[str, _Progress] = {}
        self._thread: threading.Thread | None = None

    def start(self, judge: Judge, name: str, text: str, days: int, started_by: str) -> ReplayRun:
        """Begin a replay of the policy over the last days; raises `ReplayBusyError` while another one runs."""
        now = self._clock.now()
        with self._lock:
            self._forget(now)
            busy = next((run for run in self._runs.values() if run.state is ReplayState.RUNNING), None)
            if busy is not None:
                raise ReplayBusyError(
                    f"A replay of policy {busy.policy_version} runs already, which {busy.started_by} started; wait for"
                    f" it, or cancel {busy.replay_id}."
                )
            run = ReplayRun(
                replay_id=f"rpl_{self._new_id()}",
                policy_version=judge.policy.version,
                days=days,
                since=now - timedelta(days=days),
                until=now,
                started_by=started_by,
                started_at=now,
            )
            self._runs[run.replay_id] = run
            progress = self._progress[run.replay_id] = _Progress(partial(self._note, run.replay_id))
            task = Task(judge, name, text, run.since, run.until)
            self._thread = threading.Thread(
                target=self._run, args=(run, task, progress), name="policy-replay", daemon=True
            )
            self._thread.start()
        return run

    def get(self, replay_id: str) -> ReplayRun:
        """The replay as it stands now; raises `ReplayNotFoundError`."""
        with self._lock:
            self._forget(self._clock.now())
            return self._known(replay_id)

    def cancel(self, replay_id: str) -> ReplayRun:
        """Ask a replay to stop, which it does soon; one that has ended stays as it is."""
        with self._lock:
            run = self._known(replay_id)
            self._progress[replay_id].cancel()
        return run

    def close(self) -> None:
        """Stop what runs, and wait for its end for a few seconds."""
        with self._lock:
            for progress in self._progress.values():
                progress.cancel()
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_WAIT_S)

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of what runs."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _run(self, run: ReplayRun, task: Task, progress: _Progress) -> None:
        state, problem, report = ReplayState.FAILED, None, None
        try:
            report = self._replay(task, progress)
            state = ReplayState.DONE
        except _CancelledError:
            state = ReplayState.CANCELLED
        except Exception as error:
            problem = problem_of(error)
        self._change(run.replay_id, state=state, problem=problem, report=report, ended_at=self._clock.now())

    def _note(self, replay_id: str, total: int | None, more: int) -> None:
        with self._lock:
            run = self._runs[replay_id]
            self._runs[replay_id] = replace(run, done=run.done + more, total=run.total if total is None else total)

    def _change(self, replay_id: str, **changes: Any) -> None:
        with self._lock:
            self._runs[replay_id] = replace(self._runs[replay_id], **changes)

    def _known(self, replay_id: str) -> ReplayRun:
        run = self._runs.get(replay_id)
        if run is None:
            raise ReplayNotFoundError(
                f"There is no replay {replay_id}: one is kept for an hour, until the API restarts. Start it anew."
            )
        return run

    def _forget(self, now: datetime) -> None:
        """Drop what ended an hour ago, and the oldest of too many."""
        ended = sorted(
            ((run.ended_at, replay_id) for replay_id, run in self._runs.items() if run.ended_at is not None),
            reverse=True,
        )
        for place, (ended_at, replay_id) in enumerate(ended):
            if now - ended_at > KEPT or place >= MOST_KEPT:
                del self._runs[replay_id], self._progress[replay_id]


class _Progress(Tell):
    """Notes how far a replay is, and ends it once somebody cancelled it."""

    def __init__(self, note: Callable[[int | None, int], None]) -> None:
        self._note = note
        self._is_cancelled = threading.Event()
        self._stop: Callable[[], None] | None = None

    def total(self, transactions: int) -> None:
        self._tell(transactions, 0)

    def more(self, transactions: int) -> None:
        self._tell(None, transactions)

    def stoppable(self, stop: Callable[[], None]) -> None:
        # First noted, then looked: whoever cancels does it the other way round, so that one of both stops it.
        self._stop = stop
        if self._is_cancelled.is_set():
            stop()

    def cancel(self) -> None:
        """End the replay at its next sign of progress, or at once where it waits and can be stopped."""
        self._is_cancelled.set()
        if self._stop is not None:
            self._stop()

    def _tell(self, total: int | None, more: int) -> None:
        self._note(total, more)
        if self._is_cancelled.is_set():
            raise _CancelledError
