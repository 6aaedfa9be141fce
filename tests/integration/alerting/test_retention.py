"""What PostgreSQL forgets: ended, old and mirrored, never anything else; and its tables stay as large as they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from alerting.ledger import AlertEvent, PlannedNotification, store
from alerting.notices import INTERNAL_TOPIC, Kind
from alerting.retention import Retention
from infra.runtime.clock import FixedClock

KEEP = timedelta(days=35)
TABLES = (
    "events",
    "notifications",
    "notification_states",
    "pending",
    "callbacks",
    "escalations",
    "acknowledgements",
    "verifications",
    "silences",
)
CONTACT = """
insert into alerting.contacts
    (contact_id, owner, channel, origin, role, position, address_sealed, address_hint, fingerprint, status, created_at,
    updated_at)
values ('con_1', 'a', 'email', 'preference', 'primary', 1, 'x', 'j***', 'f', 'verified', :at, :at)
on conflict do nothing
"""


def plan(connection: Connection, number: int, at: datetime, kind: Kind = Kind.MARGIN, sequence: int = 1) -> str:
    """One event with one notification, pending; returns the notification's id."""
    event = AlertEvent(
        event_id=f"evt_{number}",
        topic=INTERNAL_TOPIC,
        kind=kind,
        rule="margin",
        account_id="a" if kind is Kind.MARGIN else None,
        owner="a",
        severity="margin_call",
        episode_id=f"mep_{number}",
        sequence=sequence,
        payload={"channel": "sms"},
        detected_at=at,
    )
    planned = PlannedNotification(event.event_id, "sms", "con_1")
    store(connection, [event], [planned], at)
    return planned.notification_id


def end(connection: Connection, notification_id: str, at: datetime, state: str = "accepted") -> None:
    connection.execute(text("delete from alerting.pending where notification_id = :id"), {"id": notification_id})
    connection.execute(
        text("update alerting.notifications set terminal_state = :state where notification_id = :id"),
        {"id": notification_id, "state": state},
    )
    connection.execute(
        text(
            "insert into alerting.notification_states (notification_id, state, at, seconds_since_detected)"
            " values (:id, :state, :at, 1)"
        ),
        {"id": notification_id, "state": state, "at": at},
    )


