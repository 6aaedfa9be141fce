"""The gRPC service `google.pubsub.v1.Subscriber`: a thin shell around the registry and the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC
from typing import Final

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from infra.embedded.pubsub.broker import Broker
from infra.embedded.pubsub.entries import Budget, Consumer
from infra.embedded.pubsub.feed import Feed
from infra.embedded.pubsub.model import Proto, PubsubError, SubscriptionProto, invalid, unsupported
from infra.embedded.pubsub.paging import page
from infra.embedded.pubsub.rpc import Context, Unary, streaming, unary
from infra.embedded.pubsub.stream import RESPONSE_BYTES, Stream
from infra.embedded.pubsub.validation import check_ack_deadline

NAME: Final = "google.pubsub.v1.Subscriber"
PULL_WAIT_SECONDS: Final = 20.0
"""How long a pull waits for a first message before it answers with none."""
MAX_PULL_MESSAGES: Final = 1000

_PullResponse: Final = types.PullResponse.pb()
_ListResponse: Final = types.ListSubscriptionsResponse.pb()
_SeekResponse: Final = types.SeekResponse.pb()


class Subscriber:
    """The methods; each takes and returns protobuf messages and raises `PubsubError`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._registry = broker.registry
        self._is_closing = False

    def methods(self) -> Mapping[str, Unary]:
        """How gRPC reaches the methods."""
        return {
            "CreateSubscription": unary(self.create, types.Subscription),
            "GetSubscription": unary(self.get, types.GetSubscriptionRequest),
            "UpdateSubscription": unary(self.update, types.UpdateSubscriptionRequest),
            "ListSubscriptions": unary(self.list_all, types.ListSubscriptionsRequest),
            "DeleteSubscription": unary(self.delete, types.DeleteSubscriptionRequest),
            "ModifyPushConfig": unary(self.modify_push_config, types.ModifyPushConfigRequest),
            "ModifyAckDeadline": unary(self.modify_ack_deadline, types.ModifyAckDeadlineRequest),
            "Acknowledge": unary(self.acknowledge, types.AcknowledgeRequest),
            "Pull": unary(self.pull, types.PullRequest),
            "StreamingPull": streaming(self.streaming_pull, types.StreamingPullRequest),
            "Seek": unary(self.seek, types.SeekRequest),
        }

    def close(self) -> None:
        """End streams and waiting pulls with UNAVAILABLE, upon which clients connect again."""
        self._is_closing = True
        for feed in self._registry.feeds.values():
            feed.notify()

    async def create(self, request: Proto, _context: Context) -> Proto:
        """Create a subscription."""
        return await self._registry.create_subscription(request)

    async def get(self, request: Proto, _context: Context) -> Proto:
        """A subscription's configuration."""
        return self._describe(self._registry.feed(request.subscription))

    async def update(self, request: Proto, _context: Context) -> Proto:
        """Change a subscription."""
        await self._registry.update_subscription(request.subscription, request.update_mask)
        return self._describe(self._registry.feed(request.subscription.name))

    async def list_all(self, request: Proto, _context: Context) -> Proto:
        """A project's subscriptions, by name."""
        names, token = page(self._registry.feeds, f"{request.project}/", request)
        found = [self._describe(self._registry.feeds[name]) for name in names]
        return _ListResponse(subscriptions=found, next_page_token=token)

    async def delete(self, request: Proto, _context: Context) -> Proto:
        """Delete a subscription with its backlog."""
        await self._registry.delete_subscription(request.subscription)
        return Empty()

    async def modify_push_config(self, request: Proto, _context: Context) -> Proto:
        """Change where messages are posted."""
        await self._registry.modify_push(request.subscription, request.push_config)
        return Empty()

    async def modify_ack_deadline(self, request: Proto, _context: Context) -> Proto:
        """Extend leases, or refuse messages with 0."""
        check_ack_deadline(request.ack_deadline_seconds)
        feed = self._registry.feed(request.subscription)
        self._broker.modify(feed, request.ack_ids, request.ack_deadline_seconds)
        return Empty()

    async def acknowledge(self, request: Proto, _context: Context) -> Proto:
        """Finish messages; the answer means that this is written."""
        await self._broker.acknowledge(self._registry.feed(request.subscription), request.ack_ids)
        return Empty()

    async def seek(self, request: Proto, _context: Context) -> Proto:
        """Go to a time in the backlog."""
        if request.WhichOneof("target") != "time":
            raise unsupported("Seek to a snapshot")
        feed = self._registry.feed(request.subscription)
        await self._broker.seek(feed, request.time.ToDatetime(tzinfo=UTC))
        return _SeekResponse()

    async def pull(self, request: Proto, context: Context) -> Proto:
        """Up to `max_messages` messages; waits for a first one unless told not to."""
        if request.max_messages <= 0:
            raise invalid(f"max_messages is {request.max_messages}; it must be positive.")
        feed = self._registry.feed(request.subscription)
        count = min(request.max_messages, MAX_PULL_MESSAGES)
        event = feed.listen()
        try:
            async with asyncio.timeout(0 if request.return_immediately else _patience(context)):
                received = await self._wait(feed, event, count)
        except TimeoutError:
            received = []
        finally:
            feed.leave(event)
        return _PullResponse(received_messages=received)

    async def _wait(self, feed: Feed, event: asyncio.Event, count: int) -> list[Proto]:
        while True:
            self.check_open(feed)
            event.clear()
            lease = feed.config.ack_deadline_seconds
            if received := self._broker.take(feed, Consumer(), lambda: Budget(count, RESPONSE_BYTES), lease):
                return received
            await event.wait()

    async def streaming_pull(self, requests: AsyncIterator[Proto], context: Context) -> None:
        """Messages as they come, until either side ends the stream."""
        async for first in requests:
            feed = self._registry.feed(first.subscription)
            stream = Stream(self._broker, feed, first, self.check_open)
            await stream.run(requests, context)
            return

    def check_open(self, feed: Feed) -> None:
        """Raise unless messages of this subscription may be pulled."""
        if self._is_closing:
            raise PubsubError(grpc.StatusCode.UNAVAILABLE, "The server is stopping. Connect again.")
        if feed.is_deleted:
            self._registry.feed(feed.name)
            raise PubsubError(grpc.StatusCode.ABORTED, f"{feed.name} was deleted and created again. Connect again.")
        if feed.config.detached:
            raise PubsubError(grpc.StatusCode.FAILED_PRECONDITION, f"{feed.name} is detached from its topic.")
        if feed.push_endpoint:
            raise PubsubError(
                grpc.StatusCode.FAILED_PRECONDITION, f"{feed.name} is a push subscription and cannot be pulled."
            )

    def _describe(self, feed: Feed) -> Proto:
        """The configuration with what the topic adds to it."""
        config = SubscriptionProto()
        config.CopyFrom(feed.config)
        topic = self._registry.topics.get(config.topic)
        if topic is not None and topic.retention:
            config.topic_message_retention_duration.CopyFrom(topic.config.message_retention_duration)
        return config


def _patience(context: Context) -> float:
    """Seconds to wait: a little less than the client does, so that it gets an answer instead of a timeout."""
    remaining = context.time_remaining()
    return PULL_WAIT_SECONDS if remaining is None else min(PULL_WAIT_SECONDS, 0.9 * max(float(remaining), 0.0))
