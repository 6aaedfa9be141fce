"""From messages to the ledger: acknowledged only when durable, poison set aside, outages waited out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from alerting.events import MarginEvent
from alerting.ledger import Ledger
from alerting.planning import Planner, RecipientPlan
from infra.runtime.clock import FixedClock
from infra.runtime.pubsub import Ack, DeadLetter, Received, Retry

Make = Callable[..., MarginEvent]
States = Callable[..., list[str]]


def received(data: bytes) -> Received:
    return Received(data, {}, "m1", datetime(2026, 1, 31, tzinfo=UTC), "")


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def planner(ledger: Ledger, stop: threading.Event, woken: list[int] | None = None, *, webhook: bool = True) -> Planner:
    calls = woken if woken is not None else []
    return Planner(ledger, RecipientPlan(webhook), stop, lambda: calls.append(1))


def test_planner__acknowledges_what_is_in_the_ledger(
    ledger: Ledger, make_event: Make, states: States, stop: threading.Event
) -> None:
    woken: list[int] = []
    batch = [received(make_event(number).to_wire()) for number in (1, 2, 1)]
    plan = planner(ledger, stop, woken)
    assert plan(batch) == [Ack(), Ack(), Ack()]
    assert plan(batch) == [Ack(), Ack(), Ack()]
    assert states() == ["planned", "planned"]
    assert woken == [1]


def test_planner__without_a_webhook_records_why_nothing_is_sent(
    ledger: Ledger, make_event: Make, states: States, stop: threading.Event
) -> None:
    assert planner(ledger, stop, webhook=False)([received(make_event().to_wire())]) == [Ack()]
    assert states() == ["suppressed"]


def test_planner__sets_poison_aside_and_keeps_the_rest(
    ledger: Ledger, make_event: Make, states: States, stop: threading.Event
) -> None:
    good = make_event(1).to_wire()
    newer = json.dumps(json.loads(good) | {"schema_version": 2}).encode()
    unstorable = make_event(2, account_id="acc\x00").to_wire()
    outcomes = planner(ledger, stop)([received(data) for data in (b"{", good, newer, unstorable)])
    codes = [o.reason_code if isinstance(o, DeadLetter) else "ack" for o in outcomes]
    assert codes == [
        "margin_event_invalid",
        "ack",
        "margin_event_version_unknown",
        "margin_event_not_storable",
    ]
    assert states() == ["planned"]


class FailingLedger(Ledger):
    """A ledger that loses its database for the first calls."""

    failures = 2

    def plan(self, planned: object) -> int:
        if self.failures:
            self.failures -= 1
            raise OperationalError("insert", {}, Exception("server closed the connection"))
        return super().plan(planned)  # type: ignore[arg-type]


def test_planner__waits_for_postgres_instead_of_using_up_deliveries(
    engine: Engine, clock: FixedClock, make_event: Make, states: States, stop: threading.Event
) -> None:
    assert planner(FailingLedger(engine, clock), stop)([received(make_event().to_wire())]) == [Ack()]
    assert states() == ["planned"]


def test_planner__hands_messages_back_when_it_stops_during_an_outage(
    engine: Engine, clock: FixedClock, make_event: Make, states: States, stop: threading.Event
) -> None:
    ledger = FailingLedger(engine, clock)
    ledger.failures = 1_000
    stop.set()
    outcomes = planner(ledger, stop)([received(make_event().to_wire()), received(b"{")])
    assert isinstance(outcomes[0], Retry)
    assert isinstance(outcomes[1], DeadLetter)
    assert states() == []


def test_plan__seconds_count_from_detection(ledger: Ledger, make_event: Make, clock: FixedClock) -> None:
    clock.advance(timedelta(seconds=2))
    event = make_event()
    [planned] = RecipientPlan(True).notifications(event)
    ledger.plan([planned])
    assert ledger.claim(["webhook"], 1, timedelta(seconds=6))[0].message.detected_at == event.detected_at
