"""Delivery of one subscription as a state machine: who gets which message when, and what became of it.

Pure: no I/O and no clock; times are microseconds since 1970 and come in as `now`. Payloads stay in the store; some 300
bytes per message are held here, and the owner bounds how many messages are held.

Ordering (subscriptions that ask for it, messages that have a key): acknowledgements take effect in publish order, and a
message that fails calls back all later ones of its key, acknowledged or not, which then follow it again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from infra.embedded.pubsub.entries import Budget, Consumer, Entry, RetryPolicy, State
from infra.embedded.pubsub.lanes import Lanes
from infra.embedded.pubsub.model import Pending


@dataclass(slots=True)
class Failures:
    """What deliveries that failed led to: `again` will be delivered again, `dead` awaits the dead-letter topic."""

    again: list[Entry] = field(default_factory=list)
    dead: list[Entry] = field(default_factory=list)


@dataclass(slots=True)
class Acknowledged:
    """What acknowledgements led to: `settled` is done; `unknown` are message ids that are not held here."""

    settled: list[Entry] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)


class DeliveryQueue:
    """The held messages of one subscription; `leases` yields numbers that no earlier process used."""

    def __init__(self, is_ordered: bool, leases: Iterator[int]) -> None:
        self.is_ordered = is_ordered
        self.retry = RetryPolicy()
        self.max_attempts: int | None = None
        """Deliveries before a message is dead; None: no dead-letter topic, never."""
        self._leases = leases
        self._held: dict[int, Entry] = {}
        self._ready: list[int] = []
        self._timers: list[tuple[int, int]] = []
        """Heap of (due, message id); a pair whose due is no longer the entry's is outdated."""
        self._lanes = Lanes()

    def __len__(self) -> int:
        return len(self._held)

    def offer(self, pending: Pending, now: int) -> None:
        """Hold one more un-acknowledged message."""
        entry = Entry(pending.message_id, pending.ordering_key, pending.size, pending.failures)
        self._held[entry.message_id] = entry
        if pending.not_before > now:
            self._hold_back(entry, pending.not_before)
        if self._is_keyed(entry):
            self._lanes.add(entry)
        elif entry.state is State.READY:
            heapq.heappush(self._ready, entry.message_id)

    def take(self, consumer: Consumer, budget: Budget, lease_until: int) -> list[Entry]:
        """Lease what the budget admits, oldest first; of a key only what follows what this consumer holds."""
        leased = []
        for entry in chain(self._lanes.take(consumer, budget), self._take_unordered(budget)):
            entry.hand_to(consumer, next(self._leases), lease_until)
            self._set_timer(entry)
            leased.append(entry)
        return leased

    def acknowledge(self, pairs: Iterable[tuple[int, int]]) -> Acknowledged:
        """Finish (message id, lease) pairs.

        An acknowledgement that comes after its lease ended still counts, for the work was done; but not for an ordered
        key, where the message has been called back on purpose.
        """
        result = Acknowledged()
        for message_id, lease in pairs:
            entry = self._held.get(message_id)
            if entry is None:
                if not self.is_ordered:
                    result.unknown.append(message_id)
            elif self._is_keyed(entry):
                if entry.state is State.LEASED and entry.lease == lease:
                    entry.take_back(State.ACKED)
                    result.settled += self._forget(self._lanes.settle(entry))
            elif entry.state is not State.DEAD:
                entry.take_back(State.GONE)
                result.settled += self._forget([entry])
        return result

    def extend(self, pairs: Iterable[tuple[int, int]], until: int) -> None:
        """Let the leases (message id, lease) end at `until` instead; ended ones are ignored."""
        for message_id, lease in pairs:
            if (entry := self._leased(message_id, lease)) is not None:
                entry.due = until
                self._set_timer(entry)

    def fail(self, pairs: Iterable[tuple[int, int]], now: int) -> Failures:
        """The consumer refuses these (message id, lease); leases that ended are ignored."""
        failures = Failures()
        for message_id, lease in pairs:
            if (entry := self._leased(message_id, lease)) is not None:
                self._fail(entry, now, failures)
        return failures

    def tick(self, now: int) -> tuple[Failures, bool]:
        """Let leases and backoffs end whose time has come; the failures, and whether anything changed."""
        failures, has_changed = Failures(), False
        while self._timers and self._timers[0][0] <= now:
            due, message_id = heapq.heappop(self._timers)
            entry = self._held.get(message_id)
            if entry is None or entry.due != due:
                continue
            has_changed = True
            if entry.state is State.LEASED:
                self._fail(entry, now, failures)
            elif entry.state is State.WAITING:
                entry.take_back(State.READY)
                self._make_available(entry)
        return failures, has_changed

    def bury(self, entry: Entry) -> list[Entry]:
        """The dead entry is safe in the dead-letter topic; what became settled, itself included."""
        if self._held.get(entry.message_id) is not entry:
            return []
        return [entry, *self._remove(entry)]

    def revive(self, entry: Entry, now: int) -> None:
        """The dead entry could not be moved to the dead-letter topic: deliver it again."""
        if entry.state is State.DEAD:
            self._requeue(entry, now)

    def remove(self, message_ids: Iterable[int]) -> list[Entry]:
        """Forget messages that no longer exist; acknowledged followers that became settled by that."""
        entries = [entry for message_id in message_ids if (entry := self._held.get(message_id)) is not None]
        return [settled for entry in entries if entry.state is not State.GONE for settled in self._remove(entry)]

    def clear(self) -> None:
        """Forget everything; leases end."""
        for entry in self._held.values():
            entry.take_back(State.GONE)
        self._held.clear()
        self._ready.clear()
        self._timers.clear()
        self._lanes = Lanes()

    def _is_keyed(self, entry: Entry) -> bool:
        return self.is_ordered and entry.ordering_key != ""

    def _leased(self, message_id: int, lease: int) -> Entry | None:
        entry = self._held.get(message_id)
        return entry if entry is not None and entry.state is State.LEASED and entry.lease == lease else None

    def _take_unordered(self, budget: Budget) -> Iterator[Entry]:
        while self._ready:
            entry = self._held.get(self._ready[0])
            if entry is not None and entry.state is State.READY:
                if not budget.admits(entry):
                    return
                budget.spend(entry)
                heapq.heappop(self._ready)
                yield entry
            else:
                heapq.heappop(self._ready)

    def _fail(self, entry: Entry, now: int, failures: Failures) -> None:
        entry.failures += 1
        if self.max_attempts is not None and entry.failures >= self.max_attempts:
            entry.take_back(State.DEAD)
            failures.dead.append(entry)
        else:
            self._requeue(entry, now)
            failures.again.append(entry)

    def _requeue(self, entry: Entry, now: int) -> None:
        entry.take_back(State.READY)
        backoff = self.retry.backoff(entry.failures)
        if backoff:
            self._hold_back(entry, now + backoff)
        if self._is_keyed(entry):
            for follower in self._lanes.rewind(entry):
                if follower.state is not State.READY:
                    follower.take_back(State.READY)
            self._lanes.release(entry.ordering_key)
        elif not backoff:
            heapq.heappush(self._ready, entry.message_id)

    def _make_available(self, entry: Entry) -> None:
        if self._is_keyed(entry):
            self._lanes.announce(entry.ordering_key)
        else:
            heapq.heappush(self._ready, entry.message_id)

    def _remove(self, entry: Entry) -> list[Entry]:
        entry.take_back(State.GONE)
        settled = self._lanes.remove(entry) if self._is_keyed(entry) else []
        self._forget([entry])
        return self._forget(settled)

    def _forget(self, entries: list[Entry]) -> list[Entry]:
        for entry in entries:
            if entry.state is not State.GONE:
                entry.move(State.GONE)
            del self._held[entry.message_id]
        return entries

    def _hold_back(self, entry: Entry, until: int) -> None:
        entry.move(State.WAITING)
        entry.due = until
        self._set_timer(entry)

    def _set_timer(self, entry: Entry) -> None:
        if len(self._timers) > 2 * len(self._held) + 1024:
            self._timers = [(held.due, held.message_id) for held in self._held.values() if held.due]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (entry.due, entry.message_id))
