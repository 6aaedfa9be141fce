"""The sending loop: a lane for each channel claims what is due and sends many at once; outcomes go out in bulk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from alerting.attempts import Attempts, SenderHooks
from alerting.channels.base import Channel
from alerting.claims import Claims
from alerting.composing import Composer
from alerting.lanes import Lane, SenderOptions
from alerting.metrics import WorkerMetrics
from infra.runtime.clock import Clock

__all__ = ["Sender", "SenderHooks", "SenderOptions"]


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
        self._options = options or SenderOptions()
        self._attempts = Attempts(claims, composer, clock, metrics, hooks, self._options.lease)
        self._lanes = [Lane(channel, self._attempts, self._options) for channel in channels]
        self._loop: asyncio.AbstractEventLoop | None = None

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
        recording = asyncio.create_task(self._attempts.recorder.run())
        renewing = asyncio.create_task(self._attempts.renew_forever())
        lanes = [asyncio.create_task(lane.run(stop)) for lane in self._lanes]
        try:
            await asyncio.gather(*lanes)
        finally:
            for task in lanes:
                task.cancel()
            await asyncio.gather(*(lane.end(self._options.stop_grace_s) for lane in self._lanes))
            self._attempts.recorder.close()
            await asyncio.wait([recording], timeout=self._options.stop_grace_s)
            for task in (renewing, recording):
                task.cancel()
            await asyncio.gather(renewing, recording, *lanes, return_exceptions=True)
            for lane in self._lanes:
                await lane.channel.close()
