"""The gRPC service `google.pubsub.v1.Publisher`: a thin shell around the registry and the broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from infra.embedded.pubsub.broker import Broker
from infra.embedded.pubsub.model import Proto
from infra.embedded.pubsub.paging import page
from infra.embedded.pubsub.rpc import Context, Unary, unary
from infra.embedded.pubsub.validation import check_publish

NAME: Final = "google.pubsub.v1.Publisher"

_PublishResponse: Final = types.PublishResponse.pb()
_ListTopicsResponse: Final = types.ListTopicsResponse.pb()
_ListTopicSubscriptionsResponse: Final = types.ListTopicSubscriptionsResponse.pb()
_DetachResponse: Final = types.DetachSubscriptionResponse.pb()


class Publisher:
    """The methods; each takes and returns protobuf messages and raises `PubsubError`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._registry = broker.registry

    def methods(self) -> Mapping[str, Unary]:
        """How gRPC reaches the methods."""
        return {
            "CreateTopic": unary(self.create_topic, types.Topic),
            "UpdateTopic": unary(self.update_topic, types.UpdateTopicRequest),
            "GetTopic": unary(self.get_topic, types.GetTopicRequest),
            "ListTopics": unary(self.list_topics, types.ListTopicsRequest),
            "DeleteTopic": unary(self.delete_topic, types.DeleteTopicRequest),
            "Publish": unary(self.publish, types.PublishRequest),
            "ListTopicSubscriptions": unary(self.list_subscriptions, types.ListTopicSubscriptionsRequest),
            "DetachSubscription": unary(self.detach_subscription, types.DetachSubscriptionRequest),
        }

    async def create_topic(self, request: Proto, _context: Context) -> Proto:
        """Create a topic."""
        return await self._registry.create_topic(request)

    async def update_topic(self, request: Proto, _context: Context) -> Proto:
        """Change a topic."""
        return await self._registry.update_topic(request.topic, request.update_mask)

    async def get_topic(self, request: Proto, _context: Context) -> Proto:
        """A topic's configuration."""
        return self._registry.topic(request.topic).config

    async def list_topics(self, request: Proto, _context: Context) -> Proto:
        """A project's topics, by name."""
        names, token = page(self._registry.topics, f"{request.project}/", request)
        return _ListTopicsResponse(topics=[self._registry.topics[n].config for n in names], next_page_token=token)

    async def delete_topic(self, request: Proto, _context: Context) -> Proto:
        """Delete a topic."""
        await self._registry.delete_topic(request.topic)
        return Empty()

    async def publish(self, request: Proto, _context: Context) -> Proto:
        """Publish messages; the answer means that they are written."""
        check_publish(request.messages, request.ByteSize())
        message_ids = await self._broker.publish(request.topic, request.messages)
        return _PublishResponse(message_ids=[str(message_id) for message_id in message_ids])

    async def list_subscriptions(self, request: Proto, _context: Context) -> Proto:
        """Names of a topic's subscriptions."""
        names, token = page(self._registry.topic(request.topic).feeds, "", request)
        return _ListTopicSubscriptionsResponse(subscriptions=names, next_page_token=token)

    async def detach_subscription(self, request: Proto, _context: Context) -> Proto:
        """Cut a subscription off its topic."""
        await self._registry.detach(request.subscription)
        return _DetachResponse()
