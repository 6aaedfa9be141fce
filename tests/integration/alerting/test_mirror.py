"""The mirror on real servers: nothing skipped, nothing doubled for readers, whatever commits late or is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from alerting.ledger import AlertEvent, PlannedNotification, store
from alerting.mirror import Mirror
from alerting.mirror_tables import ALERT_PREFERENCE_CHANGES, NOTIFICATION_EVENTS
from alerting.notices import INTERNAL_TOPIC, Kind
from infra.embedded.services import child_environment
from infra.embedded.state import StateFolder
from infra.runtime.bigquery import Appended, Warehouse
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError
from infra.runtime.settings import PROJECT_ROOT, Settings

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(600)]

PATIENCE_S = 120.0
# A process that is killed when its rows are in the warehouse and its cursor has not moved.
DIES_AFTER_APPEND = """
import os, signal
from alerting.mirror import Mirror
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import load_settings

class Dying(Warehouse):
    def append(self, table_id, rows, row_ids=None):
        super().append(table_id, rows, row_ids)
        os.kill(os.getpid(), signal.SIGKILL)

settings = load_settings()
Mirror(postgres_engine(settings), Dying(settings), SystemClock()).step()
"""


@dataclass
class Copy:
    """The warehouse of one test, emptied."""

    settings: Settings
    warehouse: Warehouse

    def states(self) -> list[int]:
        """Mirrored state ids, with repeats."""
        rows = self.warehouse.query("select state_id from raw.notification_events order by state_id")
        return [row["state_id"] for row in rows]


@pytest.fixture(scope="module")
def bigquery(new_project: Callable[..., Settings]) -> Settings:
    """A project with the raw tables."""
    return new_project("ballast-mirror")


@pytest.fixture
def copy(bigquery: Settings) -> Iterator[Copy]:
    made = Copy(bigquery, Warehouse(bigquery))
    for spec in (NOTIFICATION_EVENTS, ALERT_PREFERENCE_CHANGES):
        made.warehouse.query(f"delete from {spec.table_id} where true")
    yield made
    made.warehouse.client.close()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class WithoutRowIds:
    """Appends as BigQuery does when it does not notice a repeat."""

    warehouse: Warehouse

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        assert row_ids is not None
        assert len(set(row_ids)) == len(rows)
        return self.warehouse.append(table_id, rows)


def plan(connection: Connection, number: int, clock: FixedClock) -> str:
    """One event with one notification in the caller's transaction; returns the notification's id."""
    event = AlertEvent(
        event_id=f"evt_{number}",
        topic=INTERNAL_TOPIC,
        kind=Kind.MARGIN,
        rule="margin",
        account_id=f"acc-{number}",
        owner=f"acc-{number}",
        severity="margin_call",
        episode_id=f"mep_{number}",
        sequence=1,
        payload={},
        detected_at=clock.now() - timedelta(seconds=2),
    )
    planned = PlannedNotification(event.event_id, "sms", f"con_{number}")
    store(connection, [event], [planned], clock.now())
    return planned.notification_id


def plan_many(engine: Engine, numbers: Sequence[int], clock: FixedClock) -> None:
    for number in numbers:
        with engine.begin() as connection:
            plan(connection, number, clock)


def all_states(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        found = connection.execute(text("select state_id from alerting.notification_states order by state_id"))
        return list(found.scalars())


def drain(mirror: Mirror) -> None:
    while mirror.step().has_more:
        pass


def test_mirror__carries_all_that_is_known_of_a_step(engine: Engine, clock: FixedClock, copy: Copy) -> None:
    with engine.begin() as connection:
        notification_id = plan(connection, 1, clock)
    mirrored = clock.now() + timedelta(seconds=3)
    with closing(Mirror(engine, copy.warehouse, FixedClock(mirrored))) as mirror:
        done = mirror.step()
    assert (dict(done.rows), done.lag_s) == (
        {"notification_states": 1, "preference_changes": 0},
        {"notification_states": 0.0, "preference_changes": 0.0},
    )
    [row] = copy.warehouse.query("select * from raw.notification_events")
    assert row.pop("txid") > 0
    assert row == {
        "state_id": 1,
        "notification_id": notification_id,
        "event_id": "evt_1",
        "topic": INTERNAL_TOPIC,
        "kind": "margin",
        "rule": "margin",
        "account_id": "acc-1",
        "severity": "margin_call",
        "episode_id": "mep_1",
        "channel": "sms",
        "recipient": "con_1",
        "digest_id": None,
        "state": "planned",
        "at": clock.now(),
        "seconds_since_detected": Decimal(2),
        "detail": None,
        "provider_message_id": None,
        "detected_at": clock.now() - timedelta(seconds=2),
        "terminal_state": None,
        "mirrored_at": mirrored,
    }


def test_mirror__says_how_a_notification_has_ended(engine: Engine, clock: FixedClock, copy: Copy) -> None:
    with engine.begin() as connection:
        notification_id = plan(connection, 1, clock)
    with closing(Mirror(engine, copy.warehouse, clock)) as mirror:
        mirror.step()
        with engine.begin() as connection:
            connection.execute(text("update alerting.notifications set terminal_state = 'failed'"))
            connection.execute(
                text(
                    "insert into alerting.notification_states (notification_id, state, at, seconds_since_detected)"
                    " values (:id, 'failed', now(), 1)"
                ),
                {"id": notification_id},
            )
        mirror.step()
    rows = copy.warehouse.query("select state, terminal_state from raw.notification_events order by state_id")
    assert rows == [{"state": "planned", "terminal_state": None}, {"state": "failed", "terminal_state": "failed"}]


def test_mirror__waits_for_an_open_transaction_and_misses_nothing(
    engine: Engine, clock: FixedClock, copy: Copy
) -> None:
    """The first transaction draws its number and ids first, and commits last."""
    with closing(Mirror(engine, copy.warehouse, clock)) as mirror, engine.connect() as slow:
        transaction = slow.begin()
        plan(slow, 1, clock)
        plan_many(engine, [2, 3], clock)
        clock.advance(timedelta(seconds=5))
        held_back = mirror.step()
        assert (held_back.rows["notification_states"], copy.states()) == (0, [])
        assert held_back.lag_s["notification_states"] == 5.0
        plan(slow, 4, clock)
        transaction.commit()
        plan_many(engine, [5], clock)
        assert mirror.step().rows["notification_states"] == 5
        assert copy.states() == all_states(engine)
        assert mirror.step().rows["notification_states"] == 0


def test_mirror__goes_on_where_a_rolled_back_transaction_left_a_gap(
    engine: Engine, clock: FixedClock, copy: Copy
) -> None:
    with closing(Mirror(engine, copy.warehouse, clock)) as mirror:
        with engine.connect() as given_up:
            transaction = given_up.begin()
            plan(given_up, 1, clock)
            transaction.rollback()
        plan_many(engine, [2], clock)
        assert mirror.step().rows["notification_states"] == 1
    assert copy.states() == all_states(engine) != [1]


def test_mirror__takes_chunks_until_it_has_caught_up(engine: Engine, clock: FixedClock, copy: Copy) -> None:
    plan_many(engine, range(1, 8), clock)
    with closing(Mirror(engine, copy.warehouse, clock, chunk=3)) as mirror:
        steps = [mirror.step() for _ in range(4)]
    assert [(step.rows["notification_states"], step.has_more) for step in steps] == [
        (3, True),
        (3, True),
        (1, False),
        (0, False),
    ]
    assert copy.states() == all_states(engine)


def test_mirror__killed_between_append_and_cursor_repeats_and_loses_nothing(
    engine: Engine, postgres_settings: Settings, clock: FixedClock, copy: Copy, tmp_path: Path
) -> None:
    plan_many(engine, range(1, 6), clock)
    environment = child_environment(StateFolder(postgres_settings.state_dir), "mirror") | {
        "BALLAST_BIGQUERY_ENDPOINT": str(copy.settings.bigquery_endpoint),
        "BALLAST_BIGQUERY_TOKEN": _secret(copy.settings),
        "BALLAST_GCP_PROJECT": copy.settings.gcp_project,
    }
    done = subprocess.run(
        [sys.executable, "-c", DIES_AFTER_APPEND],
        cwd=PROJECT_ROOT,
        env=environment,
        timeout=PATIENCE_S,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert copy.states() == all_states(engine)
    plan_many(engine, [6], clock)
    with closing(Mirror(engine, WithoutRowIds(copy.warehouse), clock)) as mirror:
        _until_leader(mirror)
        drain(mirror)
    assert sorted(copy.states()) == sorted(all_states(engine) + all_states(engine)[:5])
    assert sorted(set(copy.states())) == all_states(engine)


def _secret(settings: Settings) -> str:
    assert settings.bigquery_token is not None
    return settings.bigquery_token.get_secret_value()


def _until_leader(mirror: Mirror) -> None:
    """The server notices the end of a killed process's session in its own time."""
    for _ in range(1_000):
        if not mirror.step().is_standby:
            return
    pytest.fail("the lock of a killed process is still held")


