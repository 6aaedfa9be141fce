"""The text message channel over real HTTP, with a server that speaks Twilio's contract and fails on command."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
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
from alerting.channels.sms import SmsChannel
from infra.runtime.clock import FixedClock

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
NUMBER = "+14155550100"
WORDS = "Margin call acc-1: add 1,250 USD."
PATH = "/2010-04-01/Accounts/AC1/Messages.json"
CALLBACK = "https://api.example.com/v1/callbacks/twilio"
PATIENCE_S = 60.0
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
MESSAGE = OutboundMessage("ntf_1", "sms", "con_1", Address(NUMBER), SmsContent(WORDS), first_planned_at=AT)


@dataclass
class Twilio:
    """Keeps accepted messages and lists them; answers `posts` and `gets` in order before that."""

    posts: list[Answer] = field(default_factory=list)
    gets: list[Answer] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.path == PATH
        assert request.headers["authorization"] == "Basic " + base64.b64encode(b"AC1:token").decode()
        if request.method == "GET":
            self.looks += 1
            if self.gets:
                return await self.gets.pop(0)(request)
            return web.json_response({"messages": [m for m in self.messages if m["to"] == request.query["To"]]})
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if self.posts:
            return await self.posts.pop(0)(request)
        return web.json_response(self.add(form["Body"], to=form["To"]), status=201)

    def add(self, body: str, at: datetime = AT, to: str = NUMBER, **changes: Any) -> dict[str, Any]:
        sid = f"SM{len(self.messages)}"
        row = {"sid": sid, "to": to, "body": body, "status": "queued", "direction": "outbound-api", "date_sent": None}
        row |= {"date_created": format_datetime(at), **changes}
        self.messages.insert(0, row)
        return row


def refuse(status: int, code: int | None = None, text: str = "refused", **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = {"code": code, "message": text, "more_info": f"https://www.twilio.com/docs/errors/{code}"}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=names)

    return answer


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stall(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(PATIENCE_S)
    return web.Response()


async def no_json(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>")


@asynccontextmanager
async def served(twilio: Twilio) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", twilio.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def deliver(
    twilio: Twilio, message: OutboundMessage = MESSAGE, sender: str = "+14155550199", timeout_s: float = 10.0
) -> DeliveryResult:
    async def attempt() -> DeliveryResult:
        async with served(twilio) as url:
            channel = SmsChannel(
                url,
                SecretStr("AC1"),
                SecretStr("token"),
                sender,
                CALLBACK,
                FixedClock(AT + timedelta(minutes=1)),
                total_timeout_s=timeout_s,
            )
            try:
                return (await channel.deliver([message]))[0]
            finally:
                await channel.close()

    return asyncio.run(attempt())


@pytest.fixture
def twilio() -> Twilio:
    return Twilio()


@pytest.mark.parametrize(("sender", "name"), [("+14155550199", "From"), ("MG" + "0" * 32, "MessagingServiceSid")])
def test_deliver__is_accepted_with_a_callback(twilio: Twilio, sender: str, name: str) -> None:
    assert deliver(twilio, sender=sender) == Accepted("HTTP 201", "SM0")
    assert twilio.forms == [
        {
            "To": NUMBER,
            name: sender,
            "Body": WORDS,
            "ValidityPeriod": "14400",
            "StatusCallback": f"{CALLBACK}?notification_id=ntf_1",
        }
    ]
    assert twilio.looks == 0


@pytest.mark.parametrize("number", ["", "4155550100", "+1", "+1415555010012345678", "call me", "+00000000000"])
def test_deliver__an_invalid_number_makes_no_request(twilio: Twilio, number: str) -> None:
    assert deliver(twilio, replace(MESSAGE, address=Address(number))) == Rejected("the phone number is not valid")
    assert twilio.forms == []


def test_deliver__another_kind_of_message_is_refused(twilio: Twilio) -> None:
    assert isinstance(deliver(twilio, replace(MESSAGE, content=EmailContent("s", "t", "h"))), Rejected)


@pytest.mark.parametrize(("code", "disables"), [(21211, False), (21610, True), (21614, False), (21408, False)])
def test_deliver__the_recipients_faults_are_final(twilio: Twilio, code: int, disables: bool) -> None:
    twilio.posts.append(refuse(400, code, f"The number {NUMBER} is bad"))
    assert deliver(twilio) == Rejected(f"Twilio: HTTP 400, code {code}: The number [recipient] is bad", disables)


def test_deliver__a_refused_callback_is_left_out_at_once(twilio: Twilio) -> None:
    twilio.posts.append(refuse(400, 21609))
    assert deliver(twilio) == Accepted("HTTP 201, without callback", "SM0")
    assert ["StatusCallback" in form for form in twilio.forms] == [True, False]


def test_deliver__a_refusal_of_no_callback_ends(twilio: Twilio) -> None:
    twilio.posts += [refuse(400, 21609), refuse(400, 21609)]
    assert isinstance(deliver(twilio), Rejected)
    assert len(twilio.forms) == 2


@pytest.mark.parametrize("code", [21611, 30001])
def test_deliver__a_full_queue_is_waited_for(twilio: Twilio, code: int) -> None:
    twilio.posts.append(refuse(400, code))
    result = deliver(twilio)
    assert isinstance(result, Retryable)
    assert result.retry_after == timedelta(seconds=30)
    assert not result.is_unknown


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (refuse(429, 20429, retry_after="7"), 7),
        (refuse(429, 20429), 1),
        (refuse(400, 20429), 1),
    ],
)
def test_deliver__a_rate_limit_pauses_the_channel_and_is_no_attempt(
    twilio: Twilio, answer: Answer, wait_s: int
) -> None:
    twilio.posts.append(answer)
    result = deliver(twilio)
    assert isinstance(result, Retryable)
    assert (result.retry_after, result.counts, result.pauses_channel) == (timedelta(seconds=wait_s), False, True)


@pytest.mark.parametrize(("status", "code"), [(401, 20003), (403, 20005), (404, 20404), (400, 21603), (400, 21212)])
def test_deliver__our_own_faults_pause_the_channel_and_lose_nothing(twilio: Twilio, status: int, code: int) -> None:
    twilio.posts.append(refuse(status, code))
    result = deliver(twilio)
    assert isinstance(result, Retryable)
    assert (result.pauses_channel, result.is_fault) == (True, True)


@pytest.mark.parametrize(
    ("answer", "is_unknown"),
    [(refuse(500), False), (refuse(503), False), (refuse(504), True), (cut, True), (stall, True), (no_json, True)],
)
def test_deliver__failures_come_again_and_say_what_is_unknown(twilio: Twilio, answer: Answer, is_unknown: bool) -> None:
    twilio.posts.append(answer)
    result = deliver(twilio, timeout_s=0.5)
    assert isinstance(result, Retryable)
    assert result.is_unknown is is_unknown
    assert result.counts


MAYBE = replace(MESSAGE, may_have_arrived=True, attempt=2)


def test_lookup__finds_the_earlier_attempt_and_sends_no_second(twilio: Twilio) -> None:
    twilio.add("other words", AT + timedelta(seconds=2))
    sid = twilio.add(WORDS, AT + timedelta(seconds=1))["sid"]
    assert deliver(twilio, MAYBE) == Accepted("found in the list of messages", sid)
    assert twilio.forms == []


@pytest.mark.parametrize(
    "changes",
    [
        {"body": "other words"},
        {"to": "+14155550111"},
        {"date_created": format_datetime(AT - timedelta(minutes=5))},
        {"date_created": None},
        {"status": "failed"},
        {"status": "undelivered"},
        {"status": "canceled"},
        {"direction": "inbound"},
    ],
)
def test_lookup__what_is_no_copy_does_not_stop_the_message(twilio: Twilio, changes: dict[str, Any]) -> None:
    twilio.add(**{"body": WORDS, **changes})
    assert deliver(twilio, MAYBE) == Accepted("HTTP 201", "SM1")
    assert twilio.looks == 1


@pytest.mark.parametrize("answer", [refuse(503), refuse(429), refuse(400), no_json, stall])
def test_lookup__without_an_answer_nothing_is_sent(twilio: Twilio, answer: Answer) -> None:
    twilio.gets.append(answer)
    result = deliver(twilio, MAYBE, timeout_s=0.5)
    assert isinstance(result, Retryable)
    assert result.is_unknown
    assert twilio.forms == []


def test_lookup__bears_a_long_list(twilio: Twilio) -> None:
    sid = twilio.add(WORDS)["sid"]
    for _ in range(49):
        twilio.add("w" * 1500)
    assert deliver(twilio, MAYBE) == Accepted("found in the list of messages", sid)


def test_lookup__a_cut_connection_then_the_same_message_is_one_message(twilio: Twilio) -> None:
    async def accept_and_cut(request: web.Request) -> web.StreamResponse:
        twilio.add(WORDS)
        return await cut(request)

    twilio.posts.append(accept_and_cut)
    first = deliver(twilio)
    assert isinstance(first, Retryable)
    assert first.is_unknown
    assert isinstance(deliver(twilio, MAYBE), Accepted)
    assert [row["body"] for row in twilio.messages] == [WORDS]
