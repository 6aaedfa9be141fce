"""Webhook bodies, signatures, retry times: the parts that need no network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from alerting.channels.base import Accepted, DeliveryResult, OutboundMessage, Rejected, Retryable, retry_delay
from alerting.channels.webhook import (
    MAX_BODY_BYTES,
    RETRY_DELAYS_S,
    WebhookChannel,
    WebhookEndpoint,
    render_body,
    retry_after,
    signature_headers,
)
from infra.runtime.clock import FixedClock
from infra.runtime.errors import SettingsError

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def message(**payload: Any) -> OutboundMessage:
    return OutboundMessage("ntf_1", "webhook", "operator", "margin_call", AT, {"account_id": "acc-1", **payload})


class Plain:
    """A channel with three short retries."""

    name = "plain"
    retry_delays_s: Sequence[float] = (1.0, 3.0, 30.0)

    async def deliver(self, message: OutboundMessage) -> DeliveryResult:
        return Accepted()

    async def close(self) -> None:
        return None


def test_signature__does_not_depend_on_the_clocks_zone() -> None:
    signer = Webhook(SECRET.get_secret_value())
    local = AT.astimezone(timezone(timedelta(hours=9)))
    assert signature_headers(signer, message(), b"{}", AT) == signature_headers(signer, message(), b"{}", local)


def test_body__names_type_time_and_event() -> None:
    assert json.loads(render_body(message(health="29.5"))) == {
        "type": "margin.margin_call",
        "timestamp": "2026-01-31T12:00:00Z",
        "data": {"account_id": "acc-1", "health": "29.5"},
    }


def test_body__is_the_same_at_every_attempt() -> None:
    one, other = message(a=1, b=2), replace(message(), payload={"b": 2, "a": 1, "account_id": "acc-1"})
    assert render_body(one) == render_body(other)


@pytest.mark.parametrize(
    ("payload", "omitted"),
    [
        ({"price_ids": ["p" * 40] * 1000}, ["price_ids"]),
        ({"liquidation_prices": ["x" * 40] * 1000, "price_ids": []}, ["price_ids", "liquidation_prices"]),
        ({"desk": "x" * 30_000}, ["price_ids", "liquidation_prices", "unpriced_assets", "unknown fields"]),
    ],
)
def test_body__leaves_out_what_does_not_fit_and_says_so(payload: dict[str, Any], omitted: list[str]) -> None:
    body = render_body(message(**payload))
    assert len(body) < MAX_BODY_BYTES
    assert json.loads(body)["omitted"] == omitted
    assert json.loads(body)["data"]["account_id"] == "acc-1"


def test_deliver__refuses_a_body_that_cannot_be_made_small() -> None:
    async def attempt() -> DeliveryResult:
        channel = WebhookChannel({"operator": WebhookEndpoint("http://127.0.0.1:1/", SECRET)}, FixedClock(AT))
        try:
            return await channel.deliver(message(account_id="x" * 30_000))
        finally:
            await channel.close()

    result = asyncio.run(attempt())
    assert isinstance(result, Rejected)
    assert "20000" in result.reason


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("3", timedelta(seconds=3)),
        (" 0 ", timedelta(0)),
        ("Sat, 31 Jan 2026 12:00:10 GMT", timedelta(seconds=10)),
        ("Sat, 31 Jan 2026 11:00:00 GMT", timedelta(0)),
        ("99999999999999999999", timedelta(seconds=10**9)),
        ("-1", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after__reads_seconds_and_dates(value: str | None, wanted: timedelta | None) -> None:
    assert retry_after(value, AT) == wanted


def test_retry_delay__is_early_then_longer_then_ends() -> None:
    assert RETRY_DELAYS_S[:2] == (1.0, 3.0)
    assert list(RETRY_DELAYS_S) == sorted(RETRY_DELAYS_S)
    delays = [retry_delay(Plain(), message(), attempt, Retryable("x")) for attempt in (1, 2, 3, 4)]
    for delay, base_s in zip(delays[:3], (1, 3, 30), strict=True):
        assert delay is not None
        assert timedelta(seconds=base_s) <= delay <= timedelta(seconds=base_s * 1.1)
    assert delays[3] is None


def test_retry_delay__honours_the_provider_up_to_a_day() -> None:
    asked = retry_delay(Plain(), message(), 1, Retryable("x", timedelta(seconds=60)))
    endless = retry_delay(Plain(), message(), 1, Retryable("x", timedelta(days=400)))
    impatient = retry_delay(Plain(), message(), 3, Retryable("x", timedelta(0)))
    assert asked is not None
    assert asked >= timedelta(seconds=60)
    assert endless is not None
    assert endless <= timedelta(days=1.1)
    assert impatient is not None
    assert impatient >= timedelta(seconds=30)


@pytest.mark.parametrize("url", ["", "ftp://host/", "/path", "http://"])
def test_channel__refuses_an_address_that_is_none(url: str) -> None:
    with pytest.raises(SettingsError, match="BALLAST_WEBHOOK_URL"):
        WebhookChannel({"operator": WebhookEndpoint(url, SECRET)}, FixedClock(AT))


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!not base64!!"])
def test_channel__refuses_a_weak_secret_without_telling_it(secret: str) -> None:
    with pytest.raises(SettingsError, match="BALLAST_WEBHOOK_SECRET") as raised:
        WebhookChannel({"operator": WebhookEndpoint("http://127.0.0.1/", SecretStr(secret))}, FixedClock(AT))
    assert not secret.removeprefix("whsec_") or secret not in str(raised.value)


def test_channel__an_unknown_recipient_waits_for_its_address() -> None:
    async def attempt() -> DeliveryResult:
        return await WebhookChannel({}, FixedClock(AT)).deliver(message())

    assert isinstance(asyncio.run(attempt()), Retryable)