def test_mirror__one_works_and_the_other_takes_over(engine: Engine, clock: FixedClock, copy: Copy) -> None:
    first, second = (Mirror(engine, copy.warehouse, clock) for _ in range(2))
    with closing(second):
        with closing(first):
            assert not first.step().is_standby
            plan_many(engine, [1], clock)
            assert second.step().is_standby
            assert copy.states() == []
            assert second.lag_s()["notification_states"] == 0.0
            assert first.step().rows["notification_states"] == 1
            plan_many(engine, [2], clock)
        assert second.step().rows["notification_states"] == 1
    assert copy.states() == all_states(engine)


def test_mirror__that_loses_its_connection_takes_the_lock_again(engine: Engine, clock: FixedClock, copy: Copy) -> None:
    with closing(Mirror(engine, copy.warehouse, clock)) as mirror:
        mirror.step()
        plan_many(engine, [1], clock)
        with engine.begin() as connection:
            ended: int = connection.execute(
                text(
                    "select count(pg_terminate_backend(pid, 10000)) from pg_locks"
                    " where locktype = 'advisory' and granted and pid <> pg_backend_pid()"
                )
            ).scalar_one()
        assert ended == 1
        with pytest.raises(Exception, match=r"terminat|closed"):
            mirror.step()
        assert mirror.step().rows["notification_states"] == 1
    assert copy.states() == all_states(engine)


