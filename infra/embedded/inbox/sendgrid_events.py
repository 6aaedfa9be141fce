"""What SendGrid reports of a mail: `processed`, then how its delivery ended.

Source: SendGrid's event webhook, signed. Addresses at `bounce.example` bounce, those at `dropped.example` are dropped.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from infra.embedded.inbox.models import Callback, CallbackProvider, Outcome

PATH = "/v1/callbacks/sendgrid"
PROCESSED_AFTER_S, ENDED_AFTER_S = 0.1, 0.4
_DOMAINS = {"bounce.example": Outcome.BOUNCE, "dropped.example": Outcome.DROPPED}
_DETAILS: Mapping[Outcome, Mapping[str, str]] = {
    Outcome.DELIVERED: {"response": "250 2.0.0 OK"},
    Outcome.BOUNCE: {
        "type": "bounce",
        "status": "5.1.1",
        "reason": "550 5.1.1 The mailbox does not exist",
        "bounce_classification": "Invalid Address",
    },
    Outcome.DROPPED: {"reason": "Bounced Address", "status": "5.0.0"},
}


def outcome_of(address: str) -> Outcome:
    """How the delivery to the address ends."""
    return _DOMAINS.get(address.rpartition("@")[2].lower(), Outcome.DELIVERED)


def sendgrid_events(
    url: str, message_key: str, address: str, arguments: Mapping[str, Any], now: datetime
) -> Iterator[Callback]:
    """The events of one recipient's mail, the custom arguments flattened into each of them."""
    outcome = outcome_of(address)
    steps: list[tuple[str, float, Mapping[str, str]]] = [(outcome.value, ENDED_AFTER_S, _DETAILS[outcome])]
    if outcome is not Outcome.DROPPED:
        steps.insert(0, ("processed", PROCESSED_AFTER_S, {}))
    for name, delay_s, details in steps:
        event = {
            **arguments,
            **details,
            "email": address,
            "timestamp": int(now.timestamp() + delay_s),
            "event": name,
            "sg_event_id": secrets.token_urlsafe(16),
            "sg_message_id": message_key,
        }
        body = json.dumps(event, separators=(",", ":"))
        yield Callback(CallbackProvider.SENDGRID, url, message_key, body, delay_s)


def webhook_body(events: list[str]) -> bytes:
    """The body of one request, as SendGrid writes it: a JSON array with a line for each event, CRLF at its end."""
    return ("[" + ",\r\n".join(events) + "]\r\n").encode()
