"""The sending loop on a real ledger, over real HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from alerting.channels.base import Channel, DeliveryResult, OutboundMessage
from alerting.channels.webhook import WebhookChannel, WebhookEndpoint
from alerting.events import MarginEvent
from alerting.ledger import Ledger, PlannedNotification
from alerting.sender import Sender, SenderOptions
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import PostgresClock

SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
PATIENCE_S = 60.0
Make = Callable[..., MarginEvent]
States = Callable[..., list[str]]


@pytest.fixture
def live_ledger(engine: Engine) -> Ledger:
    """The ledger on the database's clock."""
    return Ledger(engine, PostgresClock(engine))


class Impatient(WebhookChannel):
    """The webhook channel with two retries that come at once."""

    retry_delays_s = (0.01, 0.02)  # type: ignore[assignment]


class Broken:
    """A channel with a defect."""

    name = "webhook"
    retry_delays_s: Sequence[float] = (0.01,)

    async def deliver(self, message: OutboundMessage) -> DeliveryResult:
        raise KeyError("defect")

    async def close(self) -> None:
        return None


def impatient(url: str, timeout_s: float = 10.0) -> Impatient:
    return Impatient({"operator": WebhookEndpoint(url, SECRET)}, SystemClock(), total_timeout_s=timeout_s)


def plan(ledger: Ledger, *events: MarginEvent) -> None:
    ledger.plan([PlannedNotification(event, "webhook", "operator") for event in events])


def run_until_done(ledger: Ledger, channel: Channel, options: SenderOptions | None = None) -> None:
    """Run a sender until nothing is pending."""
    stop = threading.Event()
    sender = Sender(ledger, [channel], options or SenderOptions(poll_s=0.05))
    thread = threading.Thread(target=lambda: asyncio.run(sender.run(stop)))
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while ledger.pending() and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert ledger.pending() == 0


def test_sender__delivers_each_once(live_ledger: Ledger, make_event: Make, receiver: Any, states: States) -> None:
    plan(live_ledger, *(make_event(number) for number in range(1, 41)))
    run_until_done(live_ledger, impatient(receiver.url))
    assert len(receiver.received) == len({r.headers["webhook-id"] for r in receiver.received}) == 40
    assert states("mev_7") == ["planned", "claimed", "sent", "accepted"]


def test_sender__retries_500_then_accepts(
    live_ledger: Ledger, make_event: Make, receiver: Any, answer: Any, states: States
) -> None:
    receiver.answers.put(answer(500))
    plan(live_ledger, make_event())
    run_until_done(live_ledger, impatient(receiver.url))
    assert states() == ["planned", "claimed", "sent", "failed", "claimed", "sent", "accepted"]


def test_sender__gives_up_after_the_last_retry(
    live_ledger: Ledger, make_event: Make, receiver: Any, answer: Any, engine: Engine
) -> None:
    for _ in range(4):
        receiver.answers.put(answer(503))
    plan(live_ledger, make_event())
    run_until_done(live_ledger, impatient(receiver.url))
    assert len(receiver.received) == 3
    with engine.connect() as connection:
        last = text("select detail from alerting.notification_states order by state_id desc limit 1")
        assert connection.execute(last).scalar_one() == "HTTP 503; no attempts left"


def test_sender__waits_as_long_as_the_provider_asks(
    live_ledger: Ledger, make_event: Make, receiver: Any, answer: Any, engine: Engine
) -> None:
    receiver.answers.put(answer(429, {"retry-after": "1"}))
    plan(live_ledger, make_event())
    run_until_done(live_ledger, impatient(receiver.url))
    with engine.connect() as connection:
        gap = text(
            "select (select at from alerting.notification_states where state = 'accepted')"
            " - (select at from alerting.notification_states where state = 'failed')"
        )
        assert connection.execute(gap).scalar_one() >= timedelta(seconds=1)


def test_sender__a_stalled_receiver_holds_up_nobody_else(
    live_ledger: Ledger, make_event: Make, receiver: Any, answer: Any, states: States
) -> None:
    receiver.answers.put(answer(stall=True))
    plan(live_ledger, *(make_event(number) for number in range(1, 6)))
    run_until_done(live_ledger, impatient(receiver.url, timeout_s=1.0), SenderOptions(concurrency=2, poll_s=0.05))
    assert sorted(states()).count("accepted") == 5
    assert sorted(states()).count("failed") == 1


def test_sender__renews_the_lease_of_a_slow_attempt(
    live_ledger: Ledger, make_event: Make, receiver: Any, answer: Any, states: States
) -> None:
    receiver.answers.put(answer(stall=True))
    plan(live_ledger, make_event())
    options = SenderOptions(lease=timedelta(seconds=1), poll_s=0.05)
    run_until_done(live_ledger, impatient(receiver.url, timeout_s=3.0), options)
    assert states() == ["planned", "claimed", "sent", "failed", "claimed", "sent", "accepted"]


def test_sender__a_defect_of_a_channel_ends_by_the_schedule(
    live_ledger: Ledger, make_event: Make, states: States
) -> None:
    plan(live_ledger, make_event())
    run_until_done(live_ledger, Broken())
    assert states() == ["planned", "claimed", "sent", "failed", "claimed", "sent", "failed"]


def test_sender__takes_over_from_a_worker_that_died(
    live_ledger: Ledger, make_event: Make, receiver: Any, states: States
) -> None:
    plan(live_ledger, make_event())
    [dead] = live_ledger.claim(["webhook"], 1, timedelta(milliseconds=300))
    live_ledger.begin_attempt(dead, timedelta(milliseconds=300))
    run_until_done(live_ledger, impatient(receiver.url))
    assert states() == ["planned", "claimed", "sent", "claimed", "sent", "accepted"]


def test_sender__wake_shortens_the_wait(live_ledger: Ledger, make_event: Make, receiver: Any) -> None:
    stop = threading.Event()
    sender = Sender(live_ledger, [impatient(receiver.url)], SenderOptions(poll_s=3600))
    sender.wake()
    thread = threading.Thread(target=lambda: asyncio.run(sender.run(stop)))
    thread.start()
    plan(live_ledger, make_event())
    deadline = time.monotonic() + PATIENCE_S
    while live_ledger.pending() and time.monotonic() < deadline:
        sender.wake()
        time.sleep(0.02)
    stop.set()
    sender.wake()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert len(receiver.received) == 1


def test_sender__outlives_an_outage_of_postgres(
    live_ledger: Ledger, make_event: Make, receiver: Any, engine: Engine
) -> None:
    plan(live_ledger, *(make_event(number) for number in range(1, 4)))
    stop = threading.Event()
    sender = Sender(live_ledger, [impatient(receiver.url)], SenderOptions(poll_s=0.05))
    with engine.begin() as connection:
        connection.execute(text("alter table alerting.notifications rename to away"))
    thread = threading.Thread(target=lambda: asyncio.run(sender.run(stop)))
    thread.start()
    time.sleep(0.3)
    with engine.begin() as connection:
        connection.execute(text("alter table alerting.away rename to notifications"))
    deadline = time.monotonic() + PATIENCE_S
    while live_ledger.pending() and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert len(receiver.received) == 3
