"""What a provider's report says of a notification, and which state follows: pure rules, independent of the order.

Reports come late, twice and out of order. So the verdict is drawn from all reports of a notification together:

- Delivered beats accepted and failed: one copy arrived. Only a bounce at the time of the delivery or later takes it
  back, because a mail server may take a mail and return it afterwards.
- Failed beats accepted: what the provider took did not arrive.
- Accepted by a report proves that an attempt of unknown outcome arrived, so that it is never repeated.
- A kind that is not listed here says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alerting.tables import NotificationState

_ACCEPTED, _DELIVERED = NotificationState.ACCEPTED, NotificationState.DELIVERED
_FAILED, _SUPPRESSED = NotificationState.FAILED, NotificationState.SUPPRESSED


class Provider(StrEnum):
    """Who reports."""

    SENDGRID = "sendgrid"
    TWILIO = "twilio"


CHANNELS: Mapping[Provider, str] = {Provider.SENDGRID: "email", Provider.TWILIO: "sms"}
LABELS: Mapping[Provider, str] = {Provider.SENDGRID: "SendGrid", Provider.TWILIO: "Twilio"}

# Deferred, opens, clicks, complaints and opt-outs of mail are recorded only.
_OUTCOMES: Mapping[Provider, Mapping[str, NotificationState]] = {
    Provider.SENDGRID: {
        "processed": _ACCEPTED,
        "delivered": _DELIVERED,
        "bounce": _FAILED,
        "blocked": _FAILED,
        "dropped": _FAILED,
    },
    Provider.TWILIO: {
        "queued": _ACCEPTED,
        "accepted": _ACCEPTED,
        "sending": _ACCEPTED,
        "sent": _ACCEPTED,
        "delivered": _DELIVERED,
        "undelivered": _FAILED,
        "failed": _FAILED,
        "canceled": _FAILED,
    },
}
# A dropped mail was not sent at all, which says nothing of another copy; a text's states end with delivered.
_RETURNS = frozenset({(Provider.SENDGRID, "bounce"), (Provider.SENDGRID, "blocked")})

# By the state that the ledger holds, then by the verdict; what is not listed stays. A failure that is overruled by
# `accepted` was the ledger's own (no attempts left, outcome unknown): one that the provider reported is in the verdict.
TRANSITIONS: Mapping[NotificationState | None, Mapping[NotificationState, NotificationState]] = {
    None: {_ACCEPTED: _ACCEPTED, _DELIVERED: _DELIVERED, _FAILED: _FAILED},
    _ACCEPTED: {_DELIVERED: _DELIVERED, _FAILED: _FAILED},
    _DELIVERED: {_FAILED: _FAILED},
    _FAILED: {_ACCEPTED: _ACCEPTED, _DELIVERED: _DELIVERED},
    _SUPPRESSED: {},
}


@dataclass(frozen=True, slots=True)
class Report:
    """One report; `at` is when it happened by the provider's clock, or came where the provider does not tell."""

    provider: Provider
    kind: str
    at: datetime

    @property
    def outcome(self) -> NotificationState | None:
        """What the report says, None where it says nothing of the outcome."""
        return outcome(self.provider, self.kind)


def outcome(provider: Provider, kind: str) -> NotificationState | None:
    """What a kind of report says of the notification; None for one that is recorded only, or not known."""
    return _OUTCOMES[provider].get(kind)


def verdict(reports: Iterable[Report]) -> NotificationState | None:
    """What all reports of one notification say together, in whatever order they came."""
    known = [report for report in reports if report.outcome is not None]
    delivered = [report.at for report in known if report.outcome is _DELIVERED]
    failed = [report for report in known if report.outcome is _FAILED]
    if delivered:
        returned = (report.at for report in failed if (report.provider, report.kind) in _RETURNS)
        return _FAILED if any(at >= max(delivered) for at in returned) else _DELIVERED
    if failed:
        return _FAILED
    return _ACCEPTED if known else None


def next_state(current: NotificationState | None, found: NotificationState | None) -> NotificationState | None:
    """The state that a notification changes to after a verdict; None where it stays as it is."""
    return TRANSITIONS[current].get(found) if found is not None else None


def needs_history(current: NotificationState | None, found: NotificationState | None) -> bool:
    """Whether earlier reports could speak against the verdict of the new ones, so that they must be read too."""
    return current in (_DELIVERED, _FAILED) and next_state(current, found) is not None
