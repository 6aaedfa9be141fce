"""Webhook bodies, signatures, retry times: the parts that need no network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from alerting.channels.base import (
    Address,
    ChannelLimits,
    Content,
    DeliveryResult,
    OutboundMessage,
    Rejected,
    Retryable,
    SmsContent,
    WebhookContent,
    retry_delay,
)
from alerting.channels.webhook import (
    MAX_BODY_BYTES,
    RETRY_DELAYS_S,
    WebhookChannel,
    render_body,
    signature_headers,
    signers_of,
)
from infra.runtime.clock import FixedClock

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EXPENDABLE = ("price_ids", "liquidation_prices", "unpriced_assets")


def content(**data: Any) -> WebhookContent:
    return WebhookContent("margin.margin_call", AT, {"account_id": "acc-1", **data}, EXPENDABLE)


def attempt(what: Content, url: str = "http://127.0.0.1:1/", secrets: tuple[str, ...] = (SECRET,)) -> DeliveryResult:
    async def deliver() -> DeliveryResult:
        channel = WebhookChannel(FixedClock(AT))
        message = OutboundMessage("ntf_1", "webhook", "operator", Address(url, secrets, is_trusted=True), what)
        try:
            return (await channel.deliver([message]))[0]
        finally:
            await channel.close()

    return asyncio.run(deliver())


class Plain:
    """A channel with three short retries."""

    name = "plain"
    limits = ChannelLimits(1)
    retry_delays_s: Sequence[float] = (1.0, 3.0, 30.0)

    async def deliver(self, messages: Sequence[OutboundMessage]) -> Sequence[DeliveryResult]:
        return [Rejected("never") for _ in messages]

    async def close(self) -> None:
        return None


def test_signature__does_not_depend_on_the_clocks_zone() -> None:
    local = AT.astimezone(timezone(timedelta(hours=9)))
    signers = signers_of([SECRET])
    assert signature_headers(signers, "ntf_1", b"{}", AT) == signature_headers(signers, "ntf_1", b"{}", local)


def test_body__names_type_time_and_event() -> None:
    assert json.loads(render_body(content(health="29.5", borrow_usd=Decimal("50000.10")))) == {
        "type": "margin.margin_call",
        "timestamp": "2026-01-31T12:00:00Z",
        "data": {"account_id": "acc-1", "health": "29.5", "borrow_usd": "50000.10"},
    }


def test_body__is_the_same_at_every_attempt() -> None:
    assert render_body(content(a=1, b=2)) == render_body(content(b=2, a=1))


@pytest.mark.parametrize(
    ("data", "omitted"),
    [
        ({"price_ids": ["p" * 40] * 1000}, ["price_ids"]),
        ({"liquidation_prices": ["x" * 40] * 1000, "price_ids": ["p"]}, ["price_ids", "liquidation_prices"]),
        ({"liquidation_prices": ["x" * 40] * 1000, "price_ids": []}, ["liquidation_prices"]),
    ],
)
def test_body__leaves_out_what_does_not_fit_and_says_so(data: dict[str, Any], omitted: list[str]) -> None:
    body = render_body(content(**data))
    assert len(body) < MAX_BODY_BYTES
    assert json.loads(body)["omitted"] == omitted
    assert json.loads(body)["data"]["account_id"] == "acc-1"


def test_deliver__refuses_a_body_that_cannot_be_made_small() -> None:
    result = attempt(content(desk="x" * 30_000))
    assert isinstance(result, Rejected)
    assert "20000" in result.reason


@pytest.mark.parametrize("url", ["", "ftp://host/", "/path", "http://"])
def test_deliver__refuses_an_address_that_is_none(url: str) -> None:
    assert attempt(content(), url) == Rejected("The webhook address is no http(s) address.")


def test_deliver__refuses_other_kinds_of_message() -> None:
    assert isinstance(attempt(SmsContent("text")), Rejected)


@pytest.mark.parametrize("secrets", [(), ("",), ("whsec_",), ("whsec_c2hvcnQ=",), ("whsec_!!not base64!!",)])
def test_deliver__sends_nothing_unsigned(secrets: tuple[str, ...]) -> None:
    assert attempt(content(), secrets=secrets) == Retryable(
        "the recipient has no usable secret to sign with", is_fault=False
    )


def test_retry_delay__is_early_then_longer_then_ends() -> None:
    assert sum(RETRY_DELAYS_S[:4]) < 10
    assert list(RETRY_DELAYS_S) == sorted(RETRY_DELAYS_S)
    delays = [retry_delay(Plain(), "ntf_1", number, Retryable("x")) for number in (1, 2, 3, 4)]
    for delay, base_s in zip(delays[:3], (1, 3, 30), strict=True):
        assert delay is not None
        assert timedelta(seconds=base_s) <= delay <= timedelta(seconds=base_s * 1.1)
    assert delays[3] is None


def test_retry_delay__honours_the_provider_up_to_a_day() -> None:
    asked = retry_delay(Plain(), "ntf_1", 1, Retryable("x", timedelta(seconds=60)))
    endless = retry_delay(Plain(), "ntf_1", 1, Retryable("x", timedelta(days=400)))
    impatient = retry_delay(Plain(), "ntf_1", 3, Retryable("x", timedelta(0)))
    assert asked is not None
    assert asked >= timedelta(seconds=60)
    assert endless is not None
    assert endless <= timedelta(days=1.1)
    assert impatient is not None
    assert impatient >= timedelta(seconds=30)
