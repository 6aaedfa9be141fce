"""PagerDuty's `POST /v2/enqueue` (Events API v2), as far as alerts use it.

Source: PagerDuty's documentation: 202 `{status, message, dedup_key}`; 400 `{status, message, errors}` for an event that
is not valid. Events of one `dedup_key` join its open alert; `acknowledge` and `resolve` without one are dropped.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from infra.embedded.access import matches
from infra.embedded.inbox.access import text_of
from infra.embedded.inbox.models import InboxChannel, Incoming, Page, PageAction
from infra.embedded.inbox.reception import Contract, Verdict, event_fields, optional_text, optional_time
from infra.runtime.settings import Settings

ENDPOINT = "events"
MAX_BODY_BYTES = 512 * 1024
MAX_DEDUP_CHARS, MAX_SUMMARY_CHARS, ROUTING_KEY_CHARS = 255, 1024, 32
SEVERITIES = ("critical", "error", "warning", "info")


def pagerduty_contract(settings: Settings) -> Contract:
    """Accepts events of the configured routing key; without one every event is refused."""

    def judge(_request: Request, body: bytes) -> Verdict:
        try:
            event = json.loads(body)
        except ValueError:
            event = None
        errors = list(_errors(event)) if isinstance(event, dict) else ["The body is not a JSON object"]
        if not errors and not matches(event["routing_key"], settings.pagerduty_routing_key):
            errors = ["'routing_key' is not the key of an integration"]
        if errors:
            return Verdict(_refusal(errors), reason="; ".join(errors))
        key = event.get("dedup_key") or secrets.token_hex(16)
        answer = {"status": "success", "message": "Event processed", "dedup_key": key}
        page = Page(key, PageAction(event["event_action"]), _payload(event).get("severity"), _summary(event))
        return Verdict(JSONResponse(answer, 202), (_incoming(event, page, body),), page=page)

    return Contract(InboxChannel.PAGERDUTY, judge, _failure, MAX_BODY_BYTES)


def _errors(event: dict[str, Any]) -> Iterator[str]:
    routing_key = event.get("routing_key")
    if not isinstance(routing_key, str) or len(routing_key) != ROUTING_KEY_CHARS:
        yield f"Length of 'routing_key' is incorrect (should be {ROUTING_KEY_CHARS} characters)"
    action = event.get("event_action")
    if action not in list(PageAction):
        yield f"'event_action' is missing or invalid (must be one of {', '.join(PageAction)})"
    key = event.get("dedup_key")
    if key is not None and (not isinstance(key, str) or len(key) > MAX_DEDUP_CHARS):
        yield f"'dedup_key' must be a text of at most {MAX_DEDUP_CHARS} characters"
    if not key and action in (PageAction.ACKNOWLEDGE, PageAction.RESOLVE):
        yield f"'dedup_key' is missing or blank, which {action} needs"
    if event.get("payload") is not None or action == PageAction.TRIGGER:
        yield from _payload_errors(event.get("payload"))


def _payload_errors(payload: Any) -> Iterator[str]:
    if not isinstance(payload, dict):
        yield "'payload' is missing or no object"
        return
    for name in ("summary", "source"):
        if not isinstance(payload.get(name), str) or not payload[name].strip():
            yield f"'payload.{name}' is missing or blank"
    if len(str(payload.get("summary") or "")) > MAX_SUMMARY_CHARS:
        yield f"'payload.summary' has more than {MAX_SUMMARY_CHARS} characters"
    if payload.get("severity") not in SEVERITIES:
        yield f"'payload.severity' is invalid (must be one of {', '.join(SEVERITIES)})"
    if payload.get("timestamp") is not None and not _is_time(payload["timestamp"]):
        yield "'payload.timestamp' is not in ISO 8601"


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return False
    return True


def _payload(event: dict[str, Any]) -> dict[str, Any]:
    return event.get("payload") or {}


def _summary(event: dict[str, Any]) -> str:
    return str(_payload(event).get("summary") or "")


def _incoming(event: dict[str, Any], page: Page, body: bytes) -> Incoming:
    payload = _payload(event)
    details = payload.get("custom_details")
    fields = event_fields(details if isinstance(details, dict) else {})
    fields["severity"] = fields["severity"] or optional_text(payload, "severity")
    fields["event_at"] = fields["event_at"] or optional_time(payload, "timestamp")
    # The same event again has the same bytes; another event of the same alert has not.
    digest = hashlib.sha256(body).hexdigest()[:16]
    return Incoming(
        channel=InboxChannel.PAGERDUTY,
        endpoint=ENDPOINT,
        message_key=f"{page.dedup_key}:{digest}",
        recipient=page.dedup_key,
        title=f"{page.action}: {page.summary}" if page.summary else page.action.value,
        content=_shown(event, body),
        **fields,
    )


def _shown(event: dict[str, Any], body: bytes) -> str:
    """The event without its routing key, which is a secret."""
    shown = {name: value for name, value in event.items() if name != "routing_key"}
    return json.dumps(shown, indent=2, ensure_ascii=False) if shown else text_of(body)


def _refusal(errors: list[str]) -> Response:
    return JSONResponse({"status": "invalid event", "message": "Event object is invalid", "errors": errors}, 400)


def _failure(status: int, message: str) -> Response:
    return JSONResponse({"status": "error", "message": message, "errors": [message]}, status)
