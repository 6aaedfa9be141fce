"""Processes that repeat jobs: each has a thread of its own, so that one which waits or fails leaves the others alone.

A job's failure stays its own, and shows as a stable code in the log, the health check and the heartbeat.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from infra.runtime.errors import BallastError
from infra.runtime.heartbeats import Heartbeat, beating
from infra.runtime.logs import get_logger
from infra.runtime.monitor import Health, MonitorServer
from infra.runtime.pubsub import BatchConsumer

# A request that hangs is given up with the process: what it was about is done again.
STOP_WAIT_S = 5.0
_log = get_logger(__name__)


@dataclass
class Job:
    """Work that is repeated every `every_s` seconds, at once where `run` returns True.

    `problem` is a stable code of what keeps it from its work, `<name>_starting` until it has worked once; None while it
    works.
    """

    name: str
    every_s: float
    run: Callable[[], bool]
    close: Callable[[], None] = lambda: None
    problem: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.problem = self._starting

    @property
    def _starting(self) -> str:
        return f"{self.name}_starting"

    def repeat(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            if not self.once():
                stop.wait(self.every_s)
        self.close()

    def once(self) -> bool:
        """Work once; True when there is more to do. A failure is logged when it begins and when it is over."""
        before = self.problem
        try:
            has_more = self.run()
        except Exception as error:
            code = _code(error)
            self.problem = f"{self.name}_{code}"
            if before != self.problem:
                # No message and no traceback: they may repeat what personal data a failing call was about.
                _log.warning("job_waits", job=self.name, reason=type(error).__name__, code=code, line=_place(error))
            return False
        self.problem = None
        if before not in (None, self._starting):
            _log.info("job_works_again", job=self.name, was=before)
        return has_more


@dataclass
class Consuming:
    """A consumer of Pub/Sub among the jobs; `problem` is what its last batch failed of, or that it stands still."""

    name: str
    consumer: BatchConsumer

    def repeat(self, stop: threading.Event) -> None:
        """Consume until `stop` is set."""
        self.consumer.run(stop)

    @property
    def problem(self) -> str | None:
        """A stable code; None while batches are handled."""
        code = self.consumer.problem if self.consumer.is_turning() else "stands_still"
        return f"{self.name}_{code}" if code else None


class Repeated(Protocol):
    """What `run_jobs` runs in a thread of its own."""

    @property
    def name(self) -> str: ...

    @property
    def problem(self) -> str | None: ...

    def repeat(self, stop: threading.Event) -> None: ...


def run_jobs(
    jobs: Sequence[Repeated],
    stop: threading.Event,
    *,
    service: str,
    engine: Engine,
    port: int | None,
    token: SecretStr | None,
    metrics: Callable[[], bytes],
) -> None:
    """Repeat the jobs until `stop` is set, with a heartbeat; health and metrics on `port`, if there is one."""
    threads = [threading.Thread(target=job.repeat, args=(stop,), name=job.name, daemon=True) for job in jobs]

    def are_alive() -> bool:
        return all(thread.is_alive() for thread in threads)

    with _monitor(service, port, token, lambda: _health(jobs, are_alive()), metrics):
        for thread in threads:
            thread.start()
        _log.info("jobs_ready", jobs=[job.name for job in jobs])
        with closing(Heartbeat(engine, service)) as shown, beating(shown, are_alive, problem=lambda: _problem(jobs)):
            stop.wait()
        deadline = time.monotonic() + STOP_WAIT_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


@contextmanager
def _monitor(
    service: str, port: int | None, token: SecretStr | None, health: Callable[[], Health], metrics: Callable[[], bytes]
) -> Iterator[None]:
    if not port:
        yield
        return
    server = MonitorServer(port, token, health, metrics, name=service)
    server.start()
    try:
        yield
    finally:
        server.close()


def _problem(jobs: Sequence[Repeated]) -> str | None:
    return next((job.problem for job in jobs if job.problem), None)


def _health(jobs: Sequence[Repeated], is_alive: bool) -> Health:
    problem = _problem(jobs) if is_alive else "job_ended"
    return Health(problem is None, {"problem": problem, "jobs": {job.name: job.problem or "ok" for job in jobs}})


def _code(error: Exception) -> str:
    if isinstance(error, BallastError):
        return error.code
    return "postgres_failed" if isinstance(error, SQLAlchemyError) else "failed"


def _place(error: Exception) -> str:
    """The line of code that raised, without its values."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
