"""Delivery rates on a real ledger: what counts, and that each episode is announced once, whoever looks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, text

from alerting.ledger import AlertEvent, PlannedNotification, store
from alerting.notices import INTERNAL_TOPIC, Kind
from alerting.rates import MIN_ENDED, RateStatus, RateWatch, measure
from infra.runtime.clock import FixedClock
from infra.runtime.ids import stable_id

HOUR, DAY = timedelta(hours=1), timedelta(hours=24)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def watch(engine: Engine, clock: FixedClock, *, has_pagerduty: bool = True, has_webhook: bool = True) -> RateWatch:
    channels = {"email", "sms", "webhook"} | ({"pagerduty"} if has_pagerduty else set())
    return RateWatch(engine, clock, channels=channels, has_webhook=has_webhook)


def plan(
    engine: Engine,
    numbers: Sequence[int],
    at: datetime,
    ended_as: str | None = "accepted",
    *,
    channel: str = "sms",
    kind: Kind = Kind.MARGIN,
    due_at: datetime | None = None,
    sent_at: datetime | None = None,
    attempts: int = 0,
) -> None:
    """Notifications planned at a time, and how they ended; None: they are pending, tried at `sent_at` or never."""
    events = [
        AlertEvent(
            event_id=f"{kind}_{channel}_{number}",
            topic=INTERNAL_TOPIC,
            kind=kind,
            rule="margin",
            account_id="a",
            owner="a",
            severity="margin_call",
            episode_id="e",
            sequence=number,
            payload={},
            detected_at=at,
        )
        for number in numbers
    ]
    planned = [
        PlannedNotification(
            event.event_id, channel, "con_1", due_at, suppressed_reason="no" if ended_as == "suppressed" else None
        )
        for event in events
    ]
    keys = [item.notification_id for item in planned]
    with engine.begin() as connection:
        store(connection, events, planned, at)
        if ended_as is not None:
            connection.execute(text("delete from alerting.pending where notification_id = any(:keys)"), {"keys": keys})
            connection.execute(
                text("update alerting.notifications set terminal_state = :state where notification_id = any(:keys)"),
                {"keys": keys, "state": ended_as},
            )
        connection.execute(
            text("update alerting.pending set attempts = :attempts where notification_id = any(:keys)"),
            {"keys": keys, "attempts": attempts},
        )
        if sent_at is not None:
            connection.execute(
                text(
                    "insert into alerting.notification_states (notification_id, state, at, seconds_since_detected)"
                    " select key, 'sent', :at, 1 from unnest(cast(:keys as text[])) as key"
                ),
                {"keys": keys, "at": sent_at},
            )


def end_all(engine: Engine, state: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("delete from alerting.pending where channel = 'sms'"))
        connection.execute(
            text("update alerting.notifications set terminal_state = :state where channel = 'sms'"), {"state": state}
        )


def counts(engine: Engine, now: datetime, channel: str = "sms", window: timedelta = HOUR) -> tuple[int, int]:
    """Ended and failed."""
    with engine.connect() as connection:
        found = {(rate.channel, rate.window): rate for rate in measure(connection, now)}
    rate = found[channel, window]
    return rate.ended, rate.failed


def announced(engine: Engine) -> list[tuple[str, str, str, str]]:
    """Severity, channel and recipient of the notifications of rates, and what the ledger says of their end."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "select e.severity, n.channel, n.recipient, coalesce(n.terminal_state, 'pending') as state"
                " from alerting.events e join alerting.notifications n using (event_id)"
                " where e.kind = 'delivery_rate' order by e.sequence, n.channel"
            )
        )
        return [tuple(row) for row in rows]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ended_as": "accepted"}, (1, 0)),
        ({"ended_as": "delivered"}, (1, 0)),
        ({"ended_as": "failed"}, (1, 1)),
        ({"ended_as": "suppressed"}, (0, 0)),
        ({"ended_as": "failed", "kind": Kind.TEST}, (0, 0)),
        ({"ended_as": "failed", "kind": Kind.VERIFICATION}, (0, 0)),
        ({"ended_as": "failed", "kind": Kind.COMPLIANCE}, (1, 1)),
        ({"ended_as": "failed", "at": NOW - timedelta(minutes=61)}, (0, 0)),
        # Pending for two minutes is a failure until it ends, tried or not.
        ({"ended_as": None, "at": NOW - timedelta(seconds=121)}, (1, 1)),
        ({"ended_as": None, "at": NOW - timedelta(seconds=119)}, (0, 0)),
        (
            {
                "ended_as": None,
                "at": NOW - timedelta(seconds=121),
                "sent_at": NOW - timedelta(seconds=120),
                "due_at": NOW + timedelta(seconds=30),
                "attempts": 3,
            },
            (1, 1),
        ),
        # Held by quiet hours or for a digest.
        ({"ended_as": None, "at": NOW - timedelta(minutes=50), "due_at": NOW + timedelta(hours=7)}, (0, 0)),
        # The provider refused everybody and the attempt did not count: that is no hold.
        (
            {
                "ended_as": None,
                "at": NOW - timedelta(minutes=50),
                "due_at": NOW + timedelta(hours=1),
                "sent_at": NOW - timedelta(minutes=50),
            },
            (1, 1),
        ),
        # Held until just now, and since then too long.
        ({"ended_as": None, "at": NOW - timedelta(minutes=50), "due_at": NOW - timedelta(seconds=60)}, (0, 0)),
        ({"ended_as": None, "at": NOW - timedelta(minutes=50), "due_at": NOW - timedelta(seconds=121)}, (1, 1)),
        (
            {
                "ended_as": None,
                "at": NOW - timedelta(minutes=50),
                "due_at": NOW + timedelta(seconds=3),
                "sent_at": NOW - timedelta(seconds=5),
                "attempts": 1,
            },
            (0, 0),
        ),
    ],
)
def test_measure__counts_what_ended_or_should_have(
    engine: Engine, changes: dict[str, Any], expected: tuple[int, int]
) -> None:
    plan(engine, [1], **({"at": NOW - timedelta(minutes=1)} | changes))
    assert counts(engine, NOW) == expected