def mirrored(engine: Engine) -> None:
    """As if the mirror had caught up, and a later transaction with it."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into alerting.mirror_progress (stream, txid)"
                " values ('notification_states', cast(cast(pg_current_xact_id() as text) as bigint))"
                " on conflict (stream) do update set txid = excluded.txid"
            )
        )


def sizes(engine: Engine) -> Mapping[str, int]:
    with engine.connect() as connection:
        return {
            table: connection.execute(text(f"select count(*) from alerting.{table}")).scalar_one() for table in TABLES
        }


def kept(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(text("select event_id from alerting.notifications")).scalars())


def test_retention__tables_stay_as_large_as_they_are(engine: Engine, clock: FixedClock) -> None:
    """Twenty notifications every ten days, over more than a year."""
    retention = Retention(engine, clock, KEEP, chunk=7)
    seen: list[Mapping[str, int]] = []
    for step in range(40):
        with engine.begin() as connection:
            connection.execute(text(CONTACT), {"at": clock.now()})
            for number in range(step * 20, step * 20 + 20):
                notification_id = plan(connection, number, clock.now())
                end(connection, notification_id, clock.now())
                _extras(connection, number, notification_id, clock.now())
        mirrored(engine)
        retention.run()
        seen.append(sizes(engine))
        clock.advance(timedelta(days=10))
    # Four steps lie within 35 days.
    full = {
        "events": 80,
        "notifications": 80,
        "notification_states": 160,
        "pending": 0,
        "callbacks": 80,
        "escalations": 80,
        "acknowledgements": 80,
        "verifications": 80,
        "silences": 80,
    }
    assert seen[3:] == [full] * 37


def _extras(connection: Connection, number: int, notification_id: str, at: datetime) -> None:
    values = {"id": f"x_{number}", "event": f"evt_{number}", "notification": notification_id, "at": at}
    for statement in (
        "insert into alerting.callbacks (callback_id, provider, notification_id, kind, received_at)"
        " values (:id, 'twilio', :notification, 'delivered', :at)",
        "insert into alerting.escalations (event_id, episode_id, due_at, closed_at, outcome)"
        " values (:event, 'mep', :at, :at, 'accepted')",
        "insert into alerting.acknowledgements (notification_id, event_id, at, acknowledged_by)"
        " values (:notification, :event, :at, 'ops')",
        "insert into alerting.verifications (verification_id, contact_id, created_at, expires_at)"
        " values (:id, 'con_1', :at, :at)",
        "insert into alerting.silences"
        " (silence_id, owner, severities, starts_at, ends_at, reason, created_by, created_at)"
        " values (:id, 'a', '{margin_call}', cast(:at as timestamptz) - interval '1 hour', :at, 'test', 'ops', :at)",
    ):
        connection.execute(text(statement), values)


def test_retention__keeps_what_is_pending_young_or_not_mirrored(engine: Engine, clock: FixedClock) -> None:
    start = clock.now()
    with engine.begin() as connection:
        plan(connection, 1, start)
        end(connection, plan(connection, 2, start), start)
        # Reported on only yesterday.
        end(connection, plan(connection, 3, start), start + timedelta(days=39))
    mirrored(engine)
    with engine.begin() as connection:
        end(connection, plan(connection, 4, start), start)
    clock.advance(timedelta(days=40))
    deleted = Retention(engine, clock, KEEP).run()
    assert kept(engine) == {"evt_1", "evt_3", "evt_4"}
    assert (deleted["notifications"], deleted["notification_states"], deleted["events"]) == (1, 2, 1)
    mirrored(engine)
    Retention(engine, clock, KEEP).run()
    assert kept(engine) == {"evt_1", "evt_3"}


def test_retention__deletes_nothing_while_nothing_was_mirrored(engine: Engine, clock: FixedClock) -> None:
    with engine.begin() as connection:
        notification_id = plan(connection, 1, clock.now())
        end(connection, notification_id, clock.now())
    clock.advance(timedelta(days=400))
    Retention(engine, clock, KEEP).run()
    assert kept(engine) == {"evt_1"}
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("delete from alerting.notification_states"))


def test_retention__keeps_open_escalations_and_running_silences(engine: Engine, clock: FixedClock) -> None:
    start = clock.now()
    with engine.begin() as connection:
        end(connection, plan(connection, 1, start), start)
        connection.execute(
            text("insert into alerting.escalations (event_id, episode_id, due_at) values ('evt_1', 'mep_1', :at)"),
            {"at": start},
        )
        connection.execute(
            text(
                "insert into alerting.silences"
                " (silence_id, owner, severities, starts_at, ends_at, reason, created_by, created_at)"
                " values ('s', 'a', '{margin_call}', :at, cast(:at as timestamptz) + interval '60 days', 'r', 'o', :at)"
            ),
            {"at": start},
        )
    mirrored(engine)
    clock.advance(timedelta(days=40))
    Retention(engine, clock, KEEP).run()
    found = sizes(engine)
    assert (found["notifications"], found["events"], found["escalations"], found["silences"]) == (1, 1, 1, 1)


def test_retention__keeps_the_last_event_of_each_delivery_rate(engine: Engine, clock: FixedClock) -> None:
    """It is all that says whether an episode is open."""
    with engine.begin() as connection:
        for number in (1, 2, 3):
            notification_id = plan(connection, number, clock.now(), Kind.DELIVERY_RATE, sequence=number)
            end(connection, notification_id, clock.now())
    mirrored(engine)
    clock.advance(timedelta(days=40))
    Retention(engine, clock, KEEP).run()
    assert kept(engine) == {"evt_3"}
    assert sizes(engine)["events"] == 1


def test_retention__stops_between_chunks(engine: Engine, clock: FixedClock) -> None:
    with engine.begin() as connection:
        for number in range(6):
            end(connection, plan(connection, number, clock.now()), clock.now())
    mirrored(engine)
    clock.advance(timedelta(days=40))
    answers = iter([False, True])
    Retention(engine, clock, KEEP, chunk=2).run(lambda: next(answers, True))
    assert len(kept(engine)) == 4
