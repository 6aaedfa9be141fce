"""The page channel over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from alerting.channels.base import (
    Accepted,
    Address,
    Content,
    DeliveryResult,
    OutboundMessage,
    PageContent,
    Rejected,
    Retryable,
    SmsContent,
)
from alerting.channels.pagerduty import PagerDutyChannel
from infra.runtime.clock import FixedClock

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
PAGE = PageContent("trigger", "margin:acc-1:mep_1", "Margin call", "critical", AT)
KEY = "R0UT1NGKEY" + "0" * 22


def deliver(
    status: int, body: Any = None, content: Content = PAGE, headers: dict[str, str] | None = None
) -> tuple[DeliveryResult, Sequence[dict[str, Any]]]:
    received: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.path == "/v2/enqueue"
        received.append(json.loads(await request.read()))
        return web.json_response(body, status=status, headers=headers)

    async def attempt() -> DeliveryResult:
        app = web.Application()
        app.router.add_route("POST", "/{tail:.*}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        channel = PagerDutyChannel(f"http://127.0.0.1:{runner.addresses[0][1]}/", SecretStr(KEY), FixedClock(AT))
        try:
            message = OutboundMessage("ntf_1", "pagerduty", "operators", Address(""), content)
            return (await channel.deliver([message]))[0]
        finally:
            await channel.close()
            await runner.cleanup()

    return asyncio.run(attempt()), received


def test_deliver__is_accepted_under_its_key() -> None:
    result, [event] = deliver(202, {"status": "success", "dedup_key": PAGE.dedup_key})
    assert result == Accepted("HTTP 202", "margin:acc-1:mep_1")
    assert (event["routing_key"], event["event_action"]) == (KEY, "trigger")


def test_deliver__a_refused_event_is_final_and_tells_no_key() -> None:
    result, _ = deliver(400, {"status": "invalid event", "message": f"bad {KEY}", "errors": ["summary is missing"]})
    assert result == Rejected("PagerDuty: HTTP 400: bad [recipient]; summary is missing")


def test_deliver__a_refused_routing_key_is_ours_to_mend() -> None:
    result, _ = deliver(400, {"message": "Event object is invalid", "errors": ["Invalid 'routing_key'"]})
    assert isinstance(result, Retryable)
    assert result.pauses_channel


@pytest.mark.parametrize("status", [500, 503])
def test_deliver__failures_come_again(status: int) -> None:
    result, _ = deliver(status)
    assert isinstance(result, Retryable)
    assert (result.counts, result.pauses_channel) == (True, False)


def test_deliver__a_rate_limit_is_honoured() -> None:
    result, _ = deliver(429, headers={"retry-after": "7"})
    assert isinstance(result, Retryable)
    assert (result.retry_after, result.counts, result.pauses_channel) == (timedelta(seconds=7), False, True)


def test_deliver__another_success_is_not_taken_for_acceptance() -> None:
    result, _ = deliver(200)
    assert isinstance(result, Retryable)
    assert result.is_unknown


@pytest.mark.parametrize("content", [PageContent("explode", "k", "s", "info", AT), SmsContent("text")])
def test_deliver__what_is_no_page_makes_no_request(content: Content) -> None:
    result, received = deliver(202, content=content)
    assert isinstance(result, Rejected)
    assert received == []
