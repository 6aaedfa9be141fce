"""What the demo reads of the ledger, and the table that it prints."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.console import Console
from sqlalchemy import Engine, text

from alerting.migrations.apply import upgrade
from infra.embedded.demo.ledger import Told, progress, told
from infra.embedded.demo.tables import told_table
from infra.embedded.testing import embedded_ground
from infra.runtime.postgres import postgres_engine

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVENT = text(
    "insert into alerting.events (event_id, topic, kind, rule, owner, severity, episode_id, sequence, payload,"
    " detected_at, received_at) values (:id, :topic, 'margin', 'margin', 'acct-1', 'margin_call', 'mep_1', 1, '{}',"
    " :at, :at)"
)
NOTIFICATION = text(
    "insert into alerting.notifications (notification_id, event_id, channel, recipient, severity, episode_id,"
    " detected_at, created_at, terminal_state) values (:id, :event, :channel, :id, 'margin_call', 'mep_1', :at, :at,"
    " :state)"
)
STATE = text(
    "insert into alerting.notification_states (notification_id, state, at, seconds_since_detected)"
    " values (:id, :state, :at, :seconds)"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with embedded_ground(tmp_path_factory.mktemp("demo"), ("postgres",)) as settings:
        engine = postgres_engine(settings)
        upgrade(engine)
        yield engine
        engine.dispose()


def test_told__counts_states_and_takes_the_first_acceptance(engine: Engine) -> None:
    since = START - timedelta(seconds=1)
    rows = [
        ("n1", "e1", "email", "delivered", [("accepted", "0.5"), ("accepted", "9"), ("delivered", "1")]),
        ("n2", "e1", "email", "accepted", [("accepted", "1.5")]),
        ("n3", "e2", "email", "accepted", [("failed", "1"), ("accepted", "3.25")]),
        ("n4", "e1", "sms", "suppressed", [("suppressed", "0.1")]),
        ("n5", "e2", "sms", None, [("planned", "0.1")]),
        ("n6", "old", "sms", "failed", [("failed", "0.1")]),
        ("n7", "other", "email", "failed", [("failed", "0.1")]),
    ]
    with engine.begin() as connection:
        for name, topic, at in (
            ("e1", "alerts.margin.v1", START),
            ("e2", "alerts.margin.v1", START),
            ("e3", "alerts.margin.v1", START),
            ("old", "alerts.margin.v1", START - timedelta(days=1)),
            ("other", "compliance.events.v1", START),
        ):
            connection.execute(EVENT, {"id": name, "topic": topic, "at": at})
        for key, event, channel, state, states in rows:
            connection.execute(
                NOTIFICATION, {"id": key, "event": event, "channel": channel, "state": state, "at": START}
            )
            for name, seconds in states:
                connection.execute(STATE, {"id": key, "state": name, "at": START, "seconds": Decimal(seconds)})
    assert progress(engine, since) == (3, 1)
    found = told(engine, since)
    assert found == [
        Told("email", 2, 1, 0, 0, 0, Decimal("1.500"), Decimal("3.250")),
        Told("sms", 0, 0, 1, 0, 1, None, None),
    ]
    console = Console(width=150)
    with console.capture() as shown:
        console.print(told_table(found))
    assert "1.50 s" in shown.get()
    assert "3.25 s" in shown.get()


def test_progress__of_an_empty_ledger_is_nothing(engine: Engine) -> None:
    assert progress(engine, START + timedelta(days=1)) == (0, 0)
    assert told(engine, START + timedelta(days=1)) == []
