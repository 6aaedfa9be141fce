"""Text messages through Twilio, with a look-up that keeps a message from going out twice.

Source: Twilio's OpenAPI (twilio_api_v2010.json) and its list of error codes.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

from pydantic import SecretStr
from yarl import URL

from alerting.channels.answers import RETRY_DELAYS_S, UNKNOWN_WAIT, misconfigured, rate_limited, trouble, unexpected
from alerting.channels.base import (
    Accepted,
    ChannelLimits,
    DeliveryResult,
    OutboundMessage,
    Rejected,
    Retryable,
    SmsContent,
)
from alerting.channels.http import HttpAnswer, HttpClient, HttpLimits
from alerting.channels.redaction import EXCERPT_CHARS, redacted
from alerting.notices import ChannelName
from infra.runtime.clock import Clock, as_utc

PROVIDER = "Twilio"
SMS_LIMITS = ChannelLimits(concurrency=64)
TOTAL_TIMEOUT_S = 10.0
VALIDITY_S = 14_400
LOOKUP_MESSAGES = 50
LOOKUP_BYTES = 512 * 1024
# Twilio gives whole seconds by its own clock.
CLOCK_SKEW = timedelta(seconds=5)
QUEUE_FULL_WAIT = timedelta(seconds=30)

# The shape alone: a contact's number was judged, and put into this form, when it was stored.
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_RATE_LIMITED = 20429
_OPTED_OUT = 21610
_BAD_CALLBACK = 21609
_QUEUE_FULL = frozenset({21611, 30001})
# Authentication, no or no valid sender, a messaging service without senders or unknown.
_MISCONFIGURED = frozenset({20003, 20005, 21212, 21603, 21703, 21705})
_NEVER_ARRIVED = frozenset({"failed", "undelivered", "canceled"})


@dataclass(frozen=True, slots=True)
class _Text:
    message: OutboundMessage = field(repr=False)
    number: str = field(repr=False)
    body: str = field(repr=False)


class SmsChannel:
    """Sends text messages; `sender` is a number of ours or a messaging service (`MG...`).

    Twilio reports delivery to `callback_url` with `notification_id` in its query. After `validity_s` seconds in a
    queue a message is dropped: a margin call of yesterday helps nobody.
    """

    name = ChannelName.SMS.value
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S

    def __init__(
        self,
        url: str,
        account_sid: SecretStr,
        auth_token: SecretStr,
        sender: str,
        callback_url: str,
        clock: Clock,
        *,
        limits: ChannelLimits = SMS_LIMITS,
        validity_s: int = VALIDITY_S,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self.limits = limits
        user, password = account_sid.get_secret_value(), auth_token.get_secret_value()
        self._url = URL(f"{url.rstrip('/')}/2010-04-01/Accounts/{quote(user, safe='')}/Messages.json", encoded=True)
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._authorization = SecretStr(f"Basic {credentials}")
        self._sender = sender
        self._callback_url = callback_url
        self._clock = clock
        self._validity_s = validity_s
        self._client = HttpClient(HttpLimits(limits.concurrency, total_s=total_timeout_s, body_s=total_timeout_s))

    async def deliver(self, messages: Sequence[OutboundMessage]) -> Sequence[DeliveryResult]:
        """Make one attempt for each message.

        Where an earlier attempt may have arrived, Twilio's list is asked first: a message with the same words to the
        same number since the notification was planned is that attempt, and is not sent again. That closes the window
        in which Twilio accepted and the worker died. If the list cannot be read, the message waits. A callback
        address that Twilio refuses (21609) is a fault of ours: the message goes at once without it. Refused
        credentials or senders pause the channel and lose no message; an opt-out (21610) disables the recipient; a
        full queue is waited for.
        """
        return await asyncio.gather(*(self._deliver(message) for message in messages))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _deliver(self, message: OutboundMessage) -> DeliveryResult:
        if not isinstance(message.content, SmsContent):
            return Rejected("the message is no text message")
        number = message.address.text
        if not _E164.fullmatch(number):
            return Rejected("the phone number is not valid")
        text = _Text(message, number, message.content.text)
        if message.may_have_arrived:
            earlier = await self._earlier(text)
            if earlier is not None:
                return earlier
        return await self._post(text, with_callback=bool(self._callback_url))

    async def _post(self, text: _Text, *, with_callback: bool) -> DeliveryResult:
        form = {
            "To": text.number,
            "MessagingServiceSid" if self._sender.startswith("MG") else "From": self._sender,
            "Body": text.body,
            "ValidityPeriod": str(self._validity_s),
        }
        if with_callback:
            joint = "&" if "?" in self._callback_url else "?"
            form["StatusCallback"] = f"{self._callback_url}{joint}notification_id={text.message.notification_id}"
        headers = {**self._headers(), "content-type": "application/x-www-form-urlencoded"}
        outcome = await self._client.request("POST", self._url, headers=headers, body=_form(form))
        general = trouble(PROVIDER, outcome, self._clock.now())
        if general is not None:
            return general
        assert isinstance(outcome, HttpAnswer)
        if outcome.status == 201:
            detail = "HTTP 201" if with_callback else "HTTP 201, without callback"
            return Accepted(detail, _sid(outcome.json()))
        if outcome.status < 400:
            return unexpected(PROVIDER, outcome)
        code, words = _error(outcome.json())
        if code == _BAD_CALLBACK and with_callback:
            return await self._post(text, with_callback=False)
        return self._refused(outcome, code, redacted(words, text.message.address.text, text.number, text.body))

    def _refused(self, answer: HttpAnswer, code: int | None, words: str) -> DeliveryResult:
        named = f"{PROVIDER}: HTTP {answer.status}" + (f", code {code}" if code is not None else "")
        reason = f"{named}: {words[:EXCERPT_CHARS]}" if words else named
        if code == _RATE_LIMITED:
            return rate_limited(PROVIDER, answer, self._clock.now())
        if code in _MISCONFIGURED:
            return misconfigured(PROVIDER, f"code {code}")
        if code in _QUEUE_FULL:
            wished = answer.wait(self._clock.now()) or QUEUE_FULL_WAIT
            return Retryable(reason, max(wished, QUEUE_FULL_WAIT))
        return Rejected(reason, disables_recipient=code == _OPTED_OUT)

    async def _earlier(self, text: _Text) -> DeliveryResult | None:
        """The message that an earlier attempt left at Twilio, a failure to look, or None where there is none.

        Twilio's `DateSent` filter is not used: it knows no message that is still queued.
        """
        query = urlencode({"To": text.number, "PageSize": LOOKUP_MESSAGES})
        url = URL(f"{self._url}?{query}", encoded=True)
        outcome = await self._client.request("GET", url, headers=self._headers(), max_bytes=LOOKUP_BYTES)
        general = trouble(PROVIDER, outcome, self._clock.now())
        if general is not None:
            return replace(general, is_unknown=True)
        content = outcome.json() if isinstance(outcome, HttpAnswer) and outcome.status == 200 else None
        rows = content.get("messages") if isinstance(content, dict) else None
        if not isinstance(rows, list):
            return Retryable(f"{PROVIDER}'s list of messages is not readable", UNKNOWN_WAIT, is_unknown=True)
        planned_at = text.message.first_planned_at or self._clock.now() - timedelta(seconds=self._validity_s)
        since = planned_at - CLOCK_SKEW
        found = next((row for row in rows if _is_copy(row, text, since)), None)
        return Accepted("found in the list of messages", _sid(found)) if found is not None else None

    def _headers(self) -> dict[str, str]:
        return {"authorization": self._authorization.get_secret_value(), "accept": "application/json"}


def _sid(content: Any) -> str | None:
    sid = content.get("sid") if isinstance(content, dict) else None
    return sid if isinstance(sid, str) else None


def _error(content: Any) -> tuple[int | None, str]:
    if not isinstance(content, dict):
        return None, ""
    code = content.get("code")
    return (code if isinstance(code, int) else None), str(content.get("message") or "")


def _is_copy(row: Any, text: _Text, since: datetime) -> bool:
    """Whether a row of Twilio's list is an earlier attempt that may still reach, or has reached, the person."""
    if not isinstance(row, dict) or row.get("to") != text.number or row.get("body") != text.body:
        return False
    if row.get("status") in _NEVER_ARRIVED or row.get("direction") == "inbound":
        return False
    try:
        created_at = as_utc(parsedate_to_datetime(str(row.get("date_created"))))
    except ValueError:
        return False
    return created_at >= since


def _form(values: Mapping[str, str]) -> bytes:
    return "&".join(f"{name}={quote_plus(value)}" for name, value in values.items()).encode()
