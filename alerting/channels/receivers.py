"""Keeps receivers of webhooks apart: one that is down or slow costs the others neither time nor places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from alerting.channels.base import Retryable
from infra.runtime.breaker import Breaker

FAULTS = 20
OPEN_S = 5.0
# Of the channel's 256: a receiver that hangs holds this many at most, and the others wait this long at most for one.
IN_FLIGHT = 64
QUEUE_S = 2.0
BUSY_WAIT = timedelta(seconds=1)
MAX_RECEIVERS = 10_000


@dataclass(slots=True)
class _Receiver:
    breaker: Breaker
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))
    users: int = 0


class Receivers:
    """A breaker and a few places for each receiver; receivers without faults and requests are forgotten."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._receivers: dict[str, _Receiver] = {}

    @asynccontextmanager
    async def place(self, key: str) -> AsyncIterator[Breaker | Retryable]:
        """The receiver's breaker, to report the outcome to; or why nothing may be sent to it now."""
        receiver = self._receivers.get(key)
        if receiver is None:
            receiver = self._receivers[key] = _Receiver(Breaker(FAULTS, OPEN_S, self._monotonic))
        receiver.users += 1
        has_place = False
        try:
            has_place = await _entered(receiver.places)
            if not has_place:
                yield Retryable("the receiver is busy", BUSY_WAIT, is_fault=False, counts=False)
            elif receiver.breaker.allows():
                yield receiver.breaker
            else:
                wait = timedelta(seconds=receiver.breaker.retry_in_s())
                yield Retryable("the receiver failed repeatedly", wait, is_fault=False, counts=False)
        finally:
            if has_place:
                receiver.places.release()
            receiver.users -= 1
            self._forget(key, receiver)

    def _forget(self, key: str, receiver: _Receiver) -> None:
        if receiver.users:
            return
        if receiver.breaker.is_pristine:
            self._receivers.pop(key, None)
        elif len(self._receivers) > MAX_RECEIVERS:
            oldest = next((other for other, found in self._receivers.items() if not found.users), None)
            if oldest is not None:
                del self._receivers[oldest]


async def _entered(places: asyncio.Semaphore) -> bool:
    if not places.locked():
        await places.acquire()
        return True
    try:
        async with asyncio.timeout(QUEUE_S):
            await places.acquire()
    except TimeoutError:
        return False
    return True
