"""The ledger's promises: what is recorded is recorded once, and what is suppressed is never sent."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from alerting.claims import Claims
from alerting.events import MarginEvent
from alerting.ledger import PlannedNotification, store, suppress_pending
from alerting.planning import margin_alert
from alerting.tables import notification_states, notifications
from infra.runtime.clock import FixedClock, SystemClock
from infra.runtime.postgres import PostgresClock

LEASE = timedelta(seconds=6)
Make = Callable[..., MarginEvent]
Record = Callable[..., set[str]]
States = Callable[..., list[str]]


def test_store__returns_only_what_is_new(record: Record, make_event: Make, states: States) -> None:
    assert len(record(make_event(1), make_event(2))) == 2
    assert len(record(make_event(2), make_event(3), make_event(3))) == 1
    assert record() == set()
    assert states() == ["planned"] * 3


def test_store__one_event_may_have_several_recipients(record: Record, make_event: Make, claims: Claims) -> None:
    record(make_event())
    record(make_event(), recipient="desk")
    assert {claim.recipient for claim in claims.claim("webhook", 10, LEASE)} == {"operator", "desk"}


def test_store__racing_planners_store_once(engine: Engine, make_event: Make, states: States) -> None:
    alerts = [margin_alert(make_event(number)) for number in range(1, 31)]
    batch = [PlannedNotification(alert.event_id, "webhook", "operator") for alert in alerts]

    def run(turn: int) -> int:
        order = 1 if turn % 2 else -1
        with engine.begin() as connection:
            return len(store(connection, alerts[::order], batch[::order], SystemClock().now()))

    with ThreadPoolExecutor(6) as pool:
        counts = list(pool.map(run, range(6)))
    assert sum(counts) == 30
    assert states() == ["planned"] * 30


def test_store__suppressed_is_recorded_and_never_sent(
    record: Record, make_event: Make, claims: Claims, engine: Engine
) -> None:
    record(make_event(), suppressed_reason="nobody is configured")
    assert claims.claim("webhook", 10, LEASE) == []
    assert claims.pending() == 0
    with engine.connect() as connection:
        row = connection.execute(select(notification_states)).mappings().one()
    assert (row["state"], row["detail"]) == ("suppressed", "nobody is configured")


def test_store__seconds_count_from_detection(
    record: Record, make_event: Make, clock: FixedClock, engine: Engine
) -> None:
    clock.advance(timedelta(seconds=2.5))
    record(make_event())
    with engine.connect() as connection:
        assert float(connection.execute(select(notification_states.c.seconds_since_detected)).scalar_one()) == 2.5


@pytest.mark.parametrize("is_claimed", [False, True])
def test_suppress_pending__leaves_what_somebody_sends_now(
    record: Record, make_event: Make, claims: Claims, clock: FixedClock, engine: Engine, is_claimed: bool
) -> None:
    [key] = record(make_event())
    if is_claimed:
        claims.claim("webhook", 1, LEASE)
    with engine.begin() as connection:
        ended = suppress_pending(connection, {key: "inhibited"}, clock.now())
        ended_again = suppress_pending(connection, {key: "inhibited"}, clock.now())
    assert (ended, ended_again) == (set() if is_claimed else {key}, set())
    with engine.connect() as connection:
        state = connection.execute(select(notifications.c.terminal_state)).scalar_one()
    assert state == (None if is_claimed else "suppressed")


def test_postgres_clock__is_aware_utc(engine: Engine) -> None:
    assert PostgresClock(engine).now().utcoffset() == timedelta(0)
