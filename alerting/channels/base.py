"""The port that every channel fills, and what an attempt can end in."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

MAX_RETRY_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class OutboundMessage:
    """One notification to send; `notification_id` is the idempotency key of all its attempts.

    `payload` is the wire form of the margin event.
    """

    notification_id: str
    channel: str
    recipient: str
    severity: str
    detected_at: datetime
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Accepted:
    """The provider took the message."""

    detail: str | None = None
    provider_message_id: str | None = None


@dataclass(frozen=True)
class Rejected:
    """The provider will never take this message."""

    reason: str


@dataclass(frozen=True)
class Retryable:
    """The attempt failed, or its outcome is unknown; `retry_after` is the provider's wish."""

    reason: str
    retry_after: timedelta | None = None


DeliveryResult = Accepted | Rejected | Retryable


class Channel(Protocol):
    """Sends messages to recipients of one kind."""

    @property
    def name(self) -> str:
        """The channel's name in the ledger."""
        ...

    @property
    def retry_delays_s(self) -> Sequence[float]:
        """Seconds to wait after the first, second, ... failed attempt; after the last one the message has failed."""
        ...

    async def deliver(self, message: OutboundMessage) -> DeliveryResult:
        """Make one attempt; a failure of the network or the provider is a result, not an exception."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def retry_delay(channel: Channel, message: OutboundMessage, attempt: int, result: Retryable) -> timedelta | None:
    """How long to wait after failed attempt number `attempt` (from 1); None when no attempt is left.

    The provider's `retry_after` wins when it is longer, up to a day. Up to 10 % is added, fixed for each message and
    attempt, so that messages which failed together do not come back together.
    """
    delays = channel.retry_delays_s
    if attempt > len(delays):
        return None
    spread = zlib.crc32(f"{message.notification_id}:{attempt}".encode()) / 0xFFFFFFFF
    delay = timedelta(seconds=delays[attempt - 1])
    if result.retry_after is not None:
        delay = max(delay, min(result.retry_after, MAX_RETRY_AFTER))
    return delay * (1 + 0.1 * spread)
