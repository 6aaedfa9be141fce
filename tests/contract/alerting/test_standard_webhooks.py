"""The known-answer vector of Standard Webhooks, through our own signing."""

from __future__ import annotations

from datetime import UTC, datetime

from standardwebhooks import Webhook

from alerting.channels.base import OutboundMessage
from alerting.channels.webhook import signature_headers


def test_signature__matches_the_published_vector() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    message = OutboundMessage("msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook", "operator", "margin_call", at, {})
    headers = signature_headers(Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), message, b'{"test": 2432232314}', at)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
