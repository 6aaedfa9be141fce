"""A receiver of Standard Webhooks 1.0."""

from __future__ import annotations

import json

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from infra.embedded.inbox.access import text_of
from infra.embedded.inbox.models import InboxChannel, Incoming
from infra.embedded.inbox.reception import Contract, Verdict, event_fields
from infra.runtime.settings import Settings


def webhook_contract(settings: Settings) -> Contract:
    """204 for a signed message, 401 for any other; without a configured secret every message gets 401."""
    secret = settings.webhook_secret
    signer = Webhook(secret.get_secret_value()) if secret is not None else None

    def judge(request: Request, body: bytes) -> Verdict:
        reason = _refusal(signer, request, body)
        if reason is not None:
            return Verdict(_error(401, reason), reason=reason)
        return Verdict(Response(status_code=204), (_incoming(request, body),))

    return Contract(InboxChannel.WEBHOOK, judge, _error)


def _refusal(signer: Webhook | None, request: Request, body: bytes) -> str | None:
    if signer is None:
        return "no webhook secret is configured"
    try:
        signer.verify(body, dict(request.headers), json_parse=False)
    except WebhookVerificationError as error:
        return str(error)
    except ValueError:
        # The library lets malformed signatures and bodies that are not UTF-8 through as ValueError.
        return "unreadable signature or body"
    return None


def _incoming(request: Request, body: bytes) -> Incoming:
    content = _json_object(body)
    inner = content.get("data")
    fields = event_fields(inner if isinstance(inner, dict) else {})
    fields["notification_id"] = fields["notification_id"] or request.headers["webhook-id"]
    return Incoming(
        channel=InboxChannel.WEBHOOK,
        endpoint=request.path_params["name"],
        message_key=request.headers["webhook-id"],
        title=str(content.get("type", "webhook")),
        content=text_of(body),
        **fields,
    )


def _json_object(body: bytes) -> dict[str, object]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
