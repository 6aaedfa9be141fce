"""The sending loop: a lane for each channel claims what is due, sends many at once, and has the outcomes recorded."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from alerting.breaker import Breaker
from alerting.channels.base import (
    Accepted,
    Channel,
    DeliveryResult,
    OutboundMessage,
    Rejected,
    Retryable,
    retry_delay,
)
from alerting.claims import INHIBITED, Claim, Claims, Outcome, OutcomeKind
from alerting.composing import AddressMissingError, Composer, RecipientGoneError
from alerting.errors import TemplateError
from alerting.metrics import WorkerMetrics
from alerting.notices import Kind
from alerting.recorder import Recorder
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger
from infra.runtime.sealing import UnsealError

_log = get_logger(__name__)

# Messages composed before other tasks of the loop get their turn.
COMPOSE_AT_ONCE = 32
# Claims held by a lane, in multiples of the requests that it makes at once: the next ones are there when one ends.
PREFETCH = 2
# A claim that has waited this part of its lease is given back instead of being sent.
SAFE_PART_OF_LEASE = 0.7
MISSING_ADDRESS_WAIT = timedelta(seconds=30)
SHORTEST_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True)
class SenderOptions:
    """How the sender works: `lease` is how long a killed worker's claims stay taken, renewed thrice a lease."""

    lease: timedelta = timedelta(seconds=6)
    poll_s: float = 0.5
    stop_grace_s: float = 8.0
    max_claim: int = 1_000


@dataclass(frozen=True)
class SenderHooks:
    """What the sender tells others: contacts that want no more messages, and events of which a message has failed."""

    on_disabled: Callable[[str, str], None]
    on_failed: Callable[[Sequence[str]], None]


