"""Claims: one worker at a time, taken over after its death, recorded whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from alerting.claims import Claim, Claims, Outcome, OutcomeKind
from alerting.events import MarginEvent
from alerting.tables import notification_states, notifications, pending
from infra.runtime.clock import FixedClock
from infra.runtime.postgres import PostgresClock

LEASE = timedelta(seconds=6)
Make = Callable[..., MarginEvent]
Record = Callable[..., set[str]]
States = Callable[..., list[str]]


def take(claims: Claims, limit: int = 10, **more: Any) -> list[Claim]:
    return claims.claim("webhook", limit, LEASE, **more)


def test_claim__is_exclusive_and_carries_the_event(record: Record, make_event: Make, claims: Claims) -> None:
    record(make_event())
    [held] = take(claims)
    assert take(claims) == []
    assert held.row["payload"]["health"] == "29.5"
    assert (held.attempt, held.may_have_arrived, held.kind) == (1, False, "margin")


def test_claim__respects_limit_and_order(record: Record, make_event: Make, claims: Claims, clock: FixedClock) -> None:
    for number in (1, 2, 3):
        record(make_event(number))
        clock.advance(timedelta(seconds=1))
    assert {claim.row["event_id"] for claim in take(claims, 2)} == {"mev_1", "mev_2"}
    assert [claim.row["event_id"] for claim in take(claims, 2)] == ["mev_3"]


def test_claim__waits_for_the_due_time(record: Record, make_event: Make, claims: Claims, clock: FixedClock) -> None:
    record(make_event(), due_at=clock.now() + timedelta(minutes=1))
    assert take(claims) == []
    clock.advance(timedelta(minutes=1))
    assert len(take(claims)) == 1


def test_claim__leaves_other_channels_alone(record: Record, make_event: Make, claims: Claims) -> None:
    record(make_event())
    assert claims.claim("email", 10, LEASE) == []
    assert take(claims, 0) == []
    assert len(take(claims)) == 1


def test_claim__the_same_ordering_key_goes_in_sequence(record: Record, make_event: Make, claims: Claims) -> None:
    for number in (2, 1):
        record(make_event(number), ordering_key="pd_1")
    record(make_event(3), ordering_key="pd_2")
    first = {claim.row["event_id"]: claim for claim in take(claims)}
    assert set(first) == {"mev_1", "mev_3"}
    assert take(claims) == []
    claims.record([Outcome(first["mev_1"], OutcomeKind.FAILED, "HTTP 400; final")])
    assert [claim.row["event_id"] for claim in take(claims)] == ["mev_2"]


def test_claim__many_workers_share_without_overlap(engine: Engine, record: Record, make_event: Make) -> None:
    claims = Claims(engine, PostgresClock(engine))
    record(*(make_event(number) for number in range(1, 101)))
    start = threading.Barrier(6)

    def work(_: int) -> list[str]:
        start.wait()
        taken: list[str] = []
        while found := claims.claim("webhook", 7, timedelta(minutes=5)):
            assert len(found) <= 7
            taken += [claim.notification_id for claim in found]
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [key for keys in pool.map(work, range(6)) for key in keys]
    # A worker may find every row locked and stop; nothing is taken twice, and the rest is still there.
    rest = [claim.notification_id for claim in claims.claim("webhook", 100, timedelta(minutes=5))]
    assert len(taken + rest) == len(set(taken + rest)) == 100


def test_ceiling__holds_for_all_workers_together(
    record: Record, make_event: Make, engine: Engine, clock: FixedClock
) -> None:
    record(*(make_event(number) for number in range(1, 61)))
    workers = [Claims(engine, clock), Claims(engine, clock)]
    taken = []
    for second in range(4):
        taken.append(sum(len(take(worker, 100, per_second=10.0)) for worker in workers))
        clock.advance(timedelta(seconds=1 if second else 0.5))
    assert taken == [10, 5, 10, 10]


def test_lease__a_dead_workers_claim_is_taken_over_after_it(
    record: Record, make_event: Make, claims: Claims, clock: FixedClock, states: States
) -> None:
    record(make_event())
    take(claims)
    clock.advance(LEASE - timedelta(milliseconds=1))
    assert take(claims) == []
    clock.advance(timedelta(milliseconds=1))
    [heir] = take(claims)
    assert (heir.attempt, heir.may_have_arrived) == (2, True)
    claims.record([Outcome(heir, OutcomeKind.ACCEPTED)])
    assert states() == ["planned", "claimed", "sent", "claimed", "sent", "accepted"]


def test_lease__renewal_keeps_it(record: Record, make_event: Make, claims: Claims, clock: FixedClock) -> None:
    record(make_event())
    [held] = take(claims)
    clock.advance(timedelta(seconds=5))
    claims.renew([held], LEASE)
    clock.advance(timedelta(seconds=5))
    assert take(claims) == []
    claims.renew([], LEASE)


def test_lease__a_lost_claim_can_neither_renew_nor_decide(
    record: Record, make_event: Make, claims: Claims, clock: FixedClock, engine: Engine
) -> None:
    record(make_event())
    [lost] = take(claims)
    clock.advance(LEASE)
    take(claims)
    claims.record([Outcome(lost, OutcomeKind.FAILED, "HTTP 410; final")])
    clock.advance(LEASE)
    claims.renew([lost], LEASE)
    assert len(take(claims)) == 1
    with engine.connect() as connection:
        details: list[str | None] = list(connection.execute(select(notification_states.c.detail)).scalars())
    assert "HTTP 410; final (claim lost)" in details


def test_lease__a_late_acceptance_of_a_lost_claim_still_ends_it(
    record: Record, make_event: Make, claims: Claims, clock: FixedClock, engine: Engine
) -> None:
    record(make_event())
    [lost] = take(claims)
    clock.advance(LEASE)
    [heir] = take(claims)
    claims.record([Outcome(lost, OutcomeKind.ACCEPTED, None, "SM1")])
    assert claims.pending() == 0
    claims.record([Outcome(heir, OutcomeKind.FAILED, "HTTP 500; no attempts left")])
    with engine.connect() as connection:
        assert connection.execute(select(notifications.c.terminal_state)).scalar_one() == "accepted"


@pytest.mark.parametrize(
    ("kind", "wait", "terminal", "history"),
    [
        (OutcomeKind.ACCEPTED, None, "accepted", "accepted"),
        (OutcomeKind.FAILED, None, "failed", "failed"),
        (OutcomeKind.SUPPRESSED, None, "suppressed", "suppressed"),
        (OutcomeKind.RETRY, timedelta(seconds=3), None, "failed"),
    ],
)
def test_record__ends_or_schedules(
    record: Record,
    make_event: Make,
    claims: Claims,
    clock: FixedClock,
    engine: Engine,
    kind: OutcomeKind,
    wait: timedelta | None,
    terminal: str | None,
    history: str,
) -> None:
    record(make_event())
    clock.advance(timedelta(seconds=1.5))
    [held] = take(claims)
    again_at: datetime | None = clock.now() + wait if wait else None
    sid = "SM1" if kind is OutcomeKind.ACCEPTED else None
    claims.record([Outcome(held, kind, "HTTP", sid, again_at)])
    with engine.connect() as connection:
        row = connection.execute(select(notifications)).mappings().one()
        queued = connection.execute(select(pending)).mappings().one_or_none()
        last = list(connection.execute(select(notification_states).order_by("state_id")).mappings())[-1]
    assert (row["terminal_state"], row["provider_message_id"]) == (terminal, sid)
    assert (queued is None) is (terminal is not None)
    if queued is not None:
        assert (queued["attempts"], queued["claim_token"], queued["due_at"]) == (1, None, again_at)
    assert (last["state"], float(last["seconds_since_detected"])) == (history, 1.5)
    assert last["provider_message_id"] == sid


def test_record__a_retry_is_due_at_its_time_and_knows_what_is_unknown(
    record: Record, make_event: Make, claims: Claims, clock: FixedClock
) -> None:
    record(make_event())
    [held] = take(claims)
    again_at = clock.now() + timedelta(seconds=3)
    claims.record([Outcome(held, OutcomeKind.RETRY, "no answer", again_at=again_at, is_unknown=True)])
    clock.advance(timedelta(seconds=2.999))
    assert take(claims) == []
    clock.advance(timedelta(milliseconds=1))
    [again] = take(claims)
    assert (again.attempt, again.may_have_arrived) == (2, True)


def test_record__what_was_not_attempted_uses_up_no_attempt(
    record: Record, make_event: Make, claims: Claims, clock: FixedClock
) -> None:
    record(make_event())
    [held] = take(claims)
    claims.record([Outcome(held, OutcomeKind.RETRY, "HTTP 429", again_at=clock.now(), counts=False)])
    [again] = take(claims)
    assert (again.attempt, again.may_have_arrived) == (1, False)


@pytest.mark.parametrize(("channel", "is_inhibited"), [("email", True), ("webhook", False)])
def test_claim__a_retried_call_is_inhibited_by_a_liquidation_meanwhile(
    record: Record,
    make_event: Make,
    claims: Claims,
    clock: FixedClock,
    states: States,
    channel: str,
    is_inhibited: bool,
) -> None:
    record(make_event(1), channel=channel)
    [call] = claims.claim(channel, 10, LEASE)
    record(make_event(2, severity="liquidation"), channel=channel)
    claims.record([Outcome(call, OutcomeKind.RETRY, "HTTP 500", again_at=clock.now())])
    by_event = {claim.row["event_id"]: claim for claim in claims.claim(channel, 10, LEASE)}
    assert by_event["mev_1"].row["is_inhibited"] is is_inhibited
    assert not by_event["mev_2"].row["is_inhibited"]
    sent_again = [] if is_inhibited else ["sent"]
    assert states("mev_1") == ["planned", "claimed", "sent", "failed", "claimed", *sent_again]


def test_ceiling__a_clock_behind_that_of_another_worker_waits(
    record: Record, make_event: Make, engine: Engine, clock: FixedClock
) -> None:
    record(*(make_event(number) for number in range(1, 31)))
    behind = FixedClock(clock.now() - timedelta(seconds=3))
    assert len(take(Claims(engine, clock), 100, per_second=10.0)) == 10
    assert take(Claims(engine, behind), 100, per_second=10.0) == []
