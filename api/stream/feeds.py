"""One feed: a blocking read repeated in a thread while somebody wants it, at most one at a time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Protocol

from api.errors import InternalError, as_ballast_error
from api.stream.messages import FeedStatus, FeedView
from api.stream.policy import StreamPolicy
from infra.runtime.logs import get_logger

NOT_READ_YET = "not_read_yet"
TIMEOUT = "timeout"
TOO_OLD = "too_old"
MIN_PAUSE_S = 0.01
_log = get_logger(__name__)


class Source(Protocol):
    """What a feed reads; all but the read itself runs in the event loop."""

    def is_wanted(self) -> bool:
        """Whether anybody is subscribed."""
        ...

    def plan(self) -> Callable[[], Any]:
        """The next blocking read."""
        ...

    def apply(self, found: Any) -> bool:
        """Take what the read found; True if more waits to be read."""
        ...


class Feed:
    """Repeats the reads of a source; a failed one is repeated after a growing pause, and said by `view`.

    A read that outlasts its limit makes the feed stale and is joined, so that a slow warehouse has one call to answer.
    """

    def __init__(
        self, name: str, source: Source, pool: Executor, policy: StreamPolicy, on_change: Callable[[], None]
    ) -> None:
        self.name = name
        self._source = source
        self._pool = pool
        self._policy = policy
        self._on_change = on_change
        self._nudged = asyncio.Event()
        self._succeeded: float | None = None
        self._reason: str | None = NOT_READ_YET
        self._failures = 0

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            if not self._source.is_wanted():
                self._succeeded, self._reason, self._failures = None, NOT_READ_YET, 0
                await self._nudged.wait()
                self._nudged.clear()
                continue
            self._nudged.clear()
            started = asyncio.get_running_loop().time()
            while await self._attempt(started):
                # Not at once: connections need the time to send what a full page brought.
                await asyncio.sleep(self._policy.poll_interval_s)
            await self._pause(started)

    def nudge(self) -> None:
        """Read soon, for what is wanted has changed."""
        self._nudged.set()

    def has_read_since(self, moment: float) -> bool:
        """Whether a successful read began at `moment` of the loop's clock or later."""
        return self._succeeded is not None and self._succeeded >= moment

    def view(self) -> FeedView:
        """The state now; never `ok` where it is not known."""
        if self._succeeded is None:
            return FeedView(status=FeedStatus.STALE, age_seconds=None, reason=self._reason or NOT_READ_YET)
        age = asyncio.get_running_loop().time() - self._succeeded
        reason = self._reason or (TOO_OLD if age > self._policy.stale_after_s else None)
        status = FeedStatus.OK if reason is None else FeedStatus.STALE
        return FeedView(status=status, age_seconds=round(age, 3), reason=reason)

    async def _attempt(self, started: float) -> bool:
        """One read; whether more waits."""
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, self._source.plan())
            await asyncio.wait({running}, timeout=self._policy.read_timeout_s)
            if not running.done():
                self._set_reason(TIMEOUT)
            has_more = self._source.apply(await running)
        except Exception as error:
            self._fail(error)
            return False
        self._failures = 0
        if not has_more:
            self._succeeded = started
        self._set_reason(None)
        self._on_change()
        return has_more

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        known = as_ballast_error(error)
        fault = error if isinstance(known, InternalError) else None
        _log.warning("stream_read_failed", feed=self.name, code=known.code, reason=known.message, exc_info=fault)
        self._set_reason(known.code)

    def _set_reason(self, reason: str | None) -> None:
        if reason != self._reason:
            self._reason = reason
            self._on_change()

    async def _pause(self, started: float) -> None:
        if self._failures:
            # Not cut short by a nudge: clients that come and go must not press on a warehouse that is down.
            limit = min(self._policy.max_backoff_s, self._policy.poll_interval_s * 2.0 ** min(self._failures, 10))
            await asyncio.sleep(limit * random.uniform(0.5, 1.0))  # noqa: S311
            return
        took = asyncio.get_running_loop().time() - started
        # At least half of what the read took, so that a slow warehouse is not read without a break.
        pause = max(self._policy.poll_interval_s - took, took / 2, MIN_PAUSE_S)
        try:
            await asyncio.wait_for(self._nudged.wait(), pause)
        except TimeoutError:
            return
