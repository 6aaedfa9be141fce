"""The ledger's promises: planned once, claimed once, taken over, never lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from alerting.channels.base import Accepted, Rejected, Retryable
from alerting.events import MarginEvent
from alerting.ledger import Claim, Ledger, PlannedNotification
from alerting.tables import notification_states, notifications
from infra.runtime.clock import FixedClock, SystemClock
from infra.runtime.postgres import PostgresClock

LEASE = timedelta(seconds=6)
Make = Callable[..., MarginEvent]
States = Callable[..., list[str]]


def planned(event: MarginEvent, recipient: str = "operator", reason: str | None = None) -> PlannedNotification:
    return PlannedNotification(event, "webhook", recipient, reason)


def claim(ledger: Ledger, limit: int = 10) -> list[Claim]:
    return ledger.claim(["webhook"], limit, LEASE)


def test_plan__counts_only_what_is_new(ledger: Ledger, make_event: Make, states: States) -> None:
    assert ledger.plan([planned(make_event(1)), planned(make_event(2))]) == 2
    assert ledger.plan([planned(make_event(2)), planned(make_event(3)), planned(make_event(3))]) == 1
    assert ledger.plan([]) == 0
    assert states() == ["planned"] * 3


def test_plan__one_event_may_have_several_recipients(ledger: Ledger, make_event: Make) -> None:
    assert ledger.plan([planned(make_event()), planned(make_event(), "desk")]) == 2
    assert {c.message.recipient for c in claim(ledger)} == {"operator", "desk"}


def test_plan__racing_planners_store_once(engine: Engine, make_event: Make, states: States) -> None:
    ledger = Ledger(engine, SystemClock())
    batch = [planned(make_event(number)) for number in range(1, 31)]
    with ThreadPoolExecutor(6) as pool:
        counts = list(pool.map(lambda turn: ledger.plan(batch if turn % 2 else batch[::-1]), range(6)))
    assert sum(counts) == 30
    assert states() == ["planned"] * 30


def test_plan__suppressed_is_recorded_and_never_sent(ledger: Ledger, make_event: Make, engine: Engine) -> None:
    ledger.plan([planned(make_event(), reason="nobody is configured")])
    assert claim(ledger) == []
    assert ledger.pending() == 0
    with engine.connect() as connection:
        row = connection.execute(select(notification_states)).mappings().one()
    assert (row["state"], row["detail"]) == ("suppressed", "nobody is configured")


def test_claim__is_exclusive_and_carries_the_event(ledger: Ledger, make_event: Make) -> None:
    ledger.plan([planned(make_event())])
    [held] = claim(ledger)
    assert claim(ledger) == []
    assert held.message.payload["health"] == "29.5"
    assert held.message.notification_id.startswith("ntf_")


def test_claim__respects_limit_and_order(ledger: Ledger, make_event: Make, clock: FixedClock) -> None:
    for number in (1, 2, 3):
        ledger.plan([planned(make_event(number))])
        clock.advance(timedelta(seconds=1))
    assert [c.message.payload["margin_event_id"] for c in claim(ledger, 2)] == ["mev_1", "mev_2"]
    assert [c.message.payload["margin_event_id"] for c in claim(ledger, 2)] == ["mev_3"]


def test_claim__leaves_other_channels_alone(ledger: Ledger, make_event: Make) -> None:
    ledger.plan([planned(make_event())])
    assert ledger.claim(["email"], 10, LEASE) == []
    assert ledger.claim([], 10, LEASE) == []
    assert len(claim(ledger)) == 1


def test_claim__many_workers_share_without_overlap(engine: Engine, make_event: Make) -> None:
    ledger = Ledger(engine, PostgresClock(engine))
    ledger.plan([planned(make_event(number)) for number in range(1, 101)])
    start = threading.Barrier(6)

    def work(_: int) -> list[str]:
        start.wait()
        taken: list[str] = []
        while claims := ledger.claim(["webhook"], 7, timedelta(minutes=5)):
            assert len(claims) <= 7
            taken += [c.message.notification_id for c in claims]
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [key for keys in pool.map(work, range(6)) for key in keys]
    # A worker may find every row locked and stop; nothing is taken twice, and the rest is still there.
    rest = [c.message.notification_id for c in ledger.claim(["webhook"], 100, timedelta(minutes=5))]
    assert len(taken + rest) == len(set(taken + rest)) == 100


def test_lease__a_dead_workers_claim_is_taken_over_after_it(
    ledger: Ledger, make_event: Make, clock: FixedClock, states: States
) -> None:
    ledger.plan([planned(make_event())])
    [dead] = claim(ledger)
    assert ledger.begin_attempt(dead, LEASE)
    clock.advance(LEASE - timedelta(milliseconds=1))
    assert claim(ledger) == []
    clock.advance(timedelta(milliseconds=1))
    [heir] = claim(ledger)
    assert heir.attempts == 1
    assert ledger.begin_attempt(heir, LEASE)
    ledger.record(heir, Accepted(), None)
    assert states() == ["planned", "claimed", "sent", "claimed", "sent", "accepted"]


def test_lease__renewal_keeps_it(ledger: Ledger, make_event: Make, clock: FixedClock) -> None:
    ledger.plan([planned(make_event())])
    [held] = claim(ledger)
    clock.advance(timedelta(seconds=5))
    ledger.renew([held], LEASE)
    clock.advance(timedelta(seconds=5))
    assert claim(ledger) == []
    ledger.renew([], LEASE)


def test_lease__a_lost_claim_can_neither_send_nor_renew_nor_decide(
    ledger: Ledger, make_event: Make, clock: FixedClock, engine: Engine
) -> None:
    ledger.plan([planned(make_event())])
    [lost] = claim(ledger)
    clock.advance(LEASE)
    [heir] = claim(ledger)
    assert not ledger.begin_attempt(lost, LEASE)
    ledger.record(lost, Rejected("HTTP 410"), None)
    clock.advance(LEASE)
    ledger.renew([lost], LEASE)
    assert len(claim(ledger)) == 1
    with engine.connect() as connection:
        details: list[str | None] = list(connection.execute(select(notification_states.c.detail)).scalars())
    assert "HTTP 410; final (claim lost)" in details
    assert heir.message == lost.message


def test_lease__a_late_acceptance_of_a_lost_claim_still_ends_it(
    ledger: Ledger, make_event: Make, clock: FixedClock
) -> None:
    ledger.plan([planned(make_event())])
    [lost] = claim(ledger)
    ledger.begin_attempt(lost, LEASE)
    clock.advance(LEASE)
    [heir] = claim(ledger)
    ledger.record(lost, Accepted(), None)
    assert not ledger.begin_attempt(heir, LEASE)
    assert ledger.pending() == 0


@pytest.mark.parametrize(
    ("result", "retry", "terminal", "history"),
    [
        (Accepted("HTTP 204", "SM1"), None, "accepted", "accepted"),
        (Rejected("HTTP 404"), None, "failed", "failed"),
        (Retryable("HTTP 500"), None, "failed", "failed"),
        (Retryable("HTTP 500"), timedelta(seconds=3), None, "failed"),
    ],
)
def test_record__ends_or_schedules(
    ledger: Ledger,
    make_event: Make,
    clock: FixedClock,
    engine: Engine,
    result: Accepted | Rejected | Retryable,
    retry: timedelta | None,
    terminal: str | None,
    history: str,
) -> None:
    ledger.plan([planned(make_event())])
    clock.advance(timedelta(seconds=1.5))
    [held] = claim(ledger)
    ledger.begin_attempt(held, LEASE)
    ledger.record(held, result, retry)
    with engine.connect() as connection:
        row = connection.execute(select(notifications)).mappings().one()
        last = list(connection.execute(select(notification_states).order_by("state_id")).mappings())[-1]
    assert (row["terminal_state"], row["attempts"], row["claim_token"]) == (terminal, 1, None)
    assert row["next_attempt_at"] == (clock.now() + retry if retry else None)
    assert (last["state"], float(last["seconds_since_detected"])) == (history, 1.5)
    assert last["provider_message_id"] == ("SM1" if isinstance(result, Accepted) else None)


def test_record__a_scheduled_retry_is_due_at_its_time(ledger: Ledger, make_event: Make, clock: FixedClock) -> None:
    ledger.plan([planned(make_event())])
    [held] = claim(ledger)
    ledger.begin_attempt(held, LEASE)
    ledger.record(held, Retryable("HTTP 500"), timedelta(seconds=3))
    clock.advance(timedelta(seconds=2.999))
    assert claim(ledger) == []
    clock.advance(timedelta(milliseconds=1))
    assert [c.attempts for c in claim(ledger)] == [1]


def test_postgres_clock__is_aware_utc(engine: Engine) -> None:
    assert PostgresClock(engine).now().utcoffset() == timedelta(0)
