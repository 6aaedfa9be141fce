"""One live subscription: its configuration, its delivery queue, and the window of its backlog in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from infra.embedded.pubsub.entries import Budget, Consumer, Entry, RetryPolicy
from infra.embedded.pubsub.filters import compile_filter
from infra.embedded.pubsub.model import SECOND, Pending, Proto, duration_micros
from infra.embedded.pubsub.store import Store
from infra.embedded.pubsub.subscription import DeliveryQueue

WINDOW: Final = 20_000
"""Messages of one subscription that are held in memory (without payload); the rest waits in the store."""
REFILL: Final = 1_000
"""Messages that are read from the store at once."""
PUSH_RETRY: Final = RetryPolicy(SECOND // 10, 60 * SECOND)
"""Backoff of a push subscription without a retry policy of its own."""


class Feed:
    """A subscription at run time. The cursor is the highest message id ever held; above it the store is asked."""

    def __init__(self, feed_id: int, config: Proto, store: Store, leases: Iterator[int]) -> None:
        self.id = feed_id
        self.queue = DeliveryQueue(config.enable_message_ordering, leases)
        self.matches = compile_filter(config.filter)
        self.is_deleted = False
        self._store = store
        self._cursor = 0
        self._is_caught_up = False
        self._listeners: set[asyncio.Event] = set()
        self.configure(config)

    def configure(self, config: Proto) -> None:
        """Take over a checked configuration; effective for every message from now on."""
        self.config = config
        has_dead_letters = config.HasField("dead_letter_policy")
        self.queue.max_attempts = config.dead_letter_policy.max_delivery_attempts if has_dead_letters else None
        if config.HasField("retry_policy"):
            policy = config.retry_policy
            self.queue.retry = RetryPolicy(
                duration_micros(policy.minimum_backoff), duration_micros(policy.maximum_backoff)
            )
        else:
            self.queue.retry = PUSH_RETRY if self.push_endpoint else RetryPolicy()
        self.notify()

    @property
    def name(self) -> str:
        """The full resource name."""
        return str(self.config.name)

    @property
    def push_endpoint(self) -> str:
        """Where messages are posted; empty: they are pulled."""
        return str(self.config.push_config.push_endpoint)

    @property
    def retention(self) -> int:
        """How long a message is kept after it was published, in microseconds."""
        return duration_micros(self.config.message_retention_duration)

    def listen(self) -> asyncio.Event:
        """An event that is set whenever there may be something new to take; give it back with `leave`."""
        event = asyncio.Event()
        self._listeners.add(event)
        return event

    def leave(self, event: asyncio.Event) -> None:
        """Stop listening."""
        self._listeners.discard(event)

    def notify(self) -> None:
        """Wake everyone who waits for messages."""
        for event in self._listeners:
            event.set()

    def appended(self, messages: Sequence[Pending], now: int) -> None:
        """These were just committed to the backlog, in the order of their ids."""
        if self._is_caught_up and len(self.queue) + len(messages) <= WINDOW:
            for message in messages:
                self.queue.offer(message, now)
            self._cursor = messages[-1].message_id
        else:
            self._is_caught_up = False
        self.notify()

    def take(self, consumer: Consumer, budget: Callable[[], Budget], now: int, lease_until: int) -> list[Entry]:
        """Lease messages to the consumer, reading on in the store while the held ones offer nothing."""
        while True:
            leased = self.queue.take(consumer, budget(), lease_until)
            if leased or not self._refill(now):
                return leased

    def rewind(self) -> None:
        """Hold nothing and begin again at the start of the backlog; leases end."""
        self.queue.clear()
        self._cursor, self._is_caught_up = 0, False
        self.notify()

    def _refill(self, now: int) -> bool:
        if self._is_caught_up or len(self.queue) + REFILL > WINDOW:
            return False
        found = self._store.pending(self.id, self._cursor, REFILL)
        for message in found:
            self.queue.offer(message, now)
        if found:
            self._cursor = found[-1].message_id
        self._is_caught_up = len(found) < REFILL
        return bool(found)
