"""One StreamingPull: messages flow to the client within its flow control, acknowledgements flow back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from google.pubsub_v1 import types

from infra.embedded.pubsub.broker import Broker
from infra.embedded.pubsub.entries import Budget, Consumer
from infra.embedded.pubsub.feed import WINDOW, Feed
from infra.embedded.pubsub.model import Proto, invalid
from infra.embedded.pubsub.rpc import Context
from infra.embedded.pubsub.validation import check_ack_deadline, check_stream_deadline

RESPONSE_MESSAGES: Final = 500
RESPONSE_BYTES: Final = 2 * 1024 * 1024
"""Below the 4 MiB that a gRPC client takes by default; a single larger message is sent alone."""

_Response: Final = types.StreamingPullResponse.pb()


class Stream:
    """The server's end. Leases outlive it: what was delivered and not acknowledged returns at its deadline."""

    def __init__(self, broker: Broker, feed: Feed, first: Proto, check_open: Callable[[Feed], None]) -> None:
        check_stream_deadline(first.stream_ack_deadline_seconds)
        self._broker = broker
        self._feed = feed
        self._check_open = check_open
        self._first = first
        self._deadline = int(first.stream_ack_deadline_seconds)
        self._max_messages = first.max_outstanding_messages if first.max_outstanding_messages > 0 else WINDOW
        self._max_bytes = first.max_outstanding_bytes if first.max_outstanding_bytes > 0 else 2**62
        self._consumer = Consumer(is_sticky=True)

    async def run(self, requests: AsyncIterator[Proto], context: Context) -> None:
        """Serve until the client ends the stream, or raise why the server does."""
        event = self._feed.listen()
        reader = asyncio.create_task(self._read(requests))
        reader.add_done_callback(lambda _task: event.set())
        try:
            while not reader.done():
                self._check_open(self._feed)
                event.clear()
                if received := self._take():
                    await context.write(self._response(received))
                elif not reader.done():
                    await event.wait()
            reader.result()
        finally:
            reader.cancel()
            self._feed.leave(event)

    def _take(self) -> list[Proto]:
        if self._consumer.messages >= self._max_messages or self._consumer.bytes >= self._max_bytes:
            return []
        return self._broker.take(self._feed, self._consumer, self._budget, self._deadline)

    def _budget(self) -> Budget:
        messages = self._max_messages - self._consumer.messages
        size = self._max_bytes - self._consumer.bytes
        return Budget(min(messages, RESPONSE_MESSAGES), min(size, RESPONSE_BYTES))

    def _response(self, received: list[Proto]) -> Proto:
        response = _Response(received_messages=received)
        response.subscription_properties.message_ordering_enabled = self._feed.queue.is_ordered
        return response

    async def _read(self, requests: AsyncIterator[Proto]) -> None:
        await self._apply(self._first)
        async for request in requests:
            if request.subscription or request.max_outstanding_messages or request.max_outstanding_bytes:
                raise invalid("subscription and flow control may be set in a stream's first request only.")
            if request.stream_ack_deadline_seconds:
                check_stream_deadline(request.stream_ack_deadline_seconds)
                self._deadline = int(request.stream_ack_deadline_seconds)
            await self._apply(request)

    async def _apply(self, request: Proto) -> None:
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise invalid("modify_deadline_ack_ids and modify_deadline_seconds differ in length.")
        for ack_id, seconds in zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True):
            check_ack_deadline(seconds)
            self._broker.modify(self._feed, [ack_id], seconds)
        if request.ack_ids:
            await self._broker.acknowledge(self._feed, request.ack_ids)
