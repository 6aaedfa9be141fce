"""Group commit: what many calls want to write within one turn of the event loop goes into one transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from infra.embedded.pubsub.model import PubsubError
from infra.embedded.pubsub.store import Store
from infra.runtime.logs import get_logger

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    write: Callable[[], T]
    done: Callable[[T], None]
    failed: Callable[[Exception], None]


class GroupCommit:
    """Collects writes and commits them together, in the order in which they came.

    A `write` must be repeatable: when one job of a group fails, the group is rolled back and each job is tried alone,
    so that only the culprit is refused. `done` and `failed` run after the outcome is certain, before the next write.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: list[_Job[Any]] = []
        self._is_scheduled = False
        self.is_writable = True
        """False after SQLite refused a write, until one succeeds."""
        self.has_news = False
        """Whether anything was committed since this was last reset; tells when a checkpoint is worth it."""

    def submit(
        self,
        write: Callable[[], T],
        done: Callable[[T], None] = lambda _result: None,
        failed: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        """Write soon. The outcome goes to `done` or `failed`; a failure is logged in any case."""
        self._jobs.append(_Job(write, done, failed))
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    async def run(
        self,
        write: Callable[[], T],
        then: Callable[[T], None] = lambda _result: None,
        undo: Callable[[], None] = lambda: None,
    ) -> T:
        """Write, and return once it is committed; raises what `write` or SQLite raised.

        `then` runs at the moment of success and `undo` at that of failure, even if the caller was cancelled meanwhile.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T) -> None:
            try:
                then(result)
            finally:
                if not future.done():
                    future.set_result(result)

        def failed(error: Exception) -> None:
            try:
                undo()
            finally:
                if not future.done():
                    future.set_exception(error)

        self.submit(write, done, failed)
        return await future

    def flush(self) -> None:
        """Commit what is waiting, now."""
        self._is_scheduled = False
        jobs, self._jobs = self._jobs, []
        if not jobs:
            return
        try:
            results = self._write(jobs)
        except Exception as error:
            if len(jobs) == 1:
                self._refuse(jobs[0], error)
                return
            for job in jobs:
                self._write_alone(job)
            return
        for job, result in zip(jobs, results, strict=True):
            self._finish(job, result)

    def _write(self, jobs: list[_Job[Any]]) -> list[Any]:
        with self._store.transaction():
            results = [job.write() for job in jobs]
        self.is_writable = True
        self.has_news = True
        return results

    def _write_alone(self, job: _Job[Any]) -> None:
        try:
            (result,) = self._write([job])
        except Exception as error:
            self._refuse(job, error)
        else:
            self._finish(job, result)

    def _finish(self, job: _Job[Any], result: Any) -> None:
        # What is committed is never tried again: an error from here on must not reach the retry of single jobs.
        try:
            job.done(result)
        except Exception:
            get_logger(__name__).exception("after_commit_failed")

    def _refuse(self, job: _Job[Any], error: Exception) -> None:
        if isinstance(error, sqlite3.Error):
            self.is_writable = False
        if not isinstance(error, PubsubError):
            get_logger(__name__).error("write_failed", reason=str(error), kind=type(error).__name__)
        job.failed(error)


def store_refusal(error: sqlite3.Error) -> PubsubError:
    """What a client is told when SQLite refused: nothing was kept, and the call may be repeated."""
    is_full = "full" in str(error)
    status = grpc.StatusCode.RESOURCE_EXHAUSTED if is_full else grpc.StatusCode.UNAVAILABLE
    advice = "Free disk space" if is_full else "Look at the server's log and disk"
    return PubsubError(
        status, f"The message store refused the write ({error}); nothing was kept. {advice}, then retry."
    )
