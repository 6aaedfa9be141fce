"""The alerts of all connections: one log in the order in which they became visible, each once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.stream import repository
from api.stream.policy import StreamPolicy
from api.stream.repository import AlertRow
from api.stream.resume import MAX_DIGESTS, Place, digest_of
from assets.risk.queries import Reader
from infra.runtime.clock import Clock


@dataclass(frozen=True)
class Entry:
    """One alert of the log; every alert detected before `settled_at` came before it."""

    row: AlertRow
    digest: str
    settled_at: datetime


class AlertLog:
    """Alerts numbered as they became visible; the oldest are dropped beyond `max_entries`.

    An alert may become visible long after its `detected_at`, so that its number, not its time, is the place behind it.
    """

    def __init__(self, settled_at: datetime, max_entries: int) -> None:
        self.epoch = uuid.uuid4().hex
        self.base = 0
        self.settled_at = settled_at
        self._entries: list[Entry] = []
        self._seen: dict[str, datetime] = {}
        self._max_entries = max_entries

    @property
    def end(self) -> int:
        """The number that the next alert will have."""
        return self.base + len(self._entries)

    def add(self, rows: Sequence[AlertRow]) -> int:
        """Append the rows that are new; how many they were."""
        before = self.end
        for row in rows:
            if row.margin_event_id not in self._seen:
                self._seen[row.margin_event_id] = row.detected_at
                self._entries.append(Entry(row, digest_of(row.margin_event_id), self.settled_at))
        added = self.end - before
        if len(self._entries) > self._max_entries + self._max_entries // 4:
            surplus = len(self._entries) - self._max_entries
            del self._entries[:surplus]
            self.base += surplus
        return added

    def settle(self, at: datetime) -> None:
        """Note that every alert detected before `at` is in the log, and will not be read again."""
        if at > self.settled_at:
            self.settled_at = at
            self._seen = {key: detected for key, detected in self._seen.items() if detected >= at}

    def holds(self, position: int) -> bool:
        """Whether the log can go on from `position`."""
        return self.base <= position <= self.end

    def at(self, position: int) -> Entry:
        """The alert with that number."""
        return self._entries[position - self.base]

    def place(self, position: int) -> Place:
        """The place before `position`; beyond 64 unsettled alerts before it, another process repeats the older ones."""
        settled_at = self.at(position).settled_at if position < self.end else self.settled_at
        index = position - self.base
        recent = self._entries[max(index - MAX_DIGESTS, 0) : index]
        digests = tuple(each.digest for each in recent if each.row.detected_at >= settled_at)
        return Place(s=settled_at, d=digests, e=self.epoch, n=position)


class AlertSource:
    """Reads new alerts into the log, with an overlap, for one may become visible after a later one.

    A poll reads what was detected within the short overlap; every `deep_read_s` one reads the whole overlap.
    """

    def __init__(self, reader: Reader, clock: Clock, policy: StreamPolicy, on_growth: Callable[[], None]) -> None:
        self._subscribers = 0
        self._reader = reader
        self._clock = clock
        self._policy = policy
        self._on_growth = on_growth
        self.log = AlertLog(clock.now() - policy.alert_overlap, policy.kept_alerts)
        self._has_read = False
        self._last_read_at = clock.now()
        self._next_deep = 0.0
        self._chain: _Chain | None = None

    @property
    def subscribers(self) -> int:
        """How many connections want alerts; the first one after a long pause finds a new log."""
        return self._subscribers

    @subscribers.setter
    def subscribers(self, count: int) -> None:
        # Never under connections that stand in the log: what they have not got would be gone.
        if self._subscribers == 0 and count > 0:
            self._chain = None
            if self._clock.now() - self._last_read_at > self._policy.max_pause:
                self._begin_anew()
        self._subscribers = count

    def _begin_anew(self) -> None:
        now = self._clock.now()
        self.log = AlertLog(now - self._policy.alert_overlap, self._policy.kept_alerts)
        self._has_read, self._last_read_at = False, now

    def is_wanted(self) -> bool:
        """Whether anybody is subscribed."""
        return self.subscribers > 0

    def plan(self) -> Callable[[], list[AlertRow]]:
        """The next page."""
        if self._chain is None:
            self._chain = self._begin()
        chain, reader, page = self._chain, self._reader, self._policy.alert_page
        return lambda: repository.alerts(reader, chain.since, chain.after_id, None, page)

    def apply(self, found: list[AlertRow]) -> bool:
        """Append a page; True if it was full."""
        chain = self._chain
        assert chain is not None
        added = self.log.add(found)
        is_full = len(found) >= self._policy.alert_page
        if is_full:
            last = found[-1]
            self._chain = _Chain(chain.started_at, chain.is_deep, last.detected_at, last.margin_event_id)
        else:
            self._chain = None
            self._end(chain)
        if added:
            self._on_growth()
        return is_full

    def _begin(self) -> _Chain:
        now = self._clock.now()
        if not self._has_read:
            return _Chain(now, True, self.log.settled_at)
        # The first read after a pause is a deep one, for the pause itself must be covered.
        is_deep = asyncio.get_running_loop().time() >= self._next_deep
        short_since = self._last_read_at - self._policy.alert_short_overlap
        return _Chain(now, is_deep, self.log.settled_at if is_deep else max(short_since, self.log.settled_at))

    def _end(self, chain: _Chain) -> None:
        self._has_read, self._last_read_at = True, chain.started_at
        if chain.is_deep:
            self._next_deep = asyncio.get_running_loop().time() + self._policy.deep_read_s
            self.log.settle(chain.started_at - self._policy.alert_overlap)


@dataclass(frozen=True)
class _Chain:
    """Pages of one read: it began at `started_at`, and the next page is behind (`since`, `after_id`)."""

    started_at: datetime
    is_deep: bool
    since: datetime
    after_id: str = ""


class Replay:
    """The alerts of some accounts behind a place, page by page from the warehouse, at the client's pace."""

    def __init__(
        self, reader: Reader, clock: Clock, policy: StreamPolicy, place: Place, accounts: Sequence[str] | None
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._policy = policy
        self._accounts = accounts
        self._since, self._after_id = place.settled_at, place.after_id
        self._known = set(place.digests)
        self._unsettled = list(place.digests)
        self._place = place
        self._read_at = clock.now()
        self.page: list[AlertRow] = []
        self.has_ended = False
        self.sent: set[str] = set(place.digests)

    def read(self) -> list[AlertRow]:
        """The next page; it blocks."""
        return repository.alerts(self._reader, self._since, self._after_id, self._accounts, self._policy.alert_page)

    def take(self, found: list[AlertRow], read_at: datetime) -> None:
        """Keep a page that was read from `read_at` on; a short one is the last."""
        self._read_at = read_at
        self.has_ended = len(found) < self._policy.alert_page
        if found:
            self._since, self._after_id = found[-1].detected_at, found[-1].margin_event_id
        # Popped from the end; a table that holds an event twice shows it once.
        once = {row.margin_event_id: row for row in found}
        self.page = [row for row in reversed(once.values()) if digest_of(row.margin_event_id) not in self._known]

    def next(self) -> AlertRow | None:
        """The next alert of the page."""
        if not self.page:
            return None
        row = self.page.pop()
        self._advance(row)
        return row

    def place(self) -> Place:
        """The place behind the last alert that `next` gave."""
        return self._place

    def _advance(self, row: AlertRow) -> None:
        horizon = self._read_at - self._policy.alert_overlap
        if row.detected_at < horizon:
            self._place = Place(s=row.detected_at, a=row.margin_event_id, d=tuple(self._unsettled[-MAX_DIGESTS:]))
            return
        digest = digest_of(row.margin_event_id)
        self.sent.add(digest)
        self._unsettled.append(digest)
        del self._unsettled[:-MAX_DIGESTS]
        # Between the last settled alert and the horizon there was none, or it has been sent.
        settled_at = max(self._place.settled_at, horizon)
        after_id = self._place.after_id if settled_at == self._place.settled_at else ""
        self._place = Place(s=settled_at, a=after_id, d=tuple(self._unsettled))
