"""What publishing, taking, acknowledging and refusing do to the store and to the live subscriptions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from infra.embedded.pubsub.commit import GroupCommit
from infra.embedded.pubsub.entries import Budget, Consumer, Entry, State
from infra.embedded.pubsub.feed import Feed
from infra.embedded.pubsub.model import (
    SECOND,
    AckId,
    MessageProto,
    Pending,
    Proto,
    ReceivedProto,
    from_micros,
    micros,
)
from infra.embedded.pubsub.registry import Registry, Topic
from infra.embedded.pubsub.store import BEYOND, Store
from infra.embedded.pubsub.subscription import Failures
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger

PURGE_PORTION: Final = 500
_SOURCE: Final = "CloudPubSubDeadLetterSource"


@dataclass(frozen=True, slots=True)
class _Appended:
    """Messages that were written, and to whom they are owed."""

    message_ids: list[int]
    owed: list[tuple[Feed, list[Pending]]]


class Broker:
    """The operations on messages; call it from the event loop's thread only."""

    def __init__(self, store: Store, commit: GroupCommit, clock: Clock) -> None:
        self._store = store
        self._commit = commit
        self._clock = clock
        self.registry = Registry(store, commit, first_lease=micros(clock.now()))

    async def publish(self, topic_name: str, messages: Sequence[Proto]) -> list[int]:
        """Write checked messages and return their ids once they are committed; NOT_FOUND."""
        self.registry.topic(topic_name)
        appended = await self._commit.run(
            lambda: self._append(self.registry.topic(topic_name), messages), self._announce
        )
        return appended.message_ids

    def take(self, feed: Feed, consumer: Consumer, budget: Callable[[], Budget], lease_seconds: int) -> list[Proto]:
        """Lease messages to the consumer, as `ReceivedMessage`s."""
        now = self._now()
        entries = feed.take(consumer, budget, now, now + lease_seconds * SECOND)
        payloads = self._store.payloads([entry.message_id for entry in entries])
        lost = [entry.message_id for entry in entries if entry.message_id not in payloads]
        if lost:
            self._settle_later(feed, [*lost, *_ids(feed.queue.remove(lost))])
            feed.notify()
        has_attempts = feed.queue.max_attempts is not None
        return [
            _received(feed, entry, payload, has_attempts)
            for entry in entries
            if (payload := payloads.get(entry.message_id)) is not None
        ]

    async def acknowledge(self, feed: Feed, ack_ids: Iterable[str]) -> None:
        """Finish messages; returns once that is committed. If it fails they will be delivered again."""
        result = feed.queue.acknowledge(_pairs(feed, ack_ids))
        feed.notify()
        message_ids = [*_ids(result.settled), *result.unknown]
        if not message_ids:
            return

        def undo() -> None:
            for entry in result.settled:
                feed.queue.offer(Pending(entry.message_id, entry.ordering_key, entry.size, entry.failures), self._now())
            feed.notify()

        await self._commit.run(lambda: self._settle(feed, message_ids), undo=undo)

    def modify(self, feed: Feed, ack_ids: Iterable[str], seconds: int) -> None:
        """Let leases end `seconds` from now; 0 refuses the messages."""
        now = self._now()
        pairs = _pairs(feed, ack_ids)
        if seconds > 0:
            feed.queue.extend(pairs, now + seconds * SECOND)
        else:
            self._after(feed, feed.queue.fail(pairs, now), now)
            feed.notify()

    async def seek(self, feed: Feed, at: datetime) -> None:
        """Acknowledge what was published before `at`, and deliver again what is retained from then on.

        One transaction, during which nothing else is served: one to four seconds for 100,000 messages.
        """
        first = micros(at)

        def write() -> None:
            self._store.seek(feed.id, first, feed.config.retain_acked_messages)
            topic = self.registry.topics.get(feed.config.topic)
            if topic is not None and topic.retention:
                retained = self._store.retained(topic.id, first)
                self._store.add_deliveries(
                    feed.id, [message_id for message_id, payload in retained if _matches(feed, payload)]
                )

        await self._commit.run(write, lambda _result: feed.rewind())

    def tick(self) -> None:
        """Let leases and backoffs end whose time has come."""
        now = self._now()
        for feed in self.registry.feeds.values():
            failures, has_changed = feed.queue.tick(now)
            self._after(feed, failures, now)
            if has_changed:
                feed.notify()

    async def purge(self) -> None:
        """Drop what is older than its retention, and what deleted topics and subscriptions left, in portions."""
        now = self._now()
        for feed in list(self.registry.feeds.values()):
            await self._purge_feed(feed, BEYOND if feed.config.detached else now - feed.retention)
        for topic in list(self.registry.topics.values()):
            while await self._purge_topic(topic, now - topic.retention) == PURGE_PORTION:
                pass
        while await self._commit.run(lambda: self._store.purge_doomed(PURGE_PORTION)):
            pass

    async def _purge_feed(self, feed: Feed, before: int) -> None:
        def forget(result: tuple[list[int], bool]) -> None:
            if settled := feed.queue.remove(result[0]):
                self._settle_later(feed, _ids(settled))

        is_done = False
        while not is_done and not feed.is_deleted:
            _, is_done = await self._commit.run(
                lambda: self._store.purge_subscription(feed.id, before, PURGE_PORTION), forget
            )

    async def _purge_topic(self, topic: Topic, before: int) -> int:
        return await self._commit.run(lambda: self._store.purge_topic(topic.id, before, PURGE_PORTION))

    def _now(self) -> int:
        return micros(self._clock.now())

    def _append(self, topic: Topic, messages: Sequence[Proto]) -> _Appended:
        now = self._now()
        rows = []
        for message in messages:
            message_id = self._store.next_message_id(now)
            message.message_id = str(message_id)
            message.publish_time.FromMicroseconds(message_id)
            payload = message.SerializeToString()
            rows.append((Pending(message_id, message.ordering_key, len(payload)), payload))
        owed = []
        for feed in topic.feeds.values():
            matches = feed.matches
            wanted = [
                row[0]
                for row, message in zip(rows, messages, strict=True)
                if matches is None or matches(message.attributes)
            ]
            if wanted:
                owed.append((feed, wanted))
        is_retained = topic.retention > 0
        needed = {pending.message_id for _, wanted in owed for pending in wanted}
        self._store.add_messages(topic.id, is_retained, [r for r in rows if is_retained or r[0].message_id in needed])
        for feed, wanted in owed:
            self._store.add_deliveries(feed.id, [pending.message_id for pending in wanted])
        return _Appended([pending.message_id for pending, _ in rows], owed)

    def _announce(self, appended: _Appended) -> None:
        now = self._now()
        for feed, pending in appended.owed:
            feed.appended(pending, now)

    def _settle(self, feed: Feed, message_ids: Iterable[int]) -> None:
        self._store.settle(feed.id, message_ids, feed.config.retain_acked_messages)

    def _settle_later(self, feed: Feed, message_ids: list[int]) -> None:
        self._commit.submit(lambda: self._settle(feed, message_ids))

    def _after(self, feed: Feed, failures: Failures, now: int) -> None:
        """Write down what failed, and move what is dead to the dead-letter topic."""
        if failures.again:
            rows = [(e.message_id, e.failures, e.due if e.state is State.WAITING else 0) for e in failures.again]
            self._commit.submit(lambda: self._store.record_failures(feed.id, rows))
        if failures.dead:
            self._dead_letter(feed, failures.dead, now)

    def _dead_letter(self, feed: Feed, dead: list[Entry], now: int) -> None:
        """Publish copies and settle the originals in one transaction; where that fails they are delivered again."""
        target = feed.config.dead_letter_policy.dead_letter_topic

        def write() -> _Appended:
            topic = self.registry.topic(target)
            payloads = self._store.payloads(_ids(dead))
            copies = [_dead_copy(feed, e, payloads[e.message_id]) for e in dead if e.message_id in payloads]
            appended = self._append(topic, copies)
            self._settle(feed, _ids(dead))
            return appended

        def done(appended: _Appended) -> None:
            self._announce(appended)
            settled = [message_id for entry in dead for message_id in _ids(feed.queue.bury(entry))]
            if others := set(settled) - set(_ids(dead)):
                self._settle_later(feed, sorted(others))
            feed.notify()

        def failed(error: Exception) -> None:
            kind = "store" if isinstance(error, sqlite3.Error) else "topic"
            get_logger(__name__).warning("dead_letter_failed", subscription=feed.name, topic=target, failed=kind)
            for entry in dead:
                feed.queue.revive(entry, now)
            feed.notify()

        self._commit.submit(write, done, failed)