def test_measure__what_fell_out_of_the_queue_is_a_failure(engine: Engine) -> None:
    plan(engine, [1], NOW - timedelta(minutes=5), None)
    with engine.begin() as connection:
        connection.execute(text("delete from alerting.pending"))
    assert counts(engine, NOW) == (1, 1)


def test_measure__channels_and_windows_stand_by_themselves(engine: Engine) -> None:
    plan(engine, range(1, 4), NOW - timedelta(minutes=10), "failed")
    plan(engine, range(4, 9), NOW - timedelta(hours=3), "accepted")
    plan(engine, range(9, 11), NOW - timedelta(hours=25), "failed")
    plan(engine, [1], NOW - timedelta(minutes=10), "accepted", channel="email")
    assert counts(engine, NOW) == (3, 3)
    assert counts(engine, NOW, window=DAY) == (8, 3)
    assert counts(engine, NOW, "email") == counts(engine, NOW, "email", DAY) == (1, 0)
    assert counts(engine, NOW, "webhook") == (0, 0)


def test_watch__announces_an_episode_once_and_its_end(engine: Engine, clock: FixedClock) -> None:
    plan(engine, range(1, 41), clock.now() - timedelta(minutes=5), "failed")
    for _ in range(3):
        watch(engine, clock).look()
        clock.advance(timedelta(seconds=15))
    opened = [("warning", "pagerduty", "operators", "pending"), ("warning", "webhook", "operator", "pending")]
    assert announced(engine) == opened
    end_all(engine, "delivered")
    for _ in range(3):
        watch(engine, clock).look()
        clock.advance(timedelta(seconds=15))
    assert announced(engine) == [
        *opened,
        ("recovered", "pagerduty", "operators", "pending"),
        ("recovered", "webhook", "operator", "pending"),
    ]
    end_all(engine, "failed")
    watch(engine, clock).look()
    with engine.connect() as connection:
        rows = connection.execute(
            text("select event_id, episode_id, sequence from alerting.events where kind = 'delivery_rate' order by 3")
        ).all()
        keys = set(connection.execute(text("select ordering_key from alerting.pending where channel = 'pagerduty'")))
    assert [(row.event_id, row.sequence) for row in rows] == [
        (stable_id("drv", "sms", number), number) for number in (1, 2, 3)
    ]
    assert rows[0].episode_id == rows[1].episode_id != rows[2].episode_id
    assert keys == {("delivery-rate:sms",)}


def test_watch__few_are_unknown_and_announce_nothing(engine: Engine, clock: FixedClock) -> None:
    plan(engine, range(MIN_ENDED - 1), clock.now() - timedelta(minutes=5), "failed")
    rates, decided = watch(engine, clock).look()
    assert {(each.rate_pct, each.status) for each in rates} == {(None, RateStatus.UNKNOWN)}
    assert len(rates) == 6
    assert (decided, announced(engine)) == ([], [])


def test_watch__records_that_nobody_is_paged_without_pagerduty(engine: Engine, clock: FixedClock) -> None:
    plan(engine, range(MIN_ENDED), clock.now() - timedelta(minutes=5), "failed")
    watch(engine, clock, has_pagerduty=False, has_webhook=False).look()
    assert announced(engine) == [("warning", "pagerduty", "operators", "suppressed")]
    with engine.connect() as connection:
        reason: str = connection.execute(
            text("select detail from alerting.notification_states where state = 'suppressed'")
        ).scalar_one()
    assert reason == "PagerDuty is not configured"


def test_watch__several_at_once_announce_once(engine: Engine, clock: FixedClock) -> None:
    plan(engine, range(MIN_ENDED), clock.now() - timedelta(minutes=5), "failed")
    count = 4
    together = Barrier(count)
    failures: list[Exception] = []

    def look() -> None:
        together.wait(60)
        try:
            watch(engine, clock).look()
        except Exception as error:
            failures.append(error)

    threads = [Thread(target=look) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(announced(engine)) == 2


def test_look__tells_the_team_that_wants_it(engine: Engine, clock: FixedClock) -> None:
    with engine.begin() as connection:
        for name, channel in (("con_mail", "email"), ("con_fax", "webhook")):
            connection.execute(
                text(
                    "insert into alerting.contacts (contact_id, owner, channel, origin, role, position, address_sealed,"
                    " address_hint, fingerprint, severities, status, created_at, updated_at)"
                    " values (:name, 'team:risk', :channel, 'preference', 'primary', 1, '', '', :name, :severities,"
                    " 'verified', :now, :now)"
                ),
                {
                    "name": name,
                    "channel": channel,
                    "severities": None if channel == "email" else ["liquidation"],
                    "now": NOW,
                },
            )
    plan(engine, range(MIN_ENDED), NOW - timedelta(minutes=5), "failed")
    watch(engine, clock).look()
    with engine.connect() as connection:
        told = connection.execute(
            text("select recipient from alerting.notifications where event_id like 'rate%' or rule = 'delivery_rate'")
        ).scalars()
        assert set(told) == {"operator", "operators", "con_mail"}
