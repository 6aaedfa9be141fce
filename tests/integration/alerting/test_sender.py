"""The sending loop on a real ledger, over real HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from alerting.channels.base import (
    Accepted,
    Channel,
    ChannelLimits,
    DeliveryResult,
    OutboundMessage,
    Rejected,
    Retryable,
)
from alerting.channels.guard import AddressGuard
from alerting.channels.webhook import WebhookChannel
from alerting.claims import Claims
from alerting.composing import Composer
from alerting.events import MarginEvent
from alerting.metrics import WorkerMetrics
from alerting.rendering.renderer import Renderer
from alerting.sender import Sender, SenderHooks, SenderOptions
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import PostgresClock

SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
PATIENCE_S = 60.0
Make = Callable[..., MarginEvent]
Record = Callable[..., set[str]]
States = Callable[..., list[str]]


class Impatient(WebhookChannel):
    """The webhook channel with two retries that come at once."""

    retry_delays_s = (0.01, 0.02)


@dataclass
class Scripted:
    """A channel whose answers are written down; what it was asked to deliver is kept."""

    answers: list[DeliveryResult | Exception] = field(default_factory=list)
    name: str = "webhook"
    limits: ChannelLimits = field(default_factory=lambda: ChannelLimits(concurrency=8, breaker_faults=None))
    retry_delays_s: Sequence[float] = (0.01, 0.02)
    batches: list[list[OutboundMessage]] = field(default_factory=list)

    async def deliver(self, messages: Sequence[OutboundMessage]) -> Sequence[DeliveryResult]:
        self.batches.append(list(messages))
        results: list[DeliveryResult] = []
        for _ in messages:
            answer = self.answers.pop(0) if self.answers else Accepted()
            if isinstance(answer, Exception):
                raise answer
            results.append(answer)
        return results

    async def close(self) -> None:
        return None


@dataclass
class Told:
    """What the sender told others."""

    disabled: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@pytest.fixture
def live_claims(engine: Engine) -> Claims:
    """Claims on the database's clock."""
    return Claims(engine, PostgresClock(engine))


def composer(url: str | None = "http://127.0.0.1:9/hook") -> Composer:
    return Composer(Renderer("http://app.example", "http://api.example", Decimal(35)), None, url, SECRET)


def impatient(timeout_s: float = 10.0) -> Impatient:
    return Impatient(SystemClock(), guard=AddressGuard(()), total_timeout_s=timeout_s)


def make_sender(
    claims: Claims, channel: Channel, url: str | None, options: SenderOptions | None, told: Told | None = None
) -> Sender:
    kept = told or Told()
    hooks = SenderHooks(lambda contact, reason: kept.disabled.append((contact, reason)), kept.failed.extend)
    chosen = options or SenderOptions(poll_s=0.05)
    return Sender(claims, [channel], composer(url), SystemClock(), WorkerMetrics(), hooks, chosen)


def run_until_done(
    claims: Claims,
    channel: Channel,
    url: str | None = "http://127.0.0.1:9/hook",
    options: SenderOptions | None = None,
    told: Told | None = None,
) -> None:
    """Run a sender until nothing is pending."""
    stop = threading.Event()
    sender = make_sender(claims, channel, url, options, told)
    thread = threading.Thread(target=lambda: asyncio.run(sender.run(stop)))
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while claims.pending() and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert claims.pending() == 0


def details(engine: Engine) -> list[str | None]:
    with engine.connect() as connection:
        statement = text("select detail from alerting.notification_states order by state_id")
        return list(connection.execute(statement).scalars())


def test_sender__delivers_each_once(
    live_claims: Claims, record: Record, make_event: Make, receiver: Any, states: States
) -> None:
    record(*(make_event(number) for number in range(1, 201)))
    run_until_done(live_claims, impatient(), receiver.url)
    assert len(receiver.received) == len({r.headers["webhook-id"] for r in receiver.received}) == 200
    assert states("mev_7") == ["planned", "claimed", "sent", "accepted"]


def test_sender__retries_500_then_accepts(
    live_claims: Claims, record: Record, make_event: Make, receiver: Any, answer: Any, states: States
) -> None:
    receiver.answers.put(answer(500))
    record(make_event())
    run_until_done(live_claims, impatient(), receiver.url)
    assert states() == ["planned", "claimed", "sent", "failed", "claimed", "sent", "accepted"]


