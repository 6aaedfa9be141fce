"""Push subscriptions: messages go out as HTTP POST, and the answer's status is the acknowledgement."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from typing import Any, Final

import httpx

from infra.embedded.pubsub.broker import Broker
from infra.embedded.pubsub.entries import Budget, Consumer
from infra.embedded.pubsub.feed import Feed
from infra.embedded.pubsub.model import Proto
from infra.runtime.logs import get_logger

CONCURRENCY: Final = 16
"""Requests under way per subscription."""
CONCURRENT_BYTES: Final = 16 * 1024 * 1024
LEASE_MARGIN_SECONDS: Final = 5
"""The lease outlives the request by this, so that a request that ran out of time is counted once."""


def wrapped(feed: Feed, received: Proto) -> dict[str, Any]:
    """The JSON body of a push, in Pub/Sub's wrapped form."""
    message = received.message
    published = message.publish_time.ToJsonString()
    body: dict[str, Any] = {
        "message": {
            "attributes": dict(message.attributes),
            "data": base64.b64encode(message.data).decode(),
            "messageId": message.message_id,
            "message_id": message.message_id,
            "publishTime": published,
            "publish_time": published,
        },
        "subscription": feed.name,
    }
    if message.ordering_key:
        body["message"]["orderingKey"] = message.ordering_key
    if received.delivery_attempt:
        body["deliveryAttempt"] = received.delivery_attempt
    return body


class Pushers:
    """One worker per push subscription; `sync` starts workers, which end themselves when they are no longer wanted."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._requests: set[asyncio.Task[None]] = set()
        self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=None)  # noqa: S113 - see _post

    def sync(self) -> None:
        """Start a worker for each subscription that has an endpoint and no worker."""
        self._workers = {feed_id: task for feed_id, task in self._workers.items() if not task.done()}
        for feed in self._broker.registry.feeds.values():
            if feed.push_endpoint and feed.id not in self._workers:
                self._workers[feed.id] = asyncio.create_task(self._work(feed))

    async def close(self) -> None:
        """Stop; what was under way will be delivered again after the next start."""
        tasks = [*self._workers.values(), *self._requests]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _work(self, feed: Feed) -> None:
        consumer = Consumer(is_single=True)
        event = feed.listen()
        try:
            while feed.push_endpoint and not feed.is_deleted:
                event.clear()
                if not self._start_some(feed, consumer):
                    await event.wait()
        except sqlite3.Error as error:
            # The next sync starts another worker; leases that were taken run out and are delivered again.
            get_logger(__name__).error("push_read_failed", subscription=feed.name, reason=str(error))
        finally:
            feed.leave(event)

    def _start_some(self, feed: Feed, consumer: Consumer) -> bool:
        room = CONCURRENCY - consumer.messages
        if room <= 0:
            return False
        lease = int(feed.config.ack_deadline_seconds) + LEASE_MARGIN_SECONDS
        received = self._broker.take(feed, consumer, lambda: Budget(room, CONCURRENT_BYTES), lease)
        for message in received:
            request = asyncio.create_task(self._deliver(feed, message))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
        return bool(received)

    async def _deliver(self, feed: Feed, received: Proto) -> None:
        try:
            if await self._post(feed, received):
                await self._broker.acknowledge(feed, [received.ack_id])
            else:
                self._broker.modify(feed, [received.ack_id], 0)
        except sqlite3.Error as error:
            # The broker has put the message back.
            get_logger(__name__).error("push_ack_failed", subscription=feed.name, reason=str(error))

    async def _post(self, feed: Feed, received: Proto) -> bool:
        """Whether the endpoint took the message (2xx) within the ack deadline."""
        try:
            async with asyncio.timeout(feed.config.ack_deadline_seconds):
                response = await self._client.post(feed.push_endpoint, json=wrapped(feed, received))
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            get_logger(__name__).info("push_failed", subscription=feed.name, kind=type(error).__name__)
            return False
        if not response.is_success:
            get_logger(__name__).info("push_refused", subscription=feed.name, status=response.status_code)
        return response.is_success
