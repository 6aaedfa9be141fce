"""Events as Standard Webhooks 1.0: signed with every valid secret, without redirects, within a time and a size.

Source: standardwebhooks.com (headers `webhook-id`, `webhook-timestamp`, `webhook-signature`; body under 20 kB).
Addresses that customers chose lead only where `guard.py` lets them; the operator's own are trusted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook
from yarl import URL

from alerting.channels.base import (
    Accepted,
    Address,
    ChannelLimits,
    DeliveryResult,
    OutboundMessage,
    Rejected,
    Retryable,
    WebhookContent,
)
from alerting.channels.guard import AddressGuard, parsed_url
from alerting.channels.http import HttpAnswer, HttpClient, HttpFailure, HttpLimits
from alerting.channels.receivers import Receivers
from alerting.channels.redaction import excerpt
from alerting.errors import AddressRefusedError
from alerting.notices import ChannelName
from infra.runtime.breaker import Breaker
from infra.runtime.clock import Clock, as_utc

CHANNEL = ChannelName.WEBHOOK.value
MAX_BODY_BYTES = 20_000
MIN_SECRET_BYTES = 24
CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 15.0
BODY_TIMEOUT_S = 1.0
WEBHOOK_LIMITS = ChannelLimits(concurrency=256, breaker_faults=None)
# Early retries keep a short failure inside the ten seconds that an alert may take; then the standard's pace.
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 30.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
_RETRYABLE_CLIENT_ERRORS = frozenset({408, 429})
_GONE = 410


class WebhookChannel:
    """Posts events to receivers; each has a breaker of its own, and `total_timeout_s` bounds one attempt as a whole."""

    name = CHANNEL
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S

    def __init__(
        self,
        clock: Clock,
        *,
        guard: AddressGuard | None = None,
        tls: ssl.SSLContext | None = None,
        limits: ChannelLimits = WEBHOOK_LIMITS,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`guard` judges customers' addresses, by default only public ones; `tls` holds the trusted authorities."""
        self.limits = limits
        self._clock = clock
        self._guard = guard or AddressGuard()
        self._receivers = Receivers(monotonic)
        http_limits = HttpLimits(
            limits.concurrency,
            total_s=total_timeout_s,
            connect_s=min(CONNECT_TIMEOUT_S, total_timeout_s),
            body_s=BODY_TIMEOUT_S,
        )
        # Two pools: no connection that was made without the guard may serve a customer's address.
        self._trusted = HttpClient(http_limits, tls=tls)
        self._guarded = HttpClient(http_limits, tls=tls, guard=self._guard)

    async def deliver(self, messages: Sequence[OutboundMessage]) -> Sequence[DeliveryResult]:
        """Make one attempt for each message: 2xx is accepted; 408, 429, 5xx and network failures come again.

        Redirects and other 4xx are final, and 410 disables the recipient. An address that the guard refuses is final.
        While a receiver's breaker is open nothing is attempted, and no attempt is used up.
        """
        return await asyncio.gather(*(self._deliver(message) for message in messages))

    async def close(self) -> None:
        """Close the connections."""
        await self._trusted.close()
        await self._guarded.close()

    async def _deliver(self, message: OutboundMessage) -> DeliveryResult:
        if not isinstance(message.content, WebhookContent):
            return Rejected("the message is no webhook event")
        signers = signers_of(message.address.secrets)
        if not signers:
            return Retryable("the recipient has no usable secret to sign with", is_fault=False)
        body = render_body(message.content)
        if len(body) >= MAX_BODY_BYTES:
            return Rejected(f"the body has {len(body)} bytes, the limit is {MAX_BODY_BYTES}")
        try:
            url = self._url(message.address)
            async with self._receivers.place(message.recipient) as place:
                if isinstance(place, Retryable):
                    return place
                headers = signature_headers(signers, message.notification_id, body, self._clock.now())
                return await self._post(message.address, url, body, headers, place)
        except AddressRefusedError as error:
            return Rejected(error.message)

    async def _post(
        self, address: Address, url: URL, body: bytes, headers: Mapping[str, str], breaker: Breaker
    ) -> DeliveryResult:
        client = self._trusted if address.is_trusted else self._guarded
        outcome = await client.request("POST", url, headers=headers, body=body)
        if isinstance(outcome, HttpFailure):
            breaker.failed()
            return Retryable(outcome.reason, is_unknown=outcome.is_unknown)
        if outcome.status >= 500:
            breaker.failed()
        else:
            breaker.succeeded()
        return self._judged(outcome, address)

    def _judged(self, answer: HttpAnswer, address: Address) -> DeliveryResult:
        status = answer.status
        if 200 <= status < 300:
            return Accepted(f"HTTP {status}")
        said = excerpt(answer.body, address.text, *address.secrets)
        reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if status >= 500 or status in _RETRYABLE_CLIENT_ERRORS:
            return Retryable(reason, answer.wait(self._clock.now()), is_fault=status >= 500)
        return Rejected(reason, disables_recipient=status == _GONE)

    def _url(self, address: Address) -> URL:
        return parsed_url(address.text) if address.is_trusted else self._guard.checked_url(address.text)


def render_body(content: WebhookContent) -> bytes:
    """The JSON body `{type, timestamp, data}`; expendable lists are emptied until it fits, and named in `omitted`."""
    data = dict(content.data)
    omitted: list[str] = []
    body = _envelope(content, data, omitted)
    for name in content.expendable:
        if len(body) < MAX_BODY_BYTES:
            break
        if data.get(name):
            data[name] = []
            omitted.append(name)
            body = _envelope(content, data, omitted)
    return body


def _envelope(content: WebhookContent, data: Mapping[str, Any], omitted: Sequence[str]) -> bytes:
    event: dict[str, Any] = {
        "type": content.type,
        "timestamp": as_utc(content.timestamp).isoformat().replace("+00:00", "Z"),
        "data": data,
    }
    if omitted:
        event["omitted"] = omitted
    # Money may come as Decimal: it leaves as text, never as a float.
    return json.dumps(event, separators=(",", ":"), sort_keys=True, ensure_ascii=False, default=str).encode()


def signature_headers(signers: Sequence[Webhook], notification_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks over `body` for an attempt at `at`, one signature for each signer."""
    at = as_utc(at)
    signatures = [signer.sign(msg_id=notification_id, timestamp=at, data=body.decode()) for signer in signers]
    return {
        "content-type": "application/json",
        "webhook-id": notification_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def signers_of(secrets: Sequence[str]) -> list[Webhook]:
    """A signer for each secret (`whsec_` and base64 of at least 24 bytes); one that is none is left out."""
    keys = [_key(secret) for secret in secrets]
    return [Webhook(key) for key in keys if key is not None]


def _key(secret: str) -> bytes | None:
    text = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
    return key if len(key) >= MIN_SECRET_BYTES else None