class Sender:
    """Sends what the ledger holds until it is stopped; run one in each worker process."""

    def __init__(
        self,
        claims: Claims,
        channels: Sequence[Channel],
        composer: Composer,
        clock: Clock,
        metrics: WorkerMetrics,
        hooks: SenderHooks,
        options: SenderOptions | None = None,
    ) -> None:
        self._claims = claims
        self._composer = composer
        self._clock = clock
        self._metrics = metrics
        self._hooks = hooks
        self._options = options or SenderOptions()
        self._lanes = [_Lane(channel, self) for channel in channels]
        self._held: dict[str, Claim] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._recorder: Recorder | None = None

    def wake(self) -> None:
        """Look for due notifications now; callable from any thread, also before `run`."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake_lanes)

    def _wake_lanes(self) -> None:
        for lane in self._lanes:
            lane.wake.set()

    async def run(self, stop: threading.Event) -> None:
        """Claim and send until `stop` is set, then let attempts under way end for `stop_grace_s`."""
        self._loop = asyncio.get_running_loop()
        self._recorder = Recorder(self._claims, self._left)
        recording = asyncio.create_task(self._recorder.run())
        renewing = asyncio.create_task(self._renew_forever())
        lanes = [asyncio.create_task(lane.run(stop)) for lane in self._lanes]
        try:
            await asyncio.gather(*lanes)
        finally:
            for task in lanes:
                task.cancel()
            await asyncio.gather(*(lane.end(self._options.stop_grace_s) for lane in self._lanes))
            self._recorder.close()
            await asyncio.wait([recording], timeout=self._options.stop_grace_s)
            for task in (renewing, recording):
                task.cancel()
            await asyncio.gather(renewing, recording, *lanes, return_exceptions=True)
            for lane in self._lanes:
                await lane.channel.close()

    async def claim(self, channel: Channel, limit: int) -> list[Claim]:
        """Claims of the channel, none while PostgreSQL is away."""
        limits, lease = channel.limits, self._options.lease
        try:
            claims = await asyncio.to_thread(self._claims.claim, channel.name, limit, lease, limits.per_second)
        except SQLAlchemyError as error:
            _log.warning("sender_waits_for_postgres", channel=channel.name, reason=type(error).__name__)
            return []
        self._held.update({claim.notification_id: claim for claim in claims})
        return claims

    async def compose(self, claims: Sequence[Claim]) -> list[tuple[Claim, OutboundMessage]]:
        """The messages of the claims; what cannot be sent is recorded with its reason instead."""
        digests = [claim.notification_id for claim in claims if claim.kind == Kind.DIGEST]
        members = await asyncio.to_thread(self._claims.digest_members, digests) if digests else {}
        now = self._clock.now()
        composed = []
        for number, claim in enumerate(claims, start=1):
            if claim.row["is_inhibited"]:
                self.record(Outcome(claim, OutcomeKind.SUPPRESSED, INHIBITED))
                continue
            try:
                message = self._composer.compose(claim, members.get(claim.notification_id, ()), now)
                composed.append((claim, message))
            except RecipientGoneError as error:
                self.record(Outcome(claim, OutcomeKind.SUPPRESSED, error.message))
            except (AddressMissingError, UnsealError) as error:
                self._held_back(claim, error.message, MISSING_ADDRESS_WAIT)
            except TemplateError as error:
                self.record(Outcome(claim, OutcomeKind.FAILED, f"{error.code}: {error.message}"))
            if number % COMPOSE_AT_ONCE == 0:
                await asyncio.sleep(0)
        return composed

    def give_back(self, claims: Sequence[Claim], reason: str) -> None:
        """Claims that were not attempted, due again at once."""
        for claim in claims:
            self._held_back(claim, reason, timedelta(0))

    def _held_back(self, claim: Claim, reason: str, wait: timedelta) -> None:
        self.record(
            Outcome(
                claim,
                OutcomeKind.RETRY,
                f"not attempted: {reason}",
                again_at=self._clock.now() + wait,
                is_unknown=claim.may_have_arrived,
                counts=False,
            )
        )

    def finish(self, channel: Channel, claim: Claim, result: DeliveryResult) -> None:
        """Have the result of an attempt recorded."""
        now = self._clock.now()
        match result:
            case Accepted():
                self.record(Outcome(claim, OutcomeKind.ACCEPTED, result.detail, result.provider_message_id))
                self._metrics.accepted(claim.channel, claim.severity, (now - claim.detected_at).total_seconds())
            case Rejected():
                self._log_refusal(claim, "rejected", result.reason)
                self.record(Outcome(claim, OutcomeKind.FAILED, f"{result.reason}; final"))
                if result.disables_recipient:
                    self._hooks.on_disabled(claim.recipient, result.reason)
            case Retryable():
                self._log_refusal(claim, "retryable", result.reason)
                self.record(self._retry(channel, claim, result))

    def _log_refusal(self, claim: Claim, result: str, reason: str) -> None:
        _log.warning(
            "notification_not_accepted",
            notification_id=claim.notification_id,
            channel=claim.channel,
            attempt=claim.attempt,
            result=result,
            reason=reason,
        )

    def _retry(self, channel: Channel, claim: Claim, result: Retryable) -> Outcome:
        attempt = claim.attempt if result.counts else max(1, claim.attempt - 1)
        wait = retry_delay(channel, claim.notification_id, attempt, result)
        if wait is None:
            return Outcome(claim, OutcomeKind.FAILED, f"{result.reason}; no attempts left")
        again_at = self._clock.now() + wait
        return Outcome(
            claim,
            OutcomeKind.RETRY,
            f"{result.reason}; next attempt at {again_at.isoformat(timespec='milliseconds')}",
            again_at=again_at,
            is_unknown=result.is_unknown or claim.may_have_arrived,
            counts=result.counts,
        )

    def record(self, outcome: Outcome) -> None:
        """Hand an outcome to the recorder."""
        assert self._recorder is not None
        self._recorder.add(outcome)

    def _left(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            held = self._held.get(outcome.claim.notification_id)
            if held is not None and held.token == outcome.claim.token:
                del self._held[outcome.claim.notification_id]
        failed = [each.claim.row["event_id"] for each in outcomes if each.kind is OutcomeKind.FAILED]
        if failed:
            self._hooks.on_failed(failed)

    async def _renew_forever(self) -> None:
        every_s = self._options.lease.total_seconds() / 3
        while True:
            await asyncio.sleep(every_s)
            try:
                await asyncio.to_thread(self._claims.renew, list(self._held.values()), self._options.lease)
            except SQLAlchemyError as error:
                _log.warning("lease_not_renewed", claims=len(self._held), reason=type(error).__name__)

    @property
    def options(self) -> SenderOptions:
        """How the sender works."""
        return self._options

    @property
    def metrics(self) -> WorkerMetrics:
        """Where the lanes count."""
        return self._metrics


class _Lane:
    """One channel's share of the loop: its free places, its pause, its breaker."""

    def __init__(self, channel: Channel, sender: Sender) -> None:
        limits = channel.limits
        self.channel = channel
        self.wake = asyncio.Event()
        self._sender = sender
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
            claims = await self._sender.claim(self.channel, asked) if asked > 0 else []
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
        return min(free * limits.max_batch, self._sender.options.max_claim)

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
        composed = await self._sender.compose(claims)
        safe_s = self._sender.options.lease.total_seconds() * SAFE_PART_OF_LEASE
        if not composed:
            return
        async with self._places:
            now = time.monotonic()
            if now - claimed_at > safe_s or now < self._paused_until:
                reason = "the provider asked for a pause" if now < self._paused_until else "the claim is too old"
                self._sender.give_back([claim for claim, _ in composed], reason)
                return
            began = time.monotonic()
            results = await self._attempt([message for _, message in composed])
            took_s = time.monotonic() - began
        counted: dict[str, int] = {}
        for (claim, _), result in zip(composed, results, strict=True):
            self._sender.finish(self.channel, claim, result)
            name = type(result).__name__.lower()
            counted[name] = counted.get(name, 0) + 1
        self._judge(results)
        for name, count in counted.items():
            self._sender.metrics.attempted(self.channel.name, name, took_s, count)

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
        self._sender.metrics.in_flight(self.channel.name, len(self._tasks))
        if self._breaker is not None:
            self._sender.metrics.breaker(self.channel.name, self._breaker.state)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._sender.options.poll_s):
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
