"""Outcomes on their way to the ledger: gathered for a moment, written in bulk, insisted on while PostgreSQL is away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from alerting.claims import Claims, Outcome
from infra.runtime.logs import get_logger

_log = get_logger(__name__)

MAX_ROWS = 1_000
# How long outcomes gather: an acceptance that is not recorded yet is sent again if the worker dies.
GATHER_S = 0.01
# After these the claims have run out anyway, and their next holder knows that the messages may have arrived.
RETRY_WAITS_S = (0.2, 0.5, 1.0, 2.0, 4.0)


class Recorder:
    """Writes the outcomes that `add` is given while `run` runs; `on_done` is told of each that left, written or not."""

    def __init__(self, claims: Claims, on_done: Callable[[Sequence[Outcome]], None]) -> None:
        self._claims = claims
        self._on_done = on_done
        self._waiting: deque[Outcome] = deque()
        self._has_some = asyncio.Event()
        self._is_closing = False

    def add(self, outcome: Outcome) -> None:
        """Record this outcome soon."""
        self._waiting.append(outcome)
        self._has_some.set()

    def close(self) -> None:
        """Let `run` end once everything is written."""
        self._is_closing = True
        self._has_some.set()

    async def run(self) -> None:
        """Write until `close`; raises only what is no error of the database."""
        while True:
            await self._has_some.wait()
            if not self._is_closing and len(self._waiting) < MAX_ROWS:
                await asyncio.sleep(GATHER_S)
            batch = self._next()
            if batch:
                await self._write(batch)
                self._on_done(batch)
            elif self._is_closing:
                return
            else:
                self._has_some.clear()

    def _next(self) -> list[Outcome]:
        """The next outcomes, at most one of each notification."""
        batch: dict[str, Outcome] = {}
        while self._waiting and len(batch) < MAX_ROWS:
            if self._waiting[0].claim.notification_id in batch:
                break
            outcome = self._waiting.popleft()
            batch[outcome.claim.notification_id] = outcome
        return list(batch.values())

    async def _write(self, batch: Sequence[Outcome]) -> None:
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                await asyncio.to_thread(self._claims.record, batch)
            except SQLAlchemyError as error:
                if wait_s is None:
                    # The claims run out and the notifications are sent again, marked as perhaps arrived.
                    _log.error("outcomes_not_recorded", count=len(batch), reason=type(error).__name__)
                    return
                await asyncio.sleep(wait_s)
            else:
                return
