"""SendGrid's event webhook: proven by its signature over the raw body, then read event by event.

Source: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event and
.../getting-started-event-webhook-security-features. The window against replays is ours.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from alerting.callbacks.outcomes import LABELS, Provider, outcome
from alerting.callbacks.store import Callback
from alerting.callbacks.texts import kind_of, reason, storable
from alerting.errors import CallbackInvalidError, CallbackNotConfiguredError, CallbackRefusedError
from alerting.tables import NotificationState
from infra.runtime.ids import stable_id

SIGNATURE_HEADER = "x-twilio-email-event-webhook-signature"
TIMESTAMP_HEADER = "x-twilio-email-event-webhook-timestamp"
REPLAY_WINDOW = timedelta(seconds=300)
_SECONDS = re.compile(r"[0-9]{1,12}")
# SendGrid appends its own servers and the recipient's number to the id that it answered with.
_MESSAGE_ID = re.compile(r"(.+?)(?:\.(?:filter|recvd).*)?")


def _time(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None


class SendGridEvent(BaseModel):
    """One event, as far as it is read: whatever has not the documented type counts as left out.

    `notification_id` is the custom argument that we gave the mail. A bounce that comes days later has no message id.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: Annotated[str, BeforeValidator(kind_of)] = "unknown"
    timestamp: Annotated[datetime | None, BeforeValidator(_time)] = None
    sg_event_id: Annotated[str | None, BeforeValidator(storable)] = None
    sg_message_id: Annotated[str | None, BeforeValidator(storable)] = None
    notification_id: Annotated[str | None, BeforeValidator(storable)] = None
    email: Any = Field(default=None, repr=False)
    reason: Any = Field(default=None, repr=False)
    response: Any = Field(default=None, repr=False)
    status: Any = None
    type: Any = None


def verify(key: str | None, signature: str | None, timestamp: str | None, body: bytes, now: datetime) -> None:
    """Prove that SendGrid signed this body within 300 s of `now`; `key` is its public key, base64 of SPKI DER.

    Raises `CallbackNotConfiguredError` without a usable key and `CallbackRefusedError` for anything unproven.
    """
    public_key = _public_key(key)
    if signature is None or timestamp is None or not _SECONDS.fullmatch(timestamp):
        raise CallbackRefusedError("Send SendGrid's signature and timestamp headers, once each.")
    try:
        public_key.verify(_bytes(signature), timestamp.encode() + body, ec.ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        raise CallbackRefusedError("The signature is not SendGrid's over this timestamp and body.") from None
    if abs(now.timestamp() - int(timestamp)) > REPLAY_WINDOW.total_seconds():
        raise CallbackRefusedError("The timestamp is further than 300 s from the present; the callback is not recent.")


def read(body: bytes) -> list[Callback]:
    """The reports in a body that was proven; raises `CallbackInvalidError` where it is no array of objects."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise CallbackInvalidError("The body is not JSON; SendGrid posts an array of events.") from None
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise CallbackInvalidError("The body is no array of objects; SendGrid posts an array of events.")
    return [_callback(item) for item in content]


def _public_key(key: str | None) -> ec.EllipticCurvePublicKey:
    if key is None or not key.strip():
        raise CallbackNotConfiguredError("BALLAST_SENDGRID_WEBHOOK_KEY is empty, so that events are refused; set it.")
    try:
        found = load_der_public_key(_bytes(key.strip()))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, ec.EllipticCurvePublicKey):
        raise CallbackNotConfiguredError("BALLAST_SENDGRID_WEBHOOK_KEY is no elliptic-curve key in base64 of DER.")
    return found


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode(), validate=True)


def _callback(content: dict[str, Any]) -> Callback:
    event = SendGridEvent.model_validate(content)
    return Callback(
        callback_id=event.sg_event_id or stable_id("cbk", json.dumps(content, sort_keys=True)),
        provider=Provider.SENDGRID,
        notification_id=event.notification_id,
        kind=event.event,
        occurred_at=event.timestamp,
        detail=_detail(event),
        provider_message_id=_message_id(event.sg_message_id),
    )


def _message_id(value: str | None) -> str | None:
    found = _MESSAGE_ID.fullmatch(value) if value is not None else None
    return found[1] if found else None


def _detail(event: SendGridEvent) -> str | None:
    """The kind, and of what did not go through the provider's code and words."""
    if outcome(Provider.SENDGRID, event.event) is not NotificationState.FAILED and event.event != "deferred":
        return f"{LABELS[Provider.SENDGRID]}: {event.event}"
    said: Sequence[object] = (event.type, event.status, event.reason or event.response)
    words = [text for text in (reason(each, event.email) for each in said) if text is not None and text != event.event]
    return f"{LABELS[Provider.SENDGRID]}: " + "; ".join([event.event, *words])
