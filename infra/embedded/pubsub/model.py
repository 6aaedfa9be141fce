"""Words that all modules of the embedded Pub/Sub share: wire types, limits, time in microseconds, and errors.

A message id is the publish time in microseconds since 1970 (moved up by one where two would be equal). So ids rise in
publish order, and "published before t" is a comparison of ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
from google.pubsub_v1 import types

from infra.runtime.errors import BallastError

Proto = Any
"""A protobuf message; the generated classes carry no types."""

TopicProto: Final = types.Topic.pb()
SubscriptionProto: Final = types.Subscription.pb()
MessageProto: Final = types.PubsubMessage.pb()
ReceivedProto: Final = types.ReceivedMessage.pb()

SECOND: Final = 1_000_000
"""Microseconds in a second."""
DELETED_TOPIC: Final = "_deleted-topic_"
"""What a subscription names as its topic after that topic was deleted."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The aware UTC time of microseconds since 1970."""
    return _EPOCH + value * _MICROSECOND


def duration_micros(duration: Proto) -> int:
    """Microseconds of a protobuf duration."""
    return int(duration.seconds) * SECOND + int(duration.nanos) // 1000


class PubsubError(BallastError):
    """A refusal that the client sees: a gRPC status, and a message that says what, where and what to do."""

    code = "pubsub_refused"

    def __init__(self, status: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.status = status


def not_found(kind: str, name: str) -> PubsubError:
    """NOT_FOUND for a resource; `kind` is Topic or Subscription."""
    return PubsubError(grpc.StatusCode.NOT_FOUND, f"{kind} not found: {name}. Create it first.")


def already_exists(kind: str, name: str) -> PubsubError:
    """ALREADY_EXISTS for a resource."""
    return PubsubError(grpc.StatusCode.ALREADY_EXISTS, f"{kind} already exists: {name}.")


def invalid(message: str) -> PubsubError:
    """INVALID_ARGUMENT."""
    return PubsubError(grpc.StatusCode.INVALID_ARGUMENT, message)


def unsupported(what: str) -> PubsubError:
    """UNIMPLEMENTED, for what Pub/Sub knows and this server does not."""
    return PubsubError(grpc.StatusCode.UNIMPLEMENTED, f"{what} is not served by the embedded Pub/Sub.")


@dataclass(frozen=True, slots=True)
class Pending:
    """One un-acknowledged message of a subscription as the store knows it; times in microseconds since 1970."""

    message_id: int
    ordering_key: str
    size: int
    failures: int = 0
    not_before: int = 0


@dataclass(frozen=True, slots=True)
class AckId:
    """What an ack id names: the subscription, the message and the lease under which it was delivered."""

    subscription_id: int
    message_id: int
    lease: int

    def __str__(self) -> str:
        return f"{self.subscription_id}:{self.message_id}:{self.lease}"

    @classmethod
    def parse(cls, text: str) -> AckId:
        """The ack id in `text`; INVALID_ARGUMENT where this server cannot have issued it."""
        parts = text.split(":")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            raise invalid("An ack id is malformed. Send ack ids exactly as they were received.")
        return cls(int(parts[0]), int(parts[1]), int(parts[2]))
