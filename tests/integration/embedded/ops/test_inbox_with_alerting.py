"""The real channels send to the inbox, and what the inbox reports is taken by the real callback routes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine, text

from alerting.callbacks.routes import router
from alerting.channels.base import (
    Accepted,
    Address,
    Channel,
    Content,
    DeliveryResult,
    EmailContent,
    OutboundMessage,
    PageContent,
    SmsContent,
    WebhookContent,
)
from alerting.channels.build import build_channels
from alerting.migrations.apply import upgrade
from infra.embedded.testing import embedded_ground
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings

PATIENCE_S = 60.0
CLOCK = SystemClock()


@dataclass
class Ground:
    """Settings of the servers, and the engine that the callback routes write with."""

    settings: Settings
    engine: Engine

    def inbox(self, path: str) -> dict[str, Any]:
        assert self.settings.inbox_token is not None
        headers = {"authorization": f"Bearer {self.settings.inbox_token.get_secret_value()}"}
        response = httpx.get(f"{self.settings.inbox_url}{path}", headers=headers, timeout=PATIENCE_S)
        assert response.status_code == 200, response.text
        content: dict[str, Any] = response.json()
        return content

    def reported(self) -> set[tuple[str, str | None, str]]:
        statement = text("select provider, notification_id, kind from alerting.callbacks")
        with self.engine.connect() as connection:
            return {(row.provider, row.notification_id, row.kind) for row in connection.execute(statement)}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with embedded_ground(tmp_path_factory.mktemp("inbox"), ("postgres", "inbox")) as settings:
        engine = postgres_engine(settings)
        upgrade(engine)
        app = FastAPI()
        app.include_router(router)
        app.state.postgres_engine, app.state.clock, app.state.settings = engine, CLOCK, settings
        port = urlsplit(settings.api_url).port
        assert port is not None
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run)
        thread.start()
        yield Ground(settings, engine)
        server.should_exit = True
        thread.join(PATIENCE_S)
        engine.dispose()


def message(key: str, channel: str, address: str, content: Content, **more: Any) -> OutboundMessage:
    return OutboundMessage(key, channel, "con_1", Address(address), content, **more)


def deliver(ground: Ground, messages: Sequence[OutboundMessage]) -> Sequence[DeliveryResult]:
    async def run() -> Sequence[DeliveryResult]:
        channels: list[Channel] = build_channels(ground.settings, CLOCK)
        channel = next(each for each in channels if each.name == messages[0].channel)
        try:
            return await channel.deliver(messages)
        finally:
            for each in channels:
                await each.close()

    return asyncio.run(run())


def until_reported(ground: Ground, wanted: set[tuple[str, str | None, str]]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not wanted <= ground.reported():
        assert time.monotonic() < deadline, ground.reported()
        time.sleep(0.05)


def test_email__a_batch_arrives_and_its_outcomes_come_back(ground: Ground) -> None:
    words = [EmailContent(f"Margin call {n}", f"Health of {n}", f"<p>Health of {n}</p>") for n in range(3)]
    addresses = ("a@accounts.ballast.example", "b@bounce.example", "c@dropped.example")
    mails = [
        message(f"ntf_mail_{n}", "email", address, words[n], arguments={"margin_event_id": "mev_1"})
        for n, address in enumerate(addresses)
    ]
    results = deliver(ground, mails)
    assert all(isinstance(result, Accepted) for result in results), results
    received = [m for m in ground.inbox("/api/messages")["messages"] if m["channel"] == "email"]
    assert [(m["notification_id"], m["title"], m["content"], m["event_id"]) for m in received] == [
        (f"ntf_mail_{n}", f"Margin call {n}", f"Health of {n}", "mev_1") for n in range(3)
    ]
    until_reported(
        ground,
        {
            ("sendgrid", "ntf_mail_0", "delivered"),
            ("sendgrid", "ntf_mail_1", "bounce"),
            ("sendgrid", "ntf_mail_2", "dropped"),
        },
    )


def test_sms__arrives_once_and_its_outcome_comes_back(ground: Ground) -> None:
    sent = message("ntf_sms", "sms", "+12025550142", SmsContent("Margin call (simulated)"))
    [first] = deliver(ground, [sent])
    assert isinstance(first, Accepted), first
    again = message(
        "ntf_sms",
        "sms",
        "+12025550142",
        SmsContent("Margin call (simulated)"),
        may_have_arrived=True,
        first_planned_at=CLOCK.now() - timedelta(seconds=60),
    )
    [second] = deliver(ground, [again])
    assert isinstance(second, Accepted), second
    assert second.provider_message_id == first.provider_message_id
    received = [m for m in ground.inbox("/api/messages")["messages"] if m["channel"] == "sms"]
    assert [(m["message_key"], m["notification_id"]) for m in received] == [(first.provider_message_id, "ntf_sms")]
    until_reported(ground, {("twilio", "ntf_sms", "sent"), ("twilio", "ntf_sms", "delivered")})


def test_pagerduty__opens_and_resolves_an_incident(ground: Ground) -> None:
    for number, action in enumerate(("trigger", "resolve")):
        page = PageContent(action, "margin:acct-1:mep_1", "Margin call of acct-1", "critical", CLOCK.now())
        [result] = deliver(ground, [message(f"ntf_page_{number}", "pagerduty", "operators", page)])
        assert isinstance(result, Accepted), result
    [incident] = ground.inbox("/api/incidents")["incidents"]
    assert (incident["dedup_key"], incident["state"]) == ("margin:acct-1:mep_1", "resolved")


def test_webhook__of_the_operator_arrives(ground: Ground) -> None:
    settings = ground.settings
    assert settings.webhook_url is not None
    assert settings.webhook_secret is not None
    address = Address(settings.webhook_url, (settings.webhook_secret.get_secret_value(),), is_trusted=True)
    content = WebhookContent("margin.margin_call", CLOCK.now(), {"account_id": "acct-1", "severity": "margin_call"})
    [result] = deliver(ground, [OutboundMessage("ntf_hook", "webhook", "operator", address, content)])
    assert isinstance(result, Accepted), result
    received = [m for m in ground.inbox("/api/messages")["messages"] if m["channel"] == "webhook"]
    assert [(m["notification_id"], m["account_id"]) for m in received] == [("ntf_hook", "acct-1")]
