"""The mail channel over real HTTP, with a server that speaks SendGrid's contract and fails on command."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from alerting.channels.base import (
    Accepted,
    Address,
    DeliveryResult,
    EmailContent,
    OutboundMessage,
    Rejected,
    Retryable,
    SmsContent,
)
from alerting.channels.email import EmailChannel
from infra.runtime.clock import SystemClock

PATIENCE_S = 60.0
Answer = Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class SendGrid:
    """Judges each request by `answers` in order, then by `usual`; keeps what it accepted."""

    usual: Answer
    answers: list[Answer] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert (request.method, request.path) == ("POST", "/v3/mail/send")
        assert request.headers["authorization"] == "Bearer SG.key"
        mail = json.loads(await request.read())
        self.requests.append(mail)
        if self.answers:
            return await self.answers.pop(0)(mail)
        response = await self.usual(mail)
        if response.status == 202:
            self.accepted += addresses(mail)
        return response


def addresses(mail: dict[str, Any]) -> list[str]:
    return [person["to"][0]["email"] for person in mail["personalizations"]]


async def accept(mail: dict[str, Any]) -> web.StreamResponse:
    return web.Response(status=202, headers={"x-message-id": "msg-1"})


def refuse(status: int, *errors: tuple[str, str | None], **headers: str) -> Answer:
    async def answer(mail: dict[str, Any]) -> web.StreamResponse:
        body = {"errors": [{"message": text, "field": name, "help": None} for text, name in errors]}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=names)

    return answer


def poisoned(bad: set[str], *, is_named: bool) -> Answer:
    """Refuses a request as long as a bad address is in it, and names its place or not."""

    async def answer(mail: dict[str, Any]) -> web.StreamResponse:
        found = [place for place, address in enumerate(addresses(mail)) if address in bad]
        if not found:
            return await accept(mail)
        names = [f"personalizations.{place}.to.0.email" if is_named else None for place in found]
        return await refuse(400, *(("Does not contain a valid address.", name) for name in names))(mail)

    return answer


@asynccontextmanager
async def served(sendgrid: SendGrid) -> AsyncIterator[str]:
    app = web.Application(client_max_size=32 * 1024**2)
    app.router.add_route("*", "/{tail:.*}", sendgrid.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def mail(number: int, address: str | None = None, text: str = "Add collateral.") -> OutboundMessage:
    to = address if address is not None else f"p{number}@example.com"
    content = EmailContent(f"Margin call {number}", text, f"<p>{text}</p>")
    return OutboundMessage(f"ntf_{number}", "email", f"con_{number}", Address(to), content)


def deliver(
    sendgrid: SendGrid, messages: Sequence[OutboundMessage], timeout_s: float = 10.0, url: str | None = None
) -> list[DeliveryResult]:
    async def attempt() -> list[DeliveryResult]:
        async with served(sendgrid) as root:
            channel = EmailChannel(
                url or root, SecretStr("SG.key"), "alerts@example.com", SystemClock(), total_timeout_s=timeout_s
            )
            try:
                return list(await channel.deliver(messages))
            finally:
                await channel.close()

    return asyncio.run(attempt())


@pytest.fixture
def sendgrid() -> SendGrid:
    return SendGrid(accept)


def test_deliver__a_thousand_mails_are_one_request(sendgrid: SendGrid) -> None:
    results = deliver(sendgrid, [mail(i) for i in range(1000)])
    assert results == [Accepted("HTTP 202", "msg-1")] * 1000
    assert len(sendgrid.requests) == 1
    assert sorted(sendgrid.accepted) == sorted(f"p{i}@example.com" for i in range(1000))


def test_deliver__the_same_address_goes_in_further_requests(sendgrid: SendGrid) -> None:
    results = deliver(sendgrid, [mail(0, "a@example.com"), mail(1, "b@example.com"), mail(2, "A@example.com")])
    assert results == [Accepted("HTTP 202", "msg-1")] * 3
    assert sorted(len(request["personalizations"]) for request in sendgrid.requests) == [1, 2]


@pytest.mark.parametrize("address", ["", "no address", "a@", "@b.example", "a@b@example.com", "a\r\n@example.com"])
def test_deliver__an_invalid_address_makes_no_request(sendgrid: SendGrid, address: str) -> None:
    assert deliver(sendgrid, [mail(0, address)]) == [Rejected("the mail address is not valid")]
    assert sendgrid.requests == []


def test_deliver__an_international_domain_goes_as_punycode(sendgrid: SendGrid) -> None:
    deliver(sendgrid, [mail(0, "ann@bücher.example.com")])
    assert sendgrid.accepted == ["ann@xn--bcher-kva.example.com"]


def test_deliver__another_kind_of_message_is_refused(sendgrid: SendGrid) -> None:
    text = OutboundMessage("ntf_1", "email", "con_1", Address("a@example.com"), SmsContent("text"))
    results = deliver(sendgrid, [text, mail(2)])
    assert [type(result) for result in results] == [Rejected, Accepted]


def test_deliver__named_bad_mails_fail_and_the_others_go_at_once(sendgrid: SendGrid) -> None:
    bad = {f"p{i}@example.com" for i in range(0, 100, 2)}
    sendgrid.usual = poisoned(bad, is_named=True)
    results = deliver(sendgrid, [mail(i) for i in range(100)])
    assert [isinstance(result, Accepted) for result in results] == [i % 2 == 1 for i in range(100)]
    assert results[0] == Rejected("SendGrid: HTTP 400: Does not contain a valid address.")
    assert len(sendgrid.requests) == 2
    assert len(sendgrid.accepted) == 50


def test_deliver__an_unnamed_culprit_is_found_by_halves(sendgrid: SendGrid) -> None:
    sendgrid.usual = poisoned({"p17@example.com", "p80@example.com"}, is_named=False)
    results = deliver(sendgrid, [mail(i) for i in range(100)])
    assert [i for i, result in enumerate(results) if isinstance(result, Rejected)] == [17, 80]
    assert len(sendgrid.accepted) == len(set(sendgrid.accepted)) == 98
    assert len(sendgrid.requests) < 40


def test_deliver__a_request_that_is_too_large_is_halved(sendgrid: SendGrid) -> None:
    async def small_only(request: dict[str, Any]) -> web.StreamResponse:
        is_large = len(request["personalizations"]) > 30
        return await (refuse(413, ("too large", None)) if is_large else accept)(request)

    sendgrid.usual = small_only
    assert deliver(sendgrid, [mail(i) for i in range(100)]) == [Accepted("HTTP 202", "msg-1")] * 100
    assert len(sendgrid.accepted) == 100


def test_deliver__reasons_repeat_no_address(sendgrid: SendGrid) -> None:
    sendgrid.answers.append(refuse(400, ("p1@example.com and ann@example.com are bad", "personalizations.0.to")))
    [result] = deliver(sendgrid, [mail(1)])
    assert result == Rejected("SendGrid: HTTP 400: [recipient] and [mail address] are bad")


@pytest.mark.parametrize("status", [401, 403, 404, 308])
def test_deliver__refused_credentials_pause_the_channel_and_lose_nothing(sendgrid: SendGrid, status: int) -> None:
    sendgrid.usual = refuse(status, ("The provided authorization grant is invalid", None))
    [result] = deliver(sendgrid, [mail(1)])
    assert isinstance(result, Retryable)
    assert (result.pauses_channel, result.is_fault, result.is_unknown) == (True, True, False)


def test_deliver__a_refused_sender_is_not_the_mails_fault(sendgrid: SendGrid) -> None:
    sendgrid.usual = refuse(400, ("The from address does not match a verified Sender Identity.", "from"))
    results = deliver(sendgrid, [mail(i) for i in range(50)])
    assert all(isinstance(result, Retryable) and result.pauses_channel for result in results)
    assert len(sendgrid.requests) == 1


def test_deliver__a_rate_limit_stops_what_was_not_sent_yet(sendgrid: SendGrid) -> None:
    sendgrid.usual = refuse(429, ("too many requests", None), retry_after="7")
    results = deliver(sendgrid, [mail(i, "same@example.com") for i in range(200)])
    assert all(isinstance(result, Retryable) for result in results)
    for result in results:
        assert isinstance(result, Retryable)
        assert (result.retry_after, result.counts, result.pauses_channel) == (timedelta(seconds=7), False, True)
    assert len(sendgrid.requests) <= 16


def test_deliver__a_failure_after_a_partial_refusal_keeps_the_refusals(sendgrid: SendGrid) -> None:
    sendgrid.answers += [refuse(400, ("bad", "personalizations.1.to")), refuse(503)]
    results = deliver(sendgrid, [mail(i) for i in range(3)])
    assert [type(result) for result in results] == [Retryable, Rejected, Retryable]


@pytest.mark.parametrize(("status", "is_unknown"), [(500, False), (503, False), (502, True), (504, True)])
def test_deliver__failures_come_again(sendgrid: SendGrid, status: int, is_unknown: bool) -> None:
    sendgrid.usual = refuse(status)
    [result] = deliver(sendgrid, [mail(1)])
    assert isinstance(result, Retryable)
    assert (result.is_unknown, result.is_fault, result.counts) == (is_unknown, True, True)


@pytest.mark.parametrize("status", [200, 204])
def test_deliver__another_success_is_not_taken_for_acceptance(sendgrid: SendGrid, status: int) -> None:
    sendgrid.usual = refuse(status)
    [result] = deliver(sendgrid, [mail(1)])
    assert isinstance(result, Retryable)
    assert result.is_unknown


def test_deliver__a_stalled_provider_leaves_an_unknown_outcome(sendgrid: SendGrid) -> None:
    async def stall(request: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(PATIENCE_S)
        return await accept(request)

    sendgrid.usual = stall
    assert (
        deliver(sendgrid, [mail(1), mail(2)], timeout_s=0.3)
        == [Retryable("SendGrid: no answer within 0.3 s", timedelta(seconds=5), is_unknown=True)] * 2
    )


def test_deliver__nobody_listens_so_nothing_arrived(sendgrid: SendGrid, unused_port: int) -> None:
    [result] = deliver(sendgrid, [mail(1)], url=f"http://127.0.0.1:{unused_port}")
    assert isinstance(result, Retryable)
    assert not result.is_unknown
    assert result.retry_after is None


@pytest.fixture
def unused_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]
