"""Pub/Sub: publishing JSON durably, and consuming in batches that are acknowledged only once handled."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import google.cloud.pubsub_v1 as pubsub_v1
import grpc
from google.api_core import exceptions as google_exceptions
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import DeadLetterPolicy, RetryPolicy, Subscription

from infra.runtime.errors import NotReadyError
from infra.runtime.logs import get_logger
from infra.runtime.settings import Settings

_log = get_logger(__name__)

DEAD_LETTER_SUFFIX = ".dead-letter"
PUBLISH_TIMEOUT_S = 30.0
# The most that Pub/Sub permits: a fault of ours must not set good messages aside.
MAX_DELIVERY_ATTEMPTS = 100
# What a killed consumer held comes again after this; the client's own default is a minute.
LEASE_S = 20


@dataclass(frozen=True)
class TopicSpec:
    """A topic with its subscriptions; each topic has a dead-letter topic with a subscription of its own."""

    name: str
    subscriptions: tuple[str, ...]
    ordered: bool = False

    @property
    def dead_letter(self) -> str:
        """Name of the dead-letter topic, and of the subscription that keeps its messages."""
        return self.name + DEAD_LETTER_SUFFIX


@dataclass(frozen=True)
class Received:
    """One delivery of a message."""

    data: bytes
    attributes: Mapping[str, str]
    message_id: str
    publish_time: datetime
    ordering_key: str


@dataclass(frozen=True)
class Ack:
    """The message is handled durably: never deliver it again."""


@dataclass(frozen=True)
class Retry:
    """The message could not be handled now: deliver it again."""

    reason: str


@dataclass(frozen=True)
class DeadLetter:
    """The message can never be handled: keep it in the dead-letter topic with the reason."""

    reason_code: str
    reason: str


Outcome = Ack | Retry | DeadLetter


class Handler(Protocol):
    """Handles a batch and returns one outcome a message, in order; what it raises makes the batch be retried."""

    def __call__(self, batch: Sequence[Received], /) -> Sequence[Outcome]: ...


def _publisher_client(settings: Settings, *, ordered: bool) -> pubsub_v1.PublisherClient:
    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=ordered)
    batching = pubsub_v1.types.BatchSettings(max_messages=500, max_bytes=1_000_000, max_latency=0.01)
    if not settings.pubsub_endpoint:
        return pubsub_v1.PublisherClient(batch_settings=batching, publisher_options=options)
    transport = PublisherGrpcTransport(channel=grpc.insecure_channel(settings.pubsub_endpoint))
    return pubsub_v1.PublisherClient(batch_settings=batching, publisher_options=options, transport=transport)


def _subscriber_client(settings: Settings) -> pubsub_v1.SubscriberClient:
    if not settings.pubsub_endpoint:
        return pubsub_v1.SubscriberClient()
    transport = SubscriberGrpcTransport(channel=grpc.insecure_channel(settings.pubsub_endpoint))
    return pubsub_v1.SubscriberClient(transport=transport)


class Publisher:
    """Publishes bytes to topics of the project; a returned id means that Pub/Sub keeps the message."""

    def __init__(self, settings: Settings, *, ordered: bool = False) -> None:
        self._settings = settings
        self._client = _publisher_client(settings, ordered=ordered)

    def publish(
        self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None, ordering_key: str = ""
    ) -> Future[str]:
        """Queue one message; the future gives its message id once it is durable, or raises."""
        path = self._client.topic_path(self._settings.gcp_project, topic)
        future: Future[str] = self._client.publish(
            path, data, ordering_key=ordering_key, timeout=PUBLISH_TIMEOUT_S, **dict(attributes or {})
        )
        return future

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        """Publish the messages and wait until all are durable; raises `NotReadyError` if Pub/Sub stays away."""
        futures = [self.publish(topic, data) for data in messages]
        try:
            return [future.result(timeout=PUBLISH_TIMEOUT_S * 2) for future in futures]
        except (google_exceptions.GoogleAPICallError, google_exceptions.RetryError, TimeoutError) as error:
            raise NotReadyError(
                f"Pub/Sub did not take messages for {topic} ({type(error).__name__}: {error})"
            ) from error

    def close(self) -> None:
        """Send what is queued and stop."""
        self._client.stop()


def ensure_topics(settings: Settings, topics: Sequence[TopicSpec]) -> None:
    """Create topics, dead-letter topics and subscriptions unless they are there."""
    publisher = _publisher_client(settings, ordered=False)
    subscriber = _subscriber_client(settings)
    with subscriber:
        for spec in topics:
            topic = publisher.topic_path(settings.gcp_project, spec.name)
            dead_letter = publisher.topic_path(settings.gcp_project, spec.dead_letter)
            for name in (dead_letter, topic):
                _unless_there(publisher.create_topic, name=name, timeout=PUBLISH_TIMEOUT_S)
            kept = Subscription(
                name=subscriber.subscription_path(settings.gcp_project, spec.dead_letter),
                topic=dead_letter,
                ack_deadline_seconds=60,
            )
            wanted = [kept]
            for name in spec.subscriptions:
                wanted.append(
                    Subscription(
                        name=subscriber.subscription_path(settings.gcp_project, name),
                        topic=topic,
                        ack_deadline_seconds=LEASE_S,
                        enable_message_ordering=spec.ordered,
                        retry_policy=RetryPolicy(minimum_backoff={"seconds": 1}, maximum_backoff={"seconds": 30}),
                        dead_letter_policy=DeadLetterPolicy(
                            dead_letter_topic=dead_letter, max_delivery_attempts=MAX_DELIVERY_ATTEMPTS
                        ),
                    )
                )
            for subscription in wanted:
                _unless_there(subscriber.create_subscription, request=subscription, timeout=PUBLISH_TIMEOUT_S)
    publisher.stop()


def _unless_there(create: Callable[..., Any], **arguments: Any) -> None:
    try:
        create(**arguments)
    except google_exceptions.AlreadyExists:
        return


@dataclass
class BatchConsumer:
    """Pulls a subscription and hands messages over in batches.

    A batch closes when it has `max_batch` messages or its first one has waited `max_wait_s`. A message is
    acknowledged after `handle` said so and never before; unacknowledged ones come again. At most
    `max_outstanding` messages are held in memory, so a slow warehouse slows the pull down.
    """

    settings: Settings
    subscription: str
    handle: Handler
    max_batch: int = 500
    max_wait_s: float = 0.05
    max_outstanding: int = 5_000
    dead_letter_topic: str | None = None
    _queue: queue.Queue[Message] = field(init=False)
    _turned_at: float = field(init=False, default_factory=time.monotonic)
    _problem: str | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._queue = queue.Queue()

    def is_turning(self, within_s: float = 60.0) -> bool:
        """Whether it went round its loop lately: with messages, without, or waiting for a server that is away."""
        return time.monotonic() - self._turned_at <= within_s

    @property
    def problem(self) -> str | None:
        """The code of what the last batch failed of; None while batches are handled."""
        return self._problem

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set; reconnects with back-off when Pub/Sub goes away."""
        publisher = Publisher(self.settings)
        back_off_s = 0.5
        while not stop.is_set():
            started = self._turned_at = time.monotonic()
            try:
                self._consume(publisher, stop)
            except google_exceptions.GoogleAPICallError as error:
                _log.warning("consumer_disconnected", subscription=self.subscription, reason=str(error))
                back_off_s = 0.5 if time.monotonic() - started > 30 else min(back_off_s * 2, 10)
                stop.wait(back_off_s)
        publisher.close()

    def _consume(self, publisher: Publisher, stop: threading.Event) -> None:
        client = _subscriber_client(self.settings)
        path = client.subscription_path(self.settings.gcp_project, self.subscription)
        pull = client.subscribe(
            path,
            callback=self._queue.put,
            flow_control=pubsub_v1.types.FlowControl(
                max_messages=self.max_outstanding,
                max_bytes=64 * 1024**2,
                max_duration_per_lease_extension=LEASE_S,
            ),
            await_callbacks_on_shutdown=False,
        )
        try:
            while not stop.is_set():
                self._turned_at = time.monotonic()
                if pull.done():
                    pull.result()
                    return
                batch = self._next_batch()
                if batch:
                    self._handle(publisher, batch, stop)
        finally:
            pull.cancel()
            try:
                pull.result(timeout=10)
            except (TimeoutError, google_exceptions.GoogleAPICallError) as error:
                _log.warning("consumer_stop_late", subscription=self.subscription, reason=str(error))
            while not self._queue.empty():
                self._queue.get_nowait().nack()
            client.close()

    def _next_batch(self) -> list[Message]:
        try:
            batch = [self._queue.get(timeout=0.25)]
        except queue.Empty:
            return []
        closes = time.monotonic() + self.max_wait_s
        while len(batch) < self.max_batch:
            try:
                batch.append(self._queue.get(timeout=max(0.0, closes - time.monotonic())))
            except queue.Empty:
                break
        return batch

    def _handle(self, publisher: Publisher, batch: list[Message], stop: threading.Event) -> None:
        outcomes = self._outcomes(batch, stop)
        if outcomes is None:
            for message in batch:
                message.nack()
            return
        for message, outcome in zip(batch, outcomes, strict=True):
            match outcome:
                case Ack():
                    message.ack()
                case Retry(reason):
                    _log.warning("message_retried", message_id=message.message_id, reason=reason)
                    message.nack()
                case DeadLetter(code, reason):
                    self._dead_letter(publisher, message, code, reason)

    def _outcomes(self, batch: list[Message], stop: threading.Event) -> Sequence[Outcome] | None:
        """What became of the batch; None when it must come again.

        While a server is away the batch is held and tried again here: sending it back would use up the deliveries
        after which Pub/Sub sets a message aside, although nothing is wrong with it.
        """
        received = [_received(message) for message in batch]
        back_off_s = 0.5
        while not stop.is_set():
            self._turned_at = time.monotonic()
            try:
                outcomes = self.handle(received)
                self._problem = None
                return outcomes
            except NotReadyError as error:
                self._problem = error.code
                _log.warning("batch_waits", subscription=self.subscription, messages=len(batch), reason=error.message)
                stop.wait(back_off_s)
                back_off_s = min(back_off_s * 2, 10.0)
            except Exception as error:
                # The boundary of at-least-once: whatever failed, the messages come again.
                self._problem = "batch_failed"
                _log.exception("batch_failed", subscription=self.subscription, messages=len(batch), reason=str(error))
                stop.wait(0.5)
                return None
        return None

    def _dead_letter(self, publisher: Publisher, message: Message, code: str, reason: str) -> None:
        topic = self.dead_letter_topic
        if topic is None:
            _log.error("dead_letter_missing", subscription=self.subscription, message_id=message.message_id)
            message.nack()
            return
        attributes = {
            **message.attributes,
            "reason_code": code,
            "reason": reason[:1000],
            "source_subscription": self.subscription,
            "source_message_id": message.message_id,
        }
        try:
            publisher.publish(topic, message.data, attributes).result(timeout=PUBLISH_TIMEOUT_S)
        except (google_exceptions.GoogleAPICallError, google_exceptions.RetryError, TimeoutError) as error:
            _log.warning("dead_letter_delayed", topic=topic, message_id=message.message_id, reason=str(error))
            message.nack()
            return
        _log.warning("message_dead_lettered", topic=topic, message_id=message.message_id, code=code, reason=reason)
        message.ack()


def _received(message: Message) -> Received:
    published = message.publish_time
    return Received(
        data=message.data,
        attributes=dict(message.attributes),
        message_id=message.message_id,
        publish_time=published.astimezone(UTC) if published else datetime.now(UTC),
        ordering_key=message.ordering_key or "",
    )
