"""The webhook channel over real HTTP, with receivers of the operator's own that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from aiohttp import web
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from alerting.channels.base import (
    Accepted,
    Address,
    DeliveryResult,
    OutboundMessage,
    Rejected,
    Retryable,
    WebhookContent,
)
from alerting.channels.receivers import FAULTS, IN_FLIGHT, OPEN_S
from alerting.channels.webhook import WebhookChannel
from infra.runtime.clock import SystemClock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_" + "b2xkIHNlY3JldCwgc3RpbGwgdmFsaWQgZm9yIGEgZGF5"
PATIENCE_S = 60.0
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    """What the receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers in order, then 204."""

    answers: list[Answer] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path_qs, headers, await request.read()))
        self.connections.add(request.transport.get_extra_info("peername") if request.transport else None)
        return await self.answers.pop(0)(request) if self.answers else web.Response(status=204)


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    async def give(request: web.Request) -> web.StreamResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=names)

    return give


def dripping(status: int) -> Answer:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(b"word ")
            await asyncio.sleep(0.05)

    return drip


async def stall(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(PATIENCE_S)
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def served(receiver: Receiver) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


def message(url: str, *secrets: str, recipient: str = "operator") -> OutboundMessage:
    content = WebhookContent("margin.margin_call", SystemClock().now(), {"account_id": "acc-ü"})
    address = Address(url, secrets or (SECRET,), is_trusted=True)
    return OutboundMessage("ntf_1", "webhook", recipient, address, content)


class Seconds:
    """A monotonic time that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


Use = Callable[[WebhookChannel, str], Awaitable[None]]


def use(receiver: Receiver, work: Use, timeout_s: float = 10.0, seconds: Seconds | None = None) -> None:
    async def run() -> None:
        async with served(receiver) as url:
            channel = WebhookChannel(SystemClock(), total_timeout_s=timeout_s, monotonic=seconds or Seconds())
            try:
                await work(channel, url)
            finally:
                await channel.close()

    asyncio.run(run())


def deliver(receiver: Receiver, *secrets: str, times: int = 1, timeout_s: float = 10.0) -> list[DeliveryResult]:
    results: list[DeliveryResult] = []

    async def work(channel: WebhookChannel, url: str) -> None:
        for _ in range(times):
            results.extend(await channel.deliver([message(url, *secrets)]))

    use(receiver, work, timeout_s)
    return results


@pytest.fixture
def endpoint() -> Receiver:
    return Receiver()


def test_deliver__is_accepted_and_verifies_at_the_receiver(endpoint: Receiver) -> None:
    assert deliver(endpoint) == [Accepted("HTTP 204")]
    [request] = endpoint.received
    content = Webhook(SECRET).verify(request.body, request.headers)
    assert content["data"] == {"account_id": "acc-ü"}
    assert request.headers["content-type"] == "application/json"
    assert b'": ' not in request.body


def test_deliver__during_rotation_both_secrets_verify(endpoint: Receiver) -> None:
    deliver(endpoint, SECRET, OLD_SECRET)
    [request] = endpoint.received
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(request.body, request.headers)["type"] == "margin.margin_call"
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(request.body, request.headers)


def test_deliver__keeps_the_id_over_attempts_and_the_connection(endpoint: Receiver) -> None:
    endpoint.answers.append(answer(500, b"out of\x00 order\n"))
    assert deliver(endpoint, times=3) == [Retryable("HTTP 500: out of  order"), *[Accepted("HTTP 204")] * 2]
    assert {request.headers["webhook-id"] for request in endpoint.received} == {"ntf_1"}
    assert len(endpoint.connections) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_deliver__comes_again_for(endpoint: Receiver, status: int) -> None:
    endpoint.answers.append(answer(status))
    [result] = deliver(endpoint)
    assert isinstance(result, Retryable)
    assert (result.reason, result.counts, result.pauses_channel) == (f"HTTP {status}", True, False)


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_deliver__is_final_for(endpoint: Receiver, status: int) -> None:
    endpoint.answers.append(answer(status))
    assert deliver(endpoint) == [Rejected(f"HTTP {status}", disables_recipient=status == 410)]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_deliver__every_2xx_is_accepted(endpoint: Receiver, status: int) -> None:
    endpoint.answers.append(answer(status))
    assert deliver(endpoint) == [Accepted(f"HTTP {status}")]


