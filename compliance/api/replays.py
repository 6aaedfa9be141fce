"""Replays of policies that people start: one at a time in a process, kept in its memory for an hour, never stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from secrets import token_hex
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from compliance.api.errors import ReplayBusyError, ReplayNotFoundError
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


class _CancelledError(Exception):
    """Somebody asked the replay to stop."""


class Replays:
    """The replays of this process; safe to use from several threads."""

    def __init__(self, source: ReplaySource, clock: Clock, new_id: Callable[[], str] = lambda: token_hex(12)) -> None:
        self._source = source
        self._clock = clock
        self._new_id = new_id
        self._lock = threading.Lock()
        self._runs: dict[str, ReplayRun] = {}
        self._cancel: dict[str, threading.Event] = {}
        self._thread: threading.Thread | None = None

    def start(self, judge: Judge, days: int, started_by: str) -> ReplayRun:
        """Begin a replay over the last days; raises `ReplayBusyError` while another one runs."""
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
            self._cancel[run.replay_id] = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(run, judge), name="policy-replay", daemon=True)
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
            self._cancel[replay_id].set()
        return run

    def close(self) -> None:
        """Stop what runs, and wait for its end for a few seconds."""
        with self._lock:
            for event in self._cancel.values():
                event.set()
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_WAIT_S)

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of what runs."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _run(self, run: ReplayRun, judge: Judge) -> None:
        cancel = self._cancel[run.replay_id]

        def progress(more: int) -> None:
            with self._lock:
                current = self._runs[run.replay_id]
                self._runs[run.replay_id] = replace(current, done=current.done + more)
            if cancel.is_set():
                raise _CancelledError

        state, problem, report = ReplayState.FAILED, None, None
        try:
            self._change(run.replay_id, total=self._source.count(run.since, run.until))
            found = replay(judge, self._source.read(judge, run.since, run.until), progress, EVERY)
            report = found.to_json()
            state = ReplayState.DONE
        except _CancelledError:
            state = ReplayState.CANCELLED
        except SQLAlchemyError as error:
            problem = f"PostgreSQL did not answer ({type(error).__name__})."
        except BallastError as error:
            problem = error.message
        except Exception as error:
            # Its own text may hold figures of transactions.
            _log.error("policy_replay_failed", reason=type(error).__name__)
            problem = f"The replay failed ({type(error).__name__})."
        self._change(run.replay_id, state=state, problem=problem, report=report, ended_at=self._clock.now())

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
                del self._runs[replay_id], self._cancel[replay_id]
