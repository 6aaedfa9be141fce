"""The topics and subscriptions that exist, in memory and in the store alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from infra.embedded.pubsub.commit import GroupCommit
from infra.embedded.pubsub.feed import Feed
from infra.embedded.pubsub.model import (
    DELETED_TOPIC,
    Proto,
    SubscriptionProto,
    TopicProto,
    already_exists,
    duration_micros,
    invalid,
    not_found,
)
from infra.embedded.pubsub.store import Store
from infra.embedded.pubsub.validation import complete_subscription, complete_topic

TOPIC_MUTABLE: Final = frozenset({"labels", "message_retention_duration", "message_storage_policy"})
SUBSCRIPTION_MUTABLE: Final = frozenset(
    {
        "ack_deadline_seconds",
        "dead_letter_policy",
        "expiration_policy",
        "labels",
        "message_retention_duration",
        "push_config",
        "retain_acked_messages",
        "retry_policy",
    }
)


@dataclass(slots=True)
class Topic:
    """A topic and the subscriptions that its messages go to."""

    id: int
    config: Proto
    feeds: dict[str, Feed] = field(default_factory=dict)

    @property
    def retention(self) -> int:
        """How long the topic itself keeps messages for seeks, in microseconds; 0: not at all."""
        return duration_micros(self.config.message_retention_duration)


class Registry:
    """Every change is committed before memory shows it; `first_lease` is higher than any lease of earlier processes."""

    def __init__(self, store: Store, commit: GroupCommit, first_lease: int) -> None:
        self._store = store
        self._commit = commit
        self._leases = itertools.count(first_lease)
        self.topics: dict[str, Topic] = {}
        self.feeds: dict[str, Feed] = {}
        for topic_id, blob in store.topics():
            config = TopicProto.FromString(blob)
            self.topics[config.name] = Topic(topic_id, config)
        for feed_id, blob in store.subscriptions():
            self._attach(feed_id, SubscriptionProto.FromString(blob))

    def topic(self, name: str) -> Topic:
        """The topic, or NOT_FOUND."""
        if (topic := self.topics.get(name)) is None:
            raise not_found("Topic", name)
        return topic

    def feed(self, name: str) -> Feed:
        """The subscription, or NOT_FOUND."""
        if (feed := self.feeds.get(name)) is None:
            raise not_found("Subscription", name)
        return feed

    async def create_topic(self, config: Proto) -> Proto:
        """Create and return it; ALREADY_EXISTS."""
        complete_topic(config)

        def write() -> int:
            if config.name in self.topics:
                raise already_exists("Topic", config.name)
            return self._store.add_topic(config.name, config.SerializeToString())

        def then(topic_id: int) -> None:
            self.topics[config.name] = Topic(topic_id, config)

        await self._commit.run(write, then)
        return config

    async def update_topic(self, update: Proto, mask: FieldMask) -> Proto:
        """Change the fields that the mask names."""
        topic = self.topic(update.name)
        config = _merged(topic.config, update, mask, TOPIC_MUTABLE)
        complete_topic(config)

        def then(_result: None) -> None:
            topic.config = config

        await self._commit.run(lambda: self._store.save_topic(topic.id, config.SerializeToString()), then)
        return config

    async def delete_topic(self, name: str) -> None:
        """Delete it; its subscriptions stay, with their backlog, and get nothing new."""

        def write() -> list[tuple[Feed, Proto]]:
            topic = self.topic(name)
            self._store.delete_topic(topic.id)
            orphans = [feed for feed in self.feeds.values() if feed.config.topic == name]
            return [(feed, self._save(feed, _with(feed.config, topic=DELETED_TOPIC))) for feed in orphans]

        def then(orphans: list[tuple[Feed, Proto]]) -> None:
            del self.topics[name]
            for feed, config in orphans:
                feed.configure(config)

        await self._commit.run(write, then)

    async def create_subscription(self, config: Proto) -> Proto:
        """Create and return it, with defaults filled in; ALREADY_EXISTS, NOT_FOUND for a topic that is not there."""
        complete_subscription(config)

        def write() -> int:
            if config.name in self.feeds:
                raise already_exists("Subscription", config.name)
            self.topic(config.topic)
            self._check_dead_letter_topic(config)
            return self._store.add_subscription(config.name, config.SerializeToString())

        await self._commit.run(write, lambda feed_id: self._attach(feed_id, config))
        return config

    async def update_subscription(self, update: Proto, mask: FieldMask) -> Proto:
        """Change the fields that the mask names; what is not given falls back to the default."""
        feed = self.feed(update.name)
        return await self._change(feed, lambda: _merged(feed.config, update, mask, SUBSCRIPTION_MUTABLE))

    async def modify_push(self, name: str, push_config: Proto) -> None:
        """Replace where messages are posted; an empty push configuration makes it a pull subscription."""
        feed = self.feed(name)

        def changed() -> Proto:
            config = _with(feed.config)
            config.push_config.CopyFrom(push_config)
            return config

        await self._change(feed, changed)

    async def detach(self, name: str) -> None:
        """Cut the subscription off its topic and drop its backlog."""
        feed = self.feed(name)

        def then(config: Proto) -> None:
            feed.configure(config)
            if (topic := self.topics.get(config.topic)) is not None:
                topic.feeds.pop(name, None)

        await self._commit.run(lambda: self._save(feed, _with(feed.config, detached=True)), then)

    async def delete_subscription(self, name: str) -> None:
        """Delete it with its backlog."""

        def write() -> Feed:
            feed = self.feed(name)
            self._store.delete_subscription(feed.id)
            return feed

        def then(feed: Feed) -> None:
            del self.feeds[name]
            if (topic := self.topics.get(feed.config.topic)) is not None:
                topic.feeds.pop(name, None)
            feed.is_deleted = True
            feed.notify()

        await self._commit.run(write, then)

    async def _change(self, feed: Feed, changed: Callable[[], Proto]) -> Proto:
        def write() -> Proto:
            config = changed()
            complete_subscription(config)
            self._check_dead_letter_topic(config)
            return self._save(feed, config)

        return await self._commit.run(write, feed.configure)

    def _save(self, feed: Feed, config: Proto) -> Proto:
        self._store.save_subscription(feed.id, config.SerializeToString())
        return config

    def _attach(self, feed_id: int, config: Proto) -> None:
        feed = Feed(feed_id, config, self._store, self._leases)
        self.feeds[feed.name] = feed
        if (topic := self.topics.get(config.topic)) is not None and not config.detached:
            topic.feeds[feed.name] = feed

    def _check_dead_letter_topic(self, config: Proto) -> None:
        if config.HasField("dead_letter_policy"):
            self.topic(config.dead_letter_policy.dead_letter_topic)


def _with(config: Proto, **fields: object) -> Proto:
    copy = type(config)()
    copy.CopyFrom(config)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


def _merged(current: Proto, update: Proto, mask: FieldMask, mutable: Collection[str]) -> Proto:
    if not mask.paths:
        raise invalid("update_mask is empty. Name the fields to change.")
    for path in mask.paths:
        if path.split(".")[0] not in mutable:
            raise invalid(f"{path!r} cannot be changed. Changeable are: {', '.join(sorted(mutable))}.")
    config = _with(current)
    try:
        mask.MergeMessage(update, config, replace_message_field=True, replace_repeated_field=True)
    except ValueError as error:
        raise invalid(f"update_mask is wrong: {error}.") from None
    return config
