"""The known-answer vector of Standard Webhooks, through our own signing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from alerting.channels.webhook import signature_headers, signers_of

VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER_SECRET = "whsec_bm90aGluZyB0byBkbyB3aXRoIHRoZSB2ZWN0b3IhIQ=="


@pytest.mark.parametrize(
    ("secrets", "place", "count"),
    [
        ([VECTOR_SECRET], 0, 1),
        ([OTHER_SECRET, VECTOR_SECRET], 1, 2),
        ([VECTOR_SECRET, OTHER_SECRET], 0, 2),
        (["whsec_broken", VECTOR_SECRET], 0, 1),
    ],
)
def test_signature__matches_the_published_vector(secrets: list[str], place: int, count: int) -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signature_headers(signers_of(secrets), "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', at)
    signatures = headers.pop("webhook-signature").split(" ")
    assert signatures[place] == VECTOR_SIGNATURE
    assert len(signatures) == count
    assert headers == {
        "content-type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
    }
