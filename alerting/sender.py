"""The loop that claims due notifications and sends them, several at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from alerting.channels.base import Channel, DeliveryResult, OutboundMessage, Retryable, retry_delay
from alerting.ledger import Claim, Ledger
from infra.runtime.logs import get_logger

_log = get_logger(__name__)

RECORD_WAITS_S = (0.2, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class SenderOptions:
    """How the sender works: `lease` is how long a killed worker's claims stay taken, renewed thrice a lease."""

    concurrency: int = 16
    lease: timedelta = timedelta(seconds=6)
    poll_s: float = 0.5
    stop_grace_s: float = 8.0


class Sender:
    """Sends what the ledger holds until it is stopped; run one in each worker process."""

    def __init__(self, ledger: Ledger, channels: Sequence[Channel], options: SenderOptions | None = None) -> None:
        self._ledger = ledger
        self._channels = {channel.name: channel for channel in channels}
        self._options = options or SenderOptions()
        self._claims: dict[str, Claim] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look for due notifications now; callable from any thread, also before `run`."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake.set)

    async def run(self, stop: threading.Event) -> None:
        """Claim and send until `stop` is set, then let attempts under way end for `stop_grace_s`."""
        self._loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()
        renewing = asyncio.create_task(self._renew_forever())
        try:
            while not stop.is_set():
                for claim in await self._claim(self._options.concurrency - len(tasks)):
                    task = asyncio.create_task(self._send(claim))
                    tasks.add(task)
                    task.add_done_callback(self._finished(tasks))
                await self._wait()
            if tasks:
                await asyncio.wait(tasks, timeout=self._options.stop_grace_s)
        finally:
            for task in (renewing, *tasks):
                task.cancel()
            await asyncio.gather(renewing, *tasks, return_exceptions=True)
            for channel in self._channels.values():
                await channel.close()

    def _finished(self, tasks: set[asyncio.Task[None]]) -> Callable[[asyncio.Task[None]], None]:
        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            self._wake.set()
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("send_failed", reason=f"{type(error).__name__}: {error}", exc_info=error)

        return done

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._options.poll_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _claim(self, free: int) -> list[Claim]:
        if free <= 0:
            return []
        try:
            claims = await asyncio.to_thread(self._ledger.claim, list(self._channels), free, self._options.lease)
        except SQLAlchemyError as error:
            _log.warning("sender_waits_for_postgres", reason=type(error).__name__)
            await asyncio.sleep(self._options.poll_s)
            return []
        self._claims.update({claim.message.notification_id: claim for claim in claims})
        return claims

    async def _send(self, claim: Claim) -> None:
        message = claim.message
        try:
            if not await asyncio.to_thread(self._ledger.begin_attempt, claim, self._options.lease):
                return
            channel = self._channels[message.channel]
            result = await _attempt(channel, message)
            attempt = claim.attempts + 1
            again = retry_delay(channel, message, attempt, result) if isinstance(result, Retryable) else None
            await self._record(claim, result, again)
            _log.info(
                "notification_attempted",
                notification_id=message.notification_id,
                channel=message.channel,
                severity=message.severity,
                attempt=attempt,
                result=type(result).__name__.lower(),
                retry_s=again.total_seconds() if again else None,
            )
        except SQLAlchemyError as error:
            # The claim runs out and the notification is sent again; its id lets the receiver drop a second copy.
            _log.warning("ledger_unreachable", notification_id=message.notification_id, reason=type(error).__name__)
        finally:
            self._claims.pop(message.notification_id, None)

    async def _record(self, claim: Claim, result: DeliveryResult, again: timedelta | None) -> None:
        """Record the result, insisting for some seconds: an unrecorded acceptance is sent twice."""
        for wait_s in RECORD_WAITS_S:
            try:
                await asyncio.to_thread(self._ledger.record, claim, result, again)
            except SQLAlchemyError:
                await asyncio.sleep(wait_s)
            else:
                return
        await asyncio.to_thread(self._ledger.record, claim, result, again)

    async def _renew_forever(self) -> None:
        every_s = self._options.lease.total_seconds() / 3
        while True:
            await asyncio.sleep(every_s)
            try:
                await asyncio.to_thread(self._ledger.renew, list(self._claims.values()), self._options.lease)
            except SQLAlchemyError as error:
                _log.warning("lease_not_renewed", claims=len(self._claims), reason=type(error).__name__)


async def _attempt(channel: Channel, message: OutboundMessage) -> DeliveryResult:
    try:
        return await channel.deliver(message)
    except Exception as error:
        # A defect of a channel must end by the retry schedule, not repeat at every lease.
        _log.exception("channel_failed", channel=message.channel, notification_id=message.notification_id)
        return Retryable(f"defect of the channel ({type(error).__name__})")
