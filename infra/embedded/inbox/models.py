"""What the inbox keeps: messages, incidents, what providers will report, and failures on command."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class InboxChannel(StrEnum):
    """Which contract a message came by."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    SMS = "sms"
    PAGERDUTY = "pagerduty"


class Outcome(StrEnum):
    """How the delivery of a mail or text ends, in the provider's word."""

    DELIVERED = "delivered"
    BOUNCE = "bounce"
    DROPPED = "dropped"
    UNDELIVERED = "undelivered"


class PageAction(StrEnum):
    """What an event asks of PagerDuty."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A message that was accepted; `event_at` is when the event was detected."""

    channel: InboxChannel
    endpoint: str
    message_key: str
    title: str
    content: str
    recipient: str | None = None
    event_id: str | None = None
    notification_id: str | None = None
    severity: str | None = None
    account_id: str | None = None
    health: str | None = None
    event_at: datetime | None = None
    is_simulated: bool = False
    sender: str | None = None
    outcome: Outcome | None = None
    html: str | None = None


@dataclass(frozen=True)
class Page:
    """The part of a PagerDuty event that decides about its incident."""

    dedup_key: str
    action: PageAction
    severity: str | None
    summary: str


class CallbackProvider(StrEnum):
    """Who reports."""

    SENDGRID = "sendgrid"
    TWILIO = "twilio"


@dataclass(frozen=True)
class Callback:
    """One report of a provider, sent `delay_s` after its message was accepted, after earlier ones of the same message.

    `body` is the JSON of one event for SendGrid, and the form for Twilio.
    """

    provider: CallbackProvider
    url: str
    message_key: str
    body: str
    delay_s: float


@dataclass(frozen=True)
class Failure:
    """What the next requests of a channel get: a status instead of an answer, a delay, or both."""

    status: int | None
    delay_s: float = 0.0
    retry_after: int | None = None