def test_sender__gives_up_after_the_last_retry_and_says_so(
    live_claims: Claims, record: Record, make_event: Make, receiver: Any, answer: Any, engine: Engine
) -> None:
    for _ in range(4):
        receiver.answers.put(answer(503))
    record(make_event())
    told = Told()
    run_until_done(live_claims, impatient(), receiver.url, told=told)
    assert len(receiver.received) == 3
    assert details(engine)[-1] == "HTTP 503; no attempts left"
    assert told.failed == ["mev_1"]


def test_sender__waits_as_long_as_the_provider_asks(
    live_claims: Claims, record: Record, make_event: Make, receiver: Any, answer: Any, engine: Engine
) -> None:
    receiver.answers.put(answer(429, {"retry-after": "1"}))
    record(make_event())
    run_until_done(live_claims, impatient(), receiver.url)
    with engine.connect() as connection:
        gap = text(
            "select (select at from alerting.notification_states where state = 'accepted')"
            " - (select at from alerting.notification_states where state = 'failed')"
        )
        assert connection.execute(gap).scalar_one() >= timedelta(seconds=1)


def test_sender__a_stalled_receiver_holds_up_nobody_else(
    live_claims: Claims, record: Record, make_event: Make, receiver: Any, answer: Any, states: States
) -> None:
    receiver.answers.put(answer(stall=True))
    record(*(make_event(number) for number in range(1, 6)))
    run_until_done(live_claims, impatient(timeout_s=1.0), receiver.url)
    assert states().count("accepted") == 5
    assert states().count("failed") == 1


def test_sender__renews_the_lease_of_a_slow_attempt(
    live_claims: Claims, record: Record, make_event: Make, receiver: Any, answer: Any, states: States
) -> None:
    receiver.answers.put(answer(stall=True))
    record(make_event())
    options = SenderOptions(lease=timedelta(seconds=1), poll_s=0.05)
    run_until_done(live_claims, impatient(timeout_s=3.0), receiver.url, options)
    assert states() == ["planned", "claimed", "sent", "failed", "claimed", "sent", "accepted"]


def test_sender__a_defect_of_a_channel_ends_by_the_schedule(
    live_claims: Claims, record: Record, make_event: Make, states: States, engine: Engine
) -> None:
    record(make_event())
    run_until_done(live_claims, Scripted([KeyError("a"), KeyError("b"), KeyError("c")]))
    assert states() == ["planned", *["claimed", "sent", "failed"] * 3]
    assert details(engine)[-1] == "defect of the channel (KeyError); no attempts left"


def test_sender__takes_over_from_a_worker_that_died_and_says_that_it_may_have_arrived(
    live_claims: Claims, record: Record, make_event: Make, states: States
) -> None:
    record(make_event())
    live_claims.claim("webhook", 1, timedelta(milliseconds=300))
    channel = Scripted()
    run_until_done(live_claims, channel)
    assert states() == ["planned", "claimed", "sent", "claimed", "sent", "accepted"]
    [[message]] = channel.batches
    assert (message.attempt, message.may_have_arrived) == (2, True)


def test_sender__batches_as_many_as_the_channel_takes(live_claims: Claims, record: Record, make_event: Make) -> None:
    record(*(make_event(number) for number in range(1, 121)))
    channel = Scripted(limits=ChannelLimits(concurrency=2, max_batch=50))
    run_until_done(live_claims, channel)
    assert max(len(batch) for batch in channel.batches) == 50
    sent = [message.notification_id for batch in channel.batches for message in batch]
    assert len(sent) == len(set(sent)) == 120


def test_sender__a_pause_that_the_provider_asks_for_holds_the_whole_channel(
    live_claims: Claims, record: Record, make_event: Make, engine: Engine
) -> None:
    record(*(make_event(number) for number in range(1, 4)))
    refused = Retryable("HTTP 429", timedelta(seconds=1), pauses_channel=True, is_fault=False, counts=False)
    run_until_done(live_claims, Scripted([refused], limits=ChannelLimits(concurrency=1)))
    with engine.connect() as connection:
        found = connection.execute(text("select state, min(at) from alerting.notification_states group by state"))
        times = {row.state: row.min for row in found}
        attempts = connection.execute(text("select max(detail) from alerting.notification_states where state = 'sent'"))
        assert attempts.scalar_one() == "attempt 1"
    assert times["accepted"] - times["failed"] >= timedelta(seconds=1)


