"""Ordering keys: the messages of one key form a lane, which they leave in order, to one consumer at a time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from infra.embedded.pubsub.entries import Budget, Consumer, Entry, State


@dataclass(slots=True)
class _Lane:
    """`out` was handed out and not yet settled, `todo` follows it; both in publish order."""

    out: deque[Entry] = field(default_factory=deque)
    todo: deque[Entry] = field(default_factory=deque)
    holder: Consumer | None = None

    @property
    def is_open(self) -> bool:
        return bool(self.todo) and self.todo[0].state is State.READY


class Lanes:
    """All lanes of one subscription. Entries are leased and freed by the caller; here is only their order."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._free: list[tuple[int, str]] = []
        """Heap of (first message id, key) of lanes that nobody holds; may contain outdated pairs."""

    def add(self, entry: Entry) -> None:
        """Put an entry into its lane, by its message id."""
        lane = self._lanes.setdefault(entry.ordering_key, _Lane())
        at = len(lane.todo)
        while at and lane.todo[at - 1].message_id > entry.message_id:
            at -= 1
        lane.todo.insert(at, entry)
        if at == 0:
            self.announce(entry.ordering_key)

    def announce(self, key: str) -> None:
        """Make the lane available if its first message is ready: to its holder, else to anyone."""
        lane = self._lanes.get(key)
        if lane is None or not lane.is_open:
            return
        if lane.holder is None:
            heapq.heappush(self._free, (lane.todo[0].message_id, key))
        elif lane.holder.is_sticky:
            lane.holder.keys[key] = None

    def take(self, consumer: Consumer, budget: Budget) -> Iterator[Entry]:
        """Entries for this consumer, in order per key; each must be leased before the next is asked for."""
        for key in list(consumer.keys):
            lane = self._lanes.get(key)
            if lane is not None and lane.holder is consumer:
                yield from self._take_from(lane, consumer, budget)
            if lane is None or lane.holder is not consumer or not lane.is_open:
                consumer.keys.pop(key, None)
        while self._free:
            first, key = self._free[0]
            lane = self._lanes.get(key)
            if lane is None or lane.holder is not None or not lane.is_open or lane.todo[0].message_id != first:
                heapq.heappop(self._free)
                continue
            if not budget.admits(lane.todo[0]):
                return
            heapq.heappop(self._free)
            lane.holder = consumer
            yield from self._take_from(lane, consumer, budget)
            self.announce(key)

    def _take_from(self, lane: _Lane, consumer: Consumer, budget: Budget) -> Iterator[Entry]:
        while lane.is_open and budget.admits(lane.todo[0]):
            entry = lane.todo.popleft()
            lane.out.append(entry)
            budget.spend(entry)
            yield entry
            if consumer.is_single:
                return

    def settle(self, entry: Entry) -> list[Entry]:
        """The entry is done (its state is ACKED, or GONE); what has no unfinished predecessor now, in order."""
        lane = self._lanes[entry.ordering_key]
        settled = []
        while lane.out and lane.out[0].state in (State.ACKED, State.GONE):
            settled.append(lane.out.popleft())
        self._release(entry.ordering_key, lane)
        return settled

    def rewind(self, entry: Entry) -> list[Entry]:
        """Put the entry and all that was handed out after it back to the front; the followers that it called back."""
        lane = self._lanes[entry.ordering_key]
        called_back: list[Entry] = []
        while (last := lane.out.pop()) is not entry:
            called_back.append(last)
            lane.todo.appendleft(last)
        lane.todo.appendleft(entry)
        return called_back

    def release(self, key: str) -> None:
        """Free the lane if nothing of it is out any more, and make it available."""
        if (lane := self._lanes.get(key)) is not None:
            self._release(key, lane)

    def remove(self, entry: Entry) -> list[Entry]:
        """Take an entry out of its lane, wherever it stands (its state is GONE); what became settled by that."""
        lane = self._lanes[entry.ordering_key]
        if entry in lane.todo:
            lane.todo.remove(entry)
            self._release(entry.ordering_key, lane)
            return []
        settled = self.settle(entry)
        if settled:
            return [done for done in settled if done is not entry]
        if entry in lane.out:
            lane.out.remove(entry)
        return []

    def _release(self, key: str, lane: _Lane) -> None:
        if not lane.out and lane.holder is not None:
            lane.holder.keys.pop(key, None)
            lane.holder = None
        if not lane.out and not lane.todo:
            del self._lanes[key]
        else:
            self.announce(key)
