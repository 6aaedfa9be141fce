"""Pages of the desk's own operators through PagerDuty's Events API v2.

Source: PagerDuty's documentation of `POST /v2/enqueue`: 202 accepted, 400 final, 429 and 5xx come again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import SecretStr
from yarl import URL

from alerting.channels.answers import RETRY_DELAYS_S, misconfigured, trouble, unexpected
from alerting.channels.base import (
    Accepted,
    ChannelLimits,
    DeliveryResult,
    OutboundMessage,
    PageContent,
    Rejected,
)
from alerting.channels.http import HttpAnswer, HttpClient, HttpLimits
from alerting.channels.redaction import EXCERPT_CHARS, redacted
from alerting.notices import ChannelName
from infra.runtime.clock import Clock, as_utc

PROVIDER = "PagerDuty"
PAGERDUTY_LIMITS = ChannelLimits(concurrency=4, per_second=10.0)
TOTAL_TIMEOUT_S = 10.0
MAX_DEDUP_CHARS = 255
MAX_SUMMARY_CHARS = 1024
MAX_BODY_BYTES = 512 * 1024
ACTIONS = frozenset({"trigger", "acknowledge", "resolve"})
SEVERITIES = frozenset({"critical", "error", "warning", "info"})


class PagerDutyChannel:
    """Triggers, acknowledges and resolves; a second copy joins the open alert by its `dedup_key`."""

    name = ChannelName.PAGERDUTY.value
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S

    def __init__(
        self,
        url: str,
        routing_key: SecretStr,
        clock: Clock,
        *,
        limits: ChannelLimits = PAGERDUTY_LIMITS,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self.limits = limits
        self._url = URL(url.rstrip("/") + "/v2/enqueue")
        self._routing_key = routing_key
        self._clock = clock
        self._client = HttpClient(HttpLimits(limits.concurrency, total_s=total_timeout_s, body_s=total_timeout_s))

    async def deliver(self, messages: Sequence[OutboundMessage]) -> Sequence[DeliveryResult]:
        """Make one attempt for each event: 202 is accepted, 400 final unless it blames our routing key."""
        return await asyncio.gather(*(self._deliver(message) for message in messages))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _deliver(self, message: OutboundMessage) -> DeliveryResult:
        content = message.content
        if not isinstance(content, PageContent):
            return Rejected("the message is no page")
        if content.action not in ACTIONS:
            return Rejected(f"the action {content.action[:40]!r} is none of PagerDuty's")
        key = self._routing_key.get_secret_value()
        body = rendered_event(content, key, message.notification_id)
        outcome = await self._client.request("POST", self._url, headers={"content-type": "application/json"}, body=body)
        general = trouble(PROVIDER, outcome, self._clock.now())
        if general is not None:
            return general
        assert isinstance(outcome, HttpAnswer)
        if outcome.status == 202:
            return Accepted("HTTP 202", dedup_key(content.dedup_key))
        if outcome.status < 400:
            return unexpected(PROVIDER, outcome)
        words = _words(outcome.json())
        if "routing_key" in words or "routing key" in words.lower():
            return misconfigured(PROVIDER, f"HTTP {outcome.status}, routing key")
        said = redacted(words, key)[:EXCERPT_CHARS]
        return Rejected(f"{PROVIDER}: HTTP {outcome.status}: {said}" if said else f"{PROVIDER}: HTTP {outcome.status}")


def rendered_event(content: PageContent, routing_key: str, notification_id: str) -> bytes:
    """The JSON body; details that would make it too large are left out and said to be."""
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": content.action,
        "dedup_key": dedup_key(content.dedup_key),
    }
    if content.action != "trigger":
        return _dumped(event)
    payload: dict[str, Any] = {
        "summary": content.summary[:MAX_SUMMARY_CHARS],
        "source": content.source,
        # A severity that PagerDuty does not know would be refused, and the page lost: the worst is assumed.
        "severity": content.severity if content.severity in SEVERITIES else "critical",
        "timestamp": as_utc(content.timestamp).isoformat(),
        "component": content.component,
        "group": content.group,
        "custom_details": {**content.details, "notification_id": notification_id},
    }
    event["payload"] = {name: value for name, value in payload.items() if value is not None}
    body = _dumped(event)
    if len(body) > MAX_BODY_BYTES:
        event["payload"]["custom_details"] = {"notification_id": notification_id, "omitted": "details, too large"}
        body = _dumped(event)
    return body


def dedup_key(text: str) -> str:
    """The key as PagerDuty takes it: one that is too long is shortened, the same way each time."""
    if len(text) <= MAX_DEDUP_CHARS:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[: MAX_DEDUP_CHARS - len(digest) - 1]}:{digest}"


def _dumped(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False, default=str).encode()


def _words(content: Any) -> str:
    if not isinstance(content, dict):
        return ""
    errors = content.get("errors")
    parts = [content.get("message"), *(errors if isinstance(errors, list) else [errors])]
    return "; ".join(str(part) for part in parts if part)