def test_sender__an_open_breaker_claims_nothing_until_its_probe_succeeds(
    live_claims: Claims, record: Record, make_event: Make, states: States
) -> None:
    record(*(make_event(number) for number in range(1, 21)))
    limits = ChannelLimits(concurrency=1, breaker_faults=3, breaker_open_s=0.5)
    channel = Scripted([Retryable("HTTP 500")] * 3, limits=limits, retry_delays_s=(0.01,) * 9)
    run_until_done(live_claims, channel)
    assert states().count("failed") == 3
    assert states().count("accepted") == 20


def test_sender__a_receiver_that_is_gone_is_told_of(live_claims: Claims, record: Record, make_event: Make) -> None:
    record(make_event())
    told = Told()
    run_until_done(live_claims, Scripted([Rejected("HTTP 410", disables_recipient=True)]), told=told)
    assert told == Told([("operator", "HTTP 410")], ["mev_1"])


def test_sender__what_has_no_words_fails_for_good_with_the_reason(
    live_claims: Claims, record: Record, make_event: Make, engine: Engine
) -> None:
    record(make_event())
    with engine.begin() as connection:
        connection.execute(text("update alerting.events set payload = payload - 'collateral_usd'"))
    channel = Scripted()
    run_until_done(live_claims, channel)
    assert channel.batches == []
    assert str(details(engine)[-1]).startswith("template_failed: ")


def test_sender__a_contact_that_is_gone_gets_nothing(
    live_claims: Claims, record: Record, make_event: Make, engine: Engine
) -> None:
    record(make_event(), recipient="ct_removed")
    channel = Scripted()
    run_until_done(live_claims, channel)
    assert channel.batches == []
    assert details(engine)[-1] == "the contact is unknown now"


def test_sender__waits_for_an_address_instead_of_losing_the_alert(
    live_claims: Claims, record: Record, make_event: Make, engine: Engine
) -> None:
    record(make_event())
    stop = threading.Event()
    sender = make_sender(live_claims, Scripted(), None, None)
    thread = threading.Thread(target=lambda: asyncio.run(sender.run(stop)))
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while "BALLAST_WEBHOOK_URL" not in str(details(engine)[-1]) and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(PATIENCE_S)
    with engine.connect() as connection:
        row = connection.execute(text("select attempts, due_at > now() as waits from alerting.pending")).one()
    assert tuple(row) == (0, True)


def test_sender__wake_shortens_the_wait(live_claims: Claims, record: Record, make_event: Make) -> None:
    stop = threading.Event()
    channel = Scripted()
    sender = make_sender(live_claims, channel, "http://127.0.0.1:9/hook", SenderOptions(poll_s=3600))
    sender.wake()
    thread = threading.Thread(target=lambda: asyncio.run(sender.run(stop)))
    thread.start()
    record(make_event())
    deadline = time.monotonic() + PATIENCE_S
    while live_claims.pending() and time.monotonic() < deadline:
        sender.wake()
        time.sleep(0.02)
    stop.set()
    sender.wake()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert len(channel.batches) == 1


def test_sender__outlives_an_outage_of_postgres(
    live_claims: Claims, record: Record, make_event: Make, engine: Engine
) -> None:
    record(*(make_event(number) for number in range(1, 4)))
    stop = threading.Event()
    channel = Scripted()
    sender = make_sender(live_claims, channel, "http://127.0.0.1:9/hook", None)
    with engine.begin() as connection:
        connection.execute(text("alter table alerting.pending rename to away"))
    thread = threading.Thread(target=lambda: asyncio.run(sender.run(stop)))
    thread.start()
    time.sleep(0.3)
    with engine.begin() as connection:
        connection.execute(text("alter table alerting.away rename to pending"))
    deadline = time.monotonic() + PATIENCE_S
    while live_claims.pending() and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert sum(len(batch) for batch in channel.batches) == 3


def test_sender__insists_on_recording_what_was_accepted(
    live_claims: Claims, record: Record, make_event: Make, states: States, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(make_event())
    losses = iter([True, True])
    recorded = live_claims.record

    def losing(outcomes: Any) -> None:
        if next(losses, False):
            raise_away()
        recorded(outcomes)

    monkeypatch.setattr(live_claims, "record", losing)
    channel = Scripted()
    run_until_done(live_claims, channel)
    assert states() == ["planned", "claimed", "sent", "accepted"]
    assert len(channel.batches) == 1


def raise_away() -> None:
    raise OperationalError("update", {}, Exception("server closed the connection"))