def test_deliver__honours_retry_after(endpoint: Receiver) -> None:
    endpoint.answers.append(answer(429, retry_after="7"))
    assert deliver(endpoint) == [Retryable("HTTP 429", timedelta(seconds=7), is_fault=False)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_deliver__follows_no_redirect(endpoint: Receiver, status: int) -> None:
    endpoint.answers.append(answer(status, location="/elsewhere"))
    assert deliver(endpoint) == [Rejected(f"HTTP {status}")]
    assert [request.path for request in endpoint.received] == ["/hook"]


def test_deliver__reasons_repeat_no_personal_data(endpoint: Receiver) -> None:
    endpoint.answers.append(answer(400, b"ann@example.com at +14155550100, " + SECRET.encode()))
    assert deliver(endpoint) == [Rejected("HTTP 400: [mail address] at [number], [recipient]")]


def test_deliver__a_stalled_receiver_is_left(endpoint: Receiver) -> None:
    endpoint.answers.append(stall)
    assert deliver(endpoint, timeout_s=0.3) == [Retryable("no answer within 0.3 s", is_unknown=True)]


def test_deliver__a_cut_connection_may_have_arrived(endpoint: Receiver) -> None:
    endpoint.answers.append(cut)
    [result] = deliver(endpoint)
    assert isinstance(result, Retryable)
    assert result.is_unknown


@pytest.mark.parametrize(("status", "wanted"), [(200, Accepted), (500, Retryable), (410, Rejected)])
def test_deliver__a_status_stands_though_its_body_drips(endpoint: Receiver, status: int, wanted: type) -> None:
    endpoint.answers.append(dripping(status))
    [result] = deliver(endpoint, timeout_s=0.5)
    assert isinstance(result, wanted)


def test_deliver__reads_little_of_a_large_answer(endpoint: Receiver) -> None:
    large = b"word " * 2_000_000
    endpoint.answers += [answer(500, large), answer(200, large)]
    first, second, third = deliver(endpoint, times=3)
    assert isinstance(first, Retryable)
    assert first.reason.startswith("HTTP 500: word word")
    assert len(first.reason) < 220
    assert [second, third] == [Accepted("HTTP 200"), Accepted("HTTP 204")]


def test_deliver__unpacks_nothing(endpoint: Receiver) -> None:
    endpoint.answers.append(answer(400, b"\x1f\x8bnot gzip", content_encoding="gzip"))
    [result] = deliver(endpoint)
    assert isinstance(result, Rejected)


def test_deliver__nobody_listens_so_nothing_arrived(endpoint: Receiver) -> None:
    results: list[DeliveryResult] = []

    async def work(channel: WebhookChannel, _url: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{probe.getsockname()[1]}/secret-path"
            results.extend(await channel.deliver([message(url)]))

    use(endpoint, work)
    [result] = results
    assert isinstance(result, Retryable)
    assert not result.is_unknown
    assert "secret-path" not in result.reason
    assert "127.0.0.1" not in result.reason


def test_deliver__uses_no_proxy_of_the_environment(endpoint: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert deliver(endpoint) == [Accepted("HTTP 204")]


def test_breaker__a_failing_receiver_is_spared_and_the_others_are_served(endpoint: Receiver) -> None:
    seconds = Seconds()
    endpoint.answers += [answer(503)] * FAULTS

    async def work(channel: WebhookChannel, url: str) -> None:
        for _ in range(FAULTS):
            await channel.deliver([message(url)])
        [spared, other] = await channel.deliver([message(url), message(url, recipient="con_2")])
        assert spared == Retryable(
            "the receiver failed repeatedly", timedelta(seconds=OPEN_S), is_fault=False, counts=False
        )
        assert other == Accepted("HTTP 204")
        assert len(endpoint.received) == FAULTS + 1
        seconds.now += OPEN_S
        probes = await channel.deliver([message(url), message(url)])
        assert [type(result) for result in probes] == [Accepted, Retryable]
        assert await channel.deliver([message(url)] * 3) == [Accepted("HTTP 204")] * 3

    use(endpoint, work, seconds=seconds)


def test_breaker__refusals_of_a_receiver_that_answers_do_not_open_it(endpoint: Receiver) -> None:
    endpoint.answers += [answer(429), answer(404)] * FAULTS
    results = deliver(endpoint, times=2 * FAULTS + 1)
    assert results[-1] == Accepted("HTTP 204")


def test_places__a_hanging_receiver_does_not_keep_the_others_waiting(endpoint: Receiver) -> None:
    endpoint.answers += [stall] * IN_FLIGHT

    async def work(channel: WebhookChannel, url: str) -> None:
        hanging = asyncio.create_task(channel.deliver([message(url)] * (IN_FLIGHT + 8)))
        while len(endpoint.received) < IN_FLIGHT:
            await asyncio.sleep(0.01)
        assert await channel.deliver([message(url, recipient="con_2")]) == [Accepted("HTTP 204")]
        results = await hanging
        busy = [result for result in results if result.reason == "the receiver is busy"]
        assert len(busy) == 8
        assert all(not result.counts for result in busy)

    use(endpoint, work, timeout_s=4.0)


def test_deliver__many_at_once_each_get_their_own_result(endpoint: Receiver) -> None:
    async def work(channel: WebhookChannel, url: str) -> None:
        first = message(url)
        many = [replace(first, notification_id=f"ntf_{i}", recipient=f"con_{i % 50}") for i in range(500)]
        assert await channel.deliver(many) == [Accepted("HTTP 204")] * 500

    use(endpoint, work)
    assert sorted(request.headers["webhook-id"] for request in endpoint.received) == sorted(
        f"ntf_{i}" for i in range(500)
    )
    assert all(json.loads(request.body)["type"] == "margin.margin_call" for request in endpoint.received)
