"""The webhook channel over real HTTP, with receivers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from alerting.channels.base import Accepted, DeliveryResult, OutboundMessage, Rejected, Retryable
from alerting.channels.webhook import WebhookChannel, WebhookEndpoint
from infra.runtime.clock import Clock, SystemClock

SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def deliver(url: str, times: int = 1, clock: Clock | None = None, timeout_s: float = 10.0) -> list[DeliveryResult]:
    clock = clock or SystemClock()
    message = OutboundMessage("ntf_1", "webhook", "operator", "margin_call", clock.now(), {"account_id": "acc-ü"})

    async def attempts() -> list[DeliveryResult]:
        channel = WebhookChannel({"operator": WebhookEndpoint(url, SECRET)}, clock, total_timeout_s=timeout_s)
        try:
            return [await channel.deliver(message) for _ in range(times)]
        finally:
            await channel.close()

    return asyncio.run(attempts())


def test_deliver__is_accepted_and_verifies_at_the_receiver(receiver: Any) -> None:
    assert deliver(receiver.url) == [Accepted("HTTP 204")]
    [request] = receiver.received
    content = Webhook(SECRET.get_secret_value()).verify(request.body, request.headers)
    assert content["data"] == {"account_id": "acc-ü"}
    assert request.headers["content-type"] == "application/json"


def test_deliver__keeps_the_id_over_attempts(receiver: Any, answer: Any) -> None:
    receiver.answers.put(answer(500, body=b"out of\x00 order\n"))
    results = deliver(receiver.url, times=2)
    assert results == [Retryable("HTTP 500: out of  order"), Accepted("HTTP 204")]
    assert {r.headers["webhook-id"] for r in receiver.received} == {"ntf_1"}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_deliver__comes_again_for(receiver: Any, answer: Any, status: int) -> None:
    receiver.answers.put(answer(status))
    assert deliver(receiver.url) == [Retryable(f"HTTP {status}")]


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_deliver__is_final_for(receiver: Any, answer: Any, status: int) -> None:
    receiver.answers.put(answer(status))
    assert deliver(receiver.url) == [Rejected(f"HTTP {status}")]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_deliver__every_2xx_is_accepted(receiver: Any, answer: Any, status: int) -> None:
    receiver.answers.put(answer(status))
    assert deliver(receiver.url) == [Accepted(f"HTTP {status}")]


def test_deliver__honours_retry_after(receiver: Any, answer: Any) -> None:
    receiver.answers.put(answer(429, {"retry-after": "7"}))
    assert deliver(receiver.url) == [Retryable("HTTP 429", timedelta(seconds=7))]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_deliver__follows_no_redirect(receiver: Any, answer: Any, status: int) -> None:
    receiver.answers.put(answer(status, {"location": receiver.url.replace("/hook", "/elsewhere")}))
    assert deliver(receiver.url) == [Rejected(f"HTTP {status}")]
    assert [r.path for r in receiver.received] == ["/hook"]


def test_deliver__a_stalled_receiver_is_left(receiver: Any, answer: Any) -> None:
    receiver.answers.put(answer(stall=True))
    assert deliver(receiver.url, timeout_s=0.3) == [Retryable("no answer within 0.3 s")]


def test_deliver__reads_little_of_a_large_answer(receiver: Any, answer: Any) -> None:
    receiver.answers.put(answer(500, body=b"x" * 10_000_000))
    receiver.answers.put(answer(200, body=b"x" * 10_000_000))
    assert deliver(receiver.url, times=3) == [
        Retryable("HTTP 500: " + "x" * 200),
        Accepted("HTTP 200"),
        Accepted("HTTP 204"),
    ]


def test_deliver__a_final_answer_whose_body_stalls_stays_final(receiver: Any, answer: Any) -> None:
    receiver.answers.put(answer(410, {"content-length": "100"}, body=b"gone"))
    assert deliver(receiver.url) == [Rejected("HTTP 410")]


def test_deliver__nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        [result] = deliver(f"http://127.0.0.1:{port}/secret-path")
    assert isinstance(result, Retryable)
    assert "secret-path" not in result.reason


def test_deliver__uses_no_proxy_of_the_environment(receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert deliver(receiver.url) == [Accepted("HTTP 204")]


def test_deliver__body_is_compact_json(receiver: Any) -> None:
    deliver(receiver.url)
    body = receiver.received[0].body
    assert json.loads(body)["type"] == "margin.margin_call"
    assert b'": ' not in body
