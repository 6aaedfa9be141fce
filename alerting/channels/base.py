"""The port that every channel fills: what it is handed, and what an attempt can end in."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

MAX_RETRY_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message goes, opened just before it is sent; nothing of it is shown by `repr`.

    `text` is a mail address, a phone number in E.164 or an https address. `secrets` sign webhooks, the current one
    first (`whsec_` and base64). A trusted address was set by the operator and may be private and without TLS.
    """

    text: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    is_trusted: bool = False


@dataclass(frozen=True, slots=True)
class EmailContent:
    """A mail as people read it: one line of subject, the plain text and the same as HTML."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class SmsContent:
    """A text message, GSM-7 wherever that is possible."""

    text: str


@dataclass(frozen=True, slots=True)
class WebhookContent:
    """A Standard Webhooks event: `{type, timestamp, data}`; `expendable` names lists of `data` that may be emptied."""

    type: str
    timestamp: datetime
    data: Mapping[str, Any]
    expendable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageContent:
    """An event of PagerDuty's Events API v2; `severity` is critical, error, warning or info."""

    action: str
    dedup_key: str
    summary: str
    severity: str
    timestamp: datetime
    source: str = "ballast"
    component: str | None = None
    group: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


Content = EmailContent | SmsContent | WebhookContent | PageContent


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One notification to send; `notification_id` is the same for all its attempts.

    `recipient` is the key of the contact, for the ledger and logs. `arguments` are short texts without personal data
    that the provider keeps with the message (event id, severity, account). `may_have_arrived`: the outcome of an
    earlier attempt is not known; `first_planned_at` is when the notification was recorded.
    """

    notification_id: str
    channel: str
    recipient: str
    address: Address
    content: Content = field(repr=False)
    attempt: int = 1
    may_have_arrived: bool = False
    first_planned_at: datetime | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message."""

    detail: str | None = None
    provider_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider will never take this message; with `disables_recipient` it wants no further one either."""

    reason: str
    disables_recipient: bool = False


@dataclass(frozen=True, slots=True)
class Retryable:
    """The attempt failed, or its outcome is unknown (`is_unknown`: it may have arrived).

    `retry_after` is the provider's wish. `pauses_channel`: the provider refuses everybody until then (its own rate
    limit), not only this recipient. `is_fault`: the provider or receiver is unwell, which its breaker counts.
    `counts` False: nothing was attempted, so that no attempt of the schedule is used up.
    """

    reason: str
    retry_after: timedelta | None = None
    is_unknown: bool = False
    pauses_channel: bool = False
    is_fault: bool = True
    counts: bool = True


DeliveryResult = Accepted | Rejected | Retryable


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """How a channel may be used: requests at once, messages in one request, messages a second (None: no ceiling).

    The ceiling holds for all workers together. `breaker_faults` faults in a row open the channel's breaker for
    `breaker_open_s`; None: the channel has breakers of its own, one for each receiver.
    """

    concurrency: int
    max_batch: int = 1
    per_second: float | None = None
    breaker_faults: int | None = 20
    breaker_open_s: float = 5.0


class Channel(Protocol):
    """Sends messages to recipients of one kind."""

    @property
    def name(self) -> str:
        """The channel's name in the ledger."""
        ...

    @property
    def limits(self) -> ChannelLimits:
        """How many messages it takes at once."""
        ...

    @property
    def retry_delays_s(self) -> Sequence[float]:
        """Seconds to wait after the first, second, ... failed attempt; after the last one the message has failed."""
        ...

    async def deliver(self, messages: Sequence[OutboundMessage]) -> Sequence[DeliveryResult]:
        """Make one attempt for each of at most `limits.max_batch` messages; one result each, in order.

        A failure of the network or the provider is a result, not an exception. Reasons name no address, number,
        credential or body of ours.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def retry_delay(channel: Channel, notification_id: str, attempt: int, result: Retryable) -> timedelta | None:
    """How long to wait after failed attempt number `attempt` (from 1); None when no attempt is left.

    The provider's `retry_after` wins when it is longer, up to a day. Up to 10 % is added, fixed for each message and
    attempt, so that messages which failed together do not come back together.
    """
    delays = channel.retry_delays_s
    if attempt > len(delays):
        return None
    spread = zlib.crc32(f"{notification_id}:{attempt}".encode()) / 0xFFFFFFFF
    delay = timedelta(seconds=delays[attempt - 1] if attempt > 0 else 0)
    if result.retry_after is not None:
        delay = max(delay, min(result.retry_after, MAX_RETRY_AFTER))
    return delay * (1 + 0.1 * spread)