def test_mirror__warehouse_away_moves_no_cursor(engine: Engine, clock: FixedClock, copy: Copy) -> None:
    plan_many(engine, [1, 2], clock)
    away = Warehouse(copy.settings.model_copy(update={"bigquery_endpoint": "http://127.0.0.1:9"}), deadline_s=0.1)
    with closing(Mirror(engine, away, clock)) as mirror:
        for _ in range(2):
            with pytest.raises(NotReadyError):
                mirror.step()
        clock.advance(timedelta(minutes=6))
        assert mirror.lag_s()["notification_states"] == 360.0
    away.client.close()  # type: ignore[no-untyped-call]
    with closing(Mirror(engine, copy.warehouse, clock)) as mirror:
        assert mirror.step().rows["notification_states"] == 2
    assert copy.states() == all_states(engine)


def test_mirror__carries_changes_of_preferences(engine: Engine, clock: FixedClock, copy: Copy) -> None:
    insert = text(
        "insert into alerting.preference_changes (owner, at, action, changed_by, reason, before, after)"
        " values ('team:risk', :at, 'preferences_set', 'ops', 'first', null, cast(:after as jsonb))"
    )
    with engine.begin() as connection:
        connection.execute(insert, {"at": clock.now(), "after": '{"contacts": [{"hint": "j***@e***.com"}]}'})
    with closing(Mirror(engine, copy.warehouse, clock)) as mirror:
        assert mirror.step().rows["preference_changes"] == 1
        assert mirror.step().rows["preference_changes"] == 0
    [row] = copy.warehouse.query("select * from raw.alert_preference_changes")
    assert (row["change_id"], row["owner"], row["at"], row["before"]) == (1, "team:risk", clock.now(), None)
    assert row["after"] == '{"contacts": [{"hint": "j***@e***.com"}]}'
