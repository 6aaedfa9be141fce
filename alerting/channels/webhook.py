"""Margin events as Standard Webhooks 1.0: signed, without redirects, within a time and a size.

Source: standardwebhooks.com (headers `webhook-id`, `webhook-timestamp`, `webhook-signature`; body under 20 kB).
The address comes from the operator's settings and is trusted; an address that a customer chose would need a check
against private networks first.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from pydantic import SecretStr
from standardwebhooks import Webhook

from alerting.channels.base import Accepted, DeliveryResult, OutboundMessage, Rejected, Retryable
from alerting.events import MarginEvent
from infra.runtime.clock import Clock, as_utc
from infra.runtime.errors import SettingsError

CHANNEL = "webhook"
MAX_BODY_BYTES = 20_000
MAX_RESPONSE_BYTES = 16 * 1024
EXCERPT_CHARS = 200
EXCERPT_TIMEOUT_S = 1.0
MIN_SECRET_BYTES = 24
CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 15.0
# Two early retries keep a short failure inside the ten seconds that an alert may take; then the standard's pace.
RETRY_DELAYS_S = (1.0, 3.0, 30.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
# Lists that only explain the event: left out, in this order, when the body would be too large; then unknown fields.
_EXPENDABLE = ("price_ids", "liquidation_prices", "unpriced_assets")
_UNKNOWN_FIELDS = "unknown fields"
_WIRE_NAMES = frozenset(field.alias or name for name, field in MarginEvent.model_fields.items())
_RETRYABLE_CLIENT_ERRORS = frozenset({408, 429})


@dataclass(frozen=True)
class WebhookEndpoint:
    """Where one recipient's events go, and the secret that signs them (`whsec_` and base64)."""

    url: str
    secret: SecretStr


class WebhookChannel:
    """Posts events to the endpoints of recipients; `total_timeout_s` bounds one attempt as a whole."""

    name = CHANNEL
    retry_delays_s = RETRY_DELAYS_S

    def __init__(
        self, endpoints: Mapping[str, WebhookEndpoint], clock: Clock, *, total_timeout_s: float = TOTAL_TIMEOUT_S
    ) -> None:
        self._endpoints = {key: (_checked_url(end.url), _signer(end.secret)) for key, end in endpoints.items()}
        self._clock = clock
        self._total_timeout_s = total_timeout_s
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(total_timeout_s, connect=min(CONNECT_TIMEOUT_S, total_timeout_s)),
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "Ballast-Webhooks/1", "content-type": "application/json"},
        )

    async def deliver(self, message: OutboundMessage) -> DeliveryResult:
        """Make one attempt: 2xx is accepted; 408, 429, 5xx and network failures come again; the rest is final."""
        endpoint = self._endpoints.get(message.recipient)
        if endpoint is None:
            return Retryable(f"recipient {message.recipient!r} has no address now; set BALLAST_WEBHOOK_URL")
        url, signer = endpoint
        body = render_body(message)
        if len(body) >= MAX_BODY_BYTES:
            return Rejected(f"the body has {len(body)} bytes, the limit is {MAX_BODY_BYTES}")
        try:
            async with asyncio.timeout(self._total_timeout_s):
                return await self._post(url, body, signature_headers(signer, message, body, self._clock.now()))
        except TimeoutError:
            return Retryable(f"no answer within {self._total_timeout_s:g} s")
        except httpx.HTTPError as error:
            # The text of httpx errors can hold the address, which may hold a secret: name the kind only.
            return Retryable(f"network failure ({type(error).__name__})")

    async def _post(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> DeliveryResult:
        async with self._client.stream("POST", url, content=body, headers=headers) as response:
            if response.is_success:
                return Accepted(detail=f"HTTP {response.status_code}")
            reason = f"HTTP {response.status_code}{await _excerpt(response)}"
            if response.status_code in _RETRYABLE_CLIENT_ERRORS or response.is_server_error:
                return Retryable(reason, retry_after(response.headers.get("retry-after"), self._clock.now()))
            return Rejected(reason)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def render_body(message: OutboundMessage) -> bytes:
    """The JSON body `{type, timestamp, data}`; what does not fit is left out and named in `omitted`."""
    data = dict(message.payload)
    omitted: list[str] = []
    body = _envelope(message, data, omitted)
    for name in (*_EXPENDABLE, _UNKNOWN_FIELDS):
        if len(body) < MAX_BODY_BYTES:
            break
        if name == _UNKNOWN_FIELDS:
            data = {key: value for key, value in data.items() if key in _WIRE_NAMES}
        else:
            data[name] = []
        omitted.append(name)
        body = _envelope(message, data, omitted)
    return body


def _envelope(message: OutboundMessage, data: Mapping[str, Any], omitted: Sequence[str]) -> bytes:
    content: dict[str, Any] = {
        "type": f"margin.{message.severity}",
        "timestamp": message.detected_at.isoformat().replace("+00:00", "Z"),
        "data": data,
    }
    if omitted:
        content["omitted"] = omitted
    return json.dumps(content, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def signature_headers(signer: Webhook, message: OutboundMessage, body: bytes, at: datetime) -> dict[str, str]:
    """The three headers of Standard Webhooks over `body`, for an attempt at `at`."""
    at = as_utc(at)
    return {
        "webhook-id": message.notification_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signer.sign(msg_id=message.notification_id, timestamp=at, data=body.decode()),
    }


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """A `Retry-After` header, in seconds or as an HTTP date; None where it is absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:10]), 10**9))
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(as_utc(at) - now, timedelta(0)) if at.tzinfo is not None else None


async def _excerpt(response: httpx.Response) -> str:
    """The start of an error's body, printable, for the ledger; reads at most `MAX_RESPONSE_BYTES`."""
    content = b""
    try:
        async with asyncio.timeout(EXCERPT_TIMEOUT_S):
            async for chunk in response.aiter_raw(chunk_size=4096):
                content += chunk
                if len(content) >= MAX_RESPONSE_BYTES:
                    break
    except (httpx.HTTPError, TimeoutError):
        return ""
    text = "".join(c if c.isprintable() else " " for c in content.decode(errors="replace"))[:EXCERPT_CHARS].strip()
    return f": {text}" if text else ""


def _checked_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError("BALLAST_WEBHOOK_URL is no http(s) address.")
    return url


def _signer(secret: SecretStr) -> Webhook:
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if len(key) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"BALLAST_WEBHOOK_SECRET is no Standard Webhooks secret: whsec_ and {MIN_SECRET_BYTES} bytes in base64."
        )
    return Webhook(key)
