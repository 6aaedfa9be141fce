"""Where one connection stands among the alerts: first what it missed, then the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api.stream.alerts import Replay
from api.stream.hub import Hub, Wants
from api.stream.messages import ResumeExpired
from api.stream.repository import AlertRow
from api.stream.resume import Place
from infra.runtime.logs import get_logger

_log = get_logger(__name__)


class AlertCursor:
    """Gives the alerts of a connection one by one, each once; `wake` is called when a page has come."""

    def __init__(self, hub: Hub, wake: Callable[[], None]) -> None:
        self._hub = hub
        self._wake = wake
        self._position: int | None = None
        self._resume: Place | None = None
        self._skipped: set[str] = set()
        self._replay: Replay | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def is_replaying(self) -> bool:
        """Whether alerts of before the subscription are still being given."""
        return self._replay is not None

    def resume_from(self, place: Place) -> None:
        """`begin` behind this place instead of now."""
        self._resume = place

    def begin(self, wants: Wants) -> ResumeExpired | None:
        """Stand behind the place to resume from, else behind all that is in the log; go on where it already stands.

        A place of this process's log is exact; any other one is replayed from the warehouse, within the look-back.
        """
        log, policy = self._hub.alerts.log, self._hub.policy
        place, self._resume = self._resume, None
        if place is None:
            self._position = log.end if self._position is None else self._position
            return None
        # What becomes visible from here on comes from the log, all else from the replay.
        self._position = log.end
        oldest = self._hub.clock.now() - policy.resume_lookback
        if place.settled_at < oldest - policy.alert_overlap:
            self._replay = self._hub.replay(Place(s=oldest), wants.alert_accounts)
            return ResumeExpired(oldest=oldest)
        if place.epoch == log.epoch and log.holds(place.position):
            self._position = place.position
        else:
            self._replay = self._hub.replay(place, wants.alert_accounts)
        return None

    def stop(self) -> None:
        """Give no more alerts, and forget the place."""
        self._position = self._resume = self._replay = None
        if self._loading is not None:
            self._loading.cancel()
            self._loading = None

    def place(self) -> Place | None:
        """The place behind the last alert given; None without alerts."""
        if self._resume is not None:
            return self._resume
        if self._replay is not None:
            return self._replay.place()
        return None if self._position is None else self._hub.alerts.log.place(self._position)

    def next(self, wants: Wants) -> AlertRow | None:
        """The next alert; None if there is none now."""
        if self._replay is not None:
            while (row := self._replay.next()) is not None:
                if wants.takes_alert(row):
                    return row
            if not self._replay.has_ended:
                self._load_page(self._replay)
                return None
            self._skipped, self._replay = self._replay.sent, None
        log = self._hub.alerts.log
        while self._position is not None and self._position < log.end:
            entry = log.at(self._position)
            self._position += 1
            if wants.takes_alert(entry.row) and entry.digest not in self._skipped:
                return entry.row
        return None

    def waiting(self, wants: Wants) -> int:
        """How many alerts of the log wait; above the limit where the log no longer holds the first of them."""
        log, limit = self._hub.alerts.log, self._hub.policy.max_waiting_alerts
        if self._position is None:
            return 0
        if not log.holds(self._position):
            return limit + 1
        if log.end - self._position <= limit:
            return log.end - self._position
        return sum(wants.takes_alert(log.at(number).row) for number in range(self._position, log.end))

    def _load_page(self, replay: Replay) -> None:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(replay))

    async def _load(self, replay: Replay) -> None:
        policy, failures = self._hub.policy, 0
        while True:
            read_at = self._hub.clock.now()
            try:
                found = await self._hub.in_replay_thread(replay.read)
            except Exception as error:
                failures += 1
                _log.warning("stream_replay_failed", reason=f"{type(error).__name__}: {error}")
                await asyncio.sleep(min(policy.max_backoff_s, policy.poll_interval_s * 2.0 ** min(failures, 8)))
                continue
            break
        replay.take(found, read_at)
        self._loading = None
        self._wake()
