"""A channel's lane: how much is claimed and sent at once, when it pauses, and what its breaker says."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from alerting.attempts import Attempts
from alerting.channels.base import Accepted, Channel, DeliveryResult, OutboundMessage, Rejected, Retryable
from alerting.claims import Claim
from infra.runtime.breaker import Breaker
from infra.runtime.logs import get_logger

_log = get_logger(__name__)

# Claims held by a lane, in multiples of the requests that it makes at once: the next ones are there when one ends.
PREFETCH = 2
# A claim that has waited this part of its lease is given back instead of being sent.
SAFE_PART_OF_LEASE = 0.7
SHORTEST_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True)
class SenderOptions:
    """How the sender works: `lease` is how long a killed worker's claims stay taken, renewed thrice a lease."""

    lease: timedelta = timedelta(seconds=6)
    poll_s: float = 0.5
    stop_grace_s: float = 8.0
    max_claim: int = 1_000


class Lane:
    """One channel's share of the sending loop; set `wake` when something new may be due."""

    def __init__(self, channel: Channel, attempts: Attempts, options: SenderOptions) -> None:
        limits = channel.limits
        self.channel = channel
        self.wake = asyncio.Event()
        self._attempts = attempts
        self._options = options
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(limits.concurrency)
        self._paused_until = 0.0
        self._breaker = (
            Breaker(limits.breaker_faults, limits.breaker_open_s, time.monotonic)
            if limits.breaker_faults is not None
            else None
        )

    async def run(self, stop: threading.Event) -> None:
        """Claim and send until `stop` is set."""
        while not stop.is_set():
            asked = self._wanted()
            claims = await self._attempts.claim(self.channel, asked) if asked > 0 else []
            if claims:
                self._start(claims)
            self._show()
            if len(claims) < asked or asked == 0:
                await self._wait()

    def _wanted(self) -> int:
        """How many notifications to claim: the next ones wait here, and none before a claim is worth its trip."""
        limits = self.channel.limits
        free = PREFETCH * limits.concurrency - len(self._tasks)
        if free < max(1, limits.concurrency // 2) or time.monotonic() < self._paused_until:
            return 0
        if self._breaker is not None and not self._breaker.allows():
            return 0
        if self._breaker is not None and self._breaker.state != "closed":
            return 1
        return min(free * limits.max_batch, self._options.max_claim)

    def _start(self, claims: Sequence[Claim]) -> None:
        size = self.channel.limits.max_batch
        began = time.monotonic()
        for start in range(0, len(claims), size):
            task = asyncio.create_task(self._send(claims[start : start + size], began))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("send_failed", channel=self.channel.name, reason=type(error).__name__, exc_info=error)

    async def _send(self, claims: Sequence[Claim], claimed_at: float) -> None:
        composed = await self._attempts.compose(claims)
        safe_s = self._attempts.lease.total_seconds() * SAFE_PART_OF_LEASE
        if not composed:
            return
        async with self._places:
            now = time.monotonic()
            if now - claimed_at > safe_s or now < self._paused_until:
                reason = "the provider asked for a pause" if now < self._paused_until else "the claim is too old"
                self._attempts.give_back([claim for claim, _ in composed], reason)
                return
            began = time.monotonic()
            results = await self._attempt([message for _, message in composed])
            took_s = time.monotonic() - began
        counted: dict[str, int] = {}
        for (claim, _), result in zip(composed, results, strict=True):
            self._attempts.finish(self.channel, claim, result)
            name = type(result).__name__.lower()
            counted[name] = counted.get(name, 0) + 1
        self._judge(results)
        for name, count in counted.items():
            self._attempts.metrics.attempted(self.channel.name, name, took_s, count)

    async def _attempt(self, messages: Sequence[OutboundMessage]) -> Sequence[DeliveryResult]:
        try:
            return await self.channel.deliver(messages)
        except Exception as error:
            # A defect of a channel must end by the retry schedule, not repeat at every lease.
            _log.exception("channel_failed", channel=self.channel.name, count=len(messages))
            failed = Retryable(f"defect of the channel ({type(error).__name__})", is_unknown=True)
            return [failed for _ in messages]

    def _judge(self, results: Sequence[DeliveryResult]) -> None:
        """What the results say of the provider: a pause that it asks for, and its breaker."""
        retryable = [result for result in results if isinstance(result, Retryable)]
        pauses = [result.retry_after or SHORTEST_PAUSE for result in retryable if result.pauses_channel]
        if pauses:
            self._paused_until = max(self._paused_until, time.monotonic() + max(pauses).total_seconds())
        if self._breaker is None:
            return
        if any(isinstance(result, Accepted | Rejected) for result in results):
            self._breaker.succeeded()
        elif any(result.is_fault for result in retryable):
            self._breaker.failed()

    def _show(self) -> None:
        self._attempts.metrics.in_flight(self.channel.name, len(self._tasks))
        if self._breaker is not None:
            self._attempts.metrics.breaker(self.channel.name, self._breaker.state)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._options.poll_s):
                await self.wake.wait()
        except TimeoutError:
            return
        self.wake.clear()

    async def end(self, grace_s: float) -> None:
        """Let attempts under way end, for at most `grace_s`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