def _ids(entries: Iterable[Entry]) -> list[int]:
    return [entry.message_id for entry in entries]


def _pairs(feed: Feed, ack_ids: Iterable[str]) -> list[tuple[int, int]]:
    """(message id, lease) of ack ids; those of a subscription of the same name that was deleted are left out."""
    parsed = [AckId.parse(text) for text in ack_ids]
    return [(ack.message_id, ack.lease) for ack in parsed if ack.subscription_id == feed.id]


def _received(feed: Feed, entry: Entry, payload: bytes, has_attempts: bool) -> Proto:
    received = ReceivedProto(ack_id=str(AckId(feed.id, entry.message_id, entry.lease)))
    received.message.MergeFromString(payload)
    if has_attempts:
        received.delivery_attempt = entry.attempt
    return received


def _matches(feed: Feed, payload: bytes) -> bool:
    return feed.matches is None or feed.matches(MessageProto.FromString(payload).attributes)


def _dead_copy(feed: Feed, entry: Entry, payload: bytes) -> Proto:
    """The message with the attributes by which Pub/Sub tells where a dead letter came from."""
    message = MessageProto.FromString(payload)
    _, project, _, subscription = feed.name.split("/")
    message.attributes[f"{_SOURCE}DeliveryCount"] = str(entry.failures)
    message.attributes[f"{_SOURCE}Subscription"] = subscription
    message.attributes[f"{_SOURCE}SubscriptionProject"] = project
    published = from_micros(entry.message_id).isoformat(timespec="milliseconds")
    message.attributes[f"{_SOURCE}TopicPublishTime"] = published
    return message
