"""What a notification is about, as planning stores it and rendering reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What kind of event a notification tells of; it decides the template."""

    MARGIN = "margin"
    COMPLIANCE = "compliance"
    DELIVERY_RATE = "delivery_rate"
    DIGEST = "digest"
    TEST = "test"
    VERIFICATION = "verification"
    ESCALATION = "escalation"


class ChannelName(StrEnum):
    """The ways to reach people, as the ledger names them."""

    EMAIL = "email"
    SMS = "sms"
    WEBHOOK = "webhook"
    PAGERDUTY = "pagerduty"


INTERNAL_TOPIC = "alerting.internal"


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification to put into words.

    `payload` is the event's wire form: of `MarginEvent` for margin, of `ComplianceEvent` for compliance, and for the
    kinds of our own the fields that `alerting/rendering` documents. `members` are the payloads that a digest sums up,
    each with its `kind` and `severity` beside it. `code` proves ownership and is in no stored payload.
    """

    notification_id: str
    kind: Kind
    severity: str
    channel: ChannelName
    locale: str
    time_zone: str
    payload: Mapping[str, Any]
    detected_at: datetime
    account_id: str | None = None
    members: Sequence[Mapping[str, Any]] = ()
    code: str | None = None
