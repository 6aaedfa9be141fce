"""Twilio's Message resource and its list, from what the inbox keeps, and what Twilio reports of a message.

Source: Twilio's OpenAPI (twilio_api_v2010.json). Numbers that end in 0003 cannot be reached (error 30003).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from infra.embedded.inbox.models import Callback, CallbackProvider, Outcome

API_VERSION = "2010-04-01"
SENT_AFTER, ENDED_AFTER = timedelta(seconds=0.1), timedelta(seconds=0.4)
MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE = 1000, 50
UNREACHABLE = 30003
_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_DOUBLE = frozenset("^{}\\[~]|€\f")


def segments(text: str) -> int:
    """How many SMS segments the text needs: GSM-7 160 or 153 each, UCS-2 70 or 67 each."""
    if all(c in _GSM7 or c in _GSM7_DOUBLE for c in text):
        length, single, each = sum(2 if c in _GSM7_DOUBLE else 1 for c in text), 160, 153
    else:
        length, single, each = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if length <= single else -(-length // each)


def outcome_of(number: str) -> Outcome:
    """How the delivery to the number ends."""
    return Outcome.UNDELIVERED if number.endswith("0003") else Outcome.DELIVERED


def new_sid() -> str:
    """The id of a new message."""
    return f"SM{secrets.token_hex(16)}"


def message_resource(
    account: str, sid: str, to: str, sender: str, body: str, created: datetime, now: datetime
) -> dict[str, Any]:
    """The message as Twilio shows it at `now`: its status goes by its age."""
    service = sender if sender.startswith("MG") else None
    age = now - created
    is_ended, is_sent = age >= ENDED_AFTER, age >= SENT_AFTER
    outcome = outcome_of(to)
    has_failed = is_ended and outcome is Outcome.UNDELIVERED
    queued = "accepted" if service else "queued"
    uri = f"/{API_VERSION}/Accounts/{account}/Messages/{sid}"
    return {
        "account_sid": account,
        "api_version": API_VERSION,
        "body": body,
        "date_created": format_datetime(created),
        "date_sent": format_datetime(created + SENT_AFTER) if is_sent else None,
        "date_updated": format_datetime(
            created + (ENDED_AFTER if is_ended else SENT_AFTER if is_sent else timedelta())
        ),
        "direction": "outbound-api",
        "error_code": UNREACHABLE if has_failed else None,
        "error_message": "Unreachable destination handset" if has_failed else None,
        "from": None if service else sender,
        "messaging_service_sid": service,
        "num_media": "0",
        "num_segments": str(segments(body)),
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": outcome.value if is_ended else "sent" if is_sent else queued,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": to,
        "uri": f"{uri}.json",
    }


def message_page(
    account: str,
    messages: Sequence[dict[str, Any]],
    page: int,
    page_size: int,
    query: Mapping[str, str],
    has_more: bool,
) -> dict[str, Any]:
    """The answer to a list request; `query` holds its filters, which the other pages' addresses repeat."""

    def uri(number: int) -> str:
        values = {**query, "PageSize": page_size, "Page": number}
        return f"/{API_VERSION}/Accounts/{account}/Messages.json?{urlencode(values)}"

    return {
        "messages": list(messages),
        "page": page,
        "page_size": page_size,
        "start": page * page_size,
        "end": page * page_size + max(0, len(messages) - 1),
        "uri": uri(page),
        "first_page_uri": uri(0),
        "next_page_uri": uri(page + 1) if has_more else None,
        "previous_page_uri": uri(page - 1) if page else None,
    }


def wanted_days(query: Mapping[str, str]) -> tuple[date | None, date | None]:
    """First and last day (UTC) that `DateSent`, `DateSent>` and `DateSent<` let through; `ValueError` for no date."""
    days = {
        name: date.fromisoformat(query[name][:10]) for name in ("DateSent", "DateSent>", "DateSent<") if query.get(name)
    }
    exact = days.get("DateSent")
    return exact or days.get("DateSent>"), exact or days.get("DateSent<")


def twilio_reports(url: str, account: str, sid: str, to: str, sender: str) -> Iterator[Callback]:
    """The status callbacks of a message: `sent`, then how its delivery ended."""
    outcome = outcome_of(to)
    own = {"MessagingServiceSid": sender} if sender.startswith("MG") else {"From": sender}
    for status, delay in (("sent", SENT_AFTER), (outcome.value, ENDED_AFTER)):
        form = {
            "AccountSid": account,
            "ApiVersion": API_VERSION,
            "MessageSid": sid,
            "MessageStatus": status,
            "SmsSid": sid,
            "SmsStatus": status,
            "To": to,
            **own,
        }
        if status == Outcome.UNDELIVERED:
            form["ErrorCode"] = str(UNREACHABLE)
        yield Callback(CallbackProvider.TWILIO, url, sid, urlencode(form), delay.total_seconds())


def notification_of(callback_url: str) -> str | None:
    """The notification that a callback's address names in its query."""
    return dict(parse_qsl(urlsplit(callback_url).query)).get("notification_id")
