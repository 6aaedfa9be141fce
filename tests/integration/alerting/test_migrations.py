"""The schema of the ledger as PostgreSQL has it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from alerting.events import MarginEvent
from alerting.ledger import Ledger, PlannedNotification
from alerting.migrations import upgrade
from alerting.tables import metadata


def test_upgrade__makes_what_the_tables_declare(engine: Engine) -> None:
    with engine.connect() as connection:
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == "alerting",
            "version_table_schema": "alerting",
            "compare_server_default": True,
        }
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_upgrade__may_run_again_and_at_the_same_time(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("drop schema alerting cascade"))
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(upgrade, engine) for _ in range(4)]:
            done.result()
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from alerting.alembic_version")).scalar_one() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "update alerting.notification_states set detail = 'other'",
        "delete from alerting.notification_states",
        "truncate alerting.notification_states",
        "truncate alerting.notifications cascade",
    ],
)
def test_history__cannot_be_changed(
    engine: Engine,
    ledger: Ledger,
    make_event: Callable[..., MarginEvent],
    states: Callable[..., list[str]],
    statement: str,
) -> None:
    ledger.plan([PlannedNotification(make_event(), "webhook", "operator")])
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    assert states() == ["planned"]


@pytest.mark.parametrize(
    "statement",
    [
        "update alerting.notifications set terminal_state = 'accepted'",
        "update alerting.notifications set next_attempt_at = null",
        "update alerting.notifications set terminal_state = 'planned', next_attempt_at = null",
    ],
)
def test_notifications__cannot_be_due_and_ended_at_once(
    engine: Engine, ledger: Ledger, make_event: Callable[..., MarginEvent], statement: str
) -> None:
    ledger.plan([PlannedNotification(make_event(), "webhook", "operator")])
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text(statement))
