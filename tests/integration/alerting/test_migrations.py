"""The schema of the ledger as PostgreSQL has it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from alerting import contact_tables
from alerting.events import MarginEvent
from alerting.migrations import apply, upgrade
from alerting.tables import metadata


def test_upgrade__makes_what_the_tables_declare(engine: Engine) -> None:
    assert contact_tables.contacts.metadata is metadata
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
    ],
)
def test_history__cannot_be_changed(
    engine: Engine,
    record: Callable[..., set[str]],
    make_event: Callable[..., MarginEvent],
    states: Callable[..., list[str]],
    statement: str,
) -> None:
    record(make_event())
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    assert states() == ["planned"]


def test_history__may_go_once_it_stands_in_the_warehouse(
    engine: Engine,
    record: Callable[..., set[str]],
    make_event: Callable[..., MarginEvent],
    states: Callable[..., list[str]],
) -> None:
    record(make_event())
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into alerting.mirror_progress (stream, txid) select 'notification_states', max(txid) + 1"
                " from alerting.notification_states"
            )
        )
        connection.execute(text("delete from alerting.notification_states"))
    assert states() == []


def test_upgrade__keeps_the_ledger_of_the_version_before(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("drop schema alerting cascade"))
    _upgrade_to(engine, "0002")
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into alerting.notifications (notification_id, margin_event_id, channel, recipient, account_id,"
                " severity, episode_id, payload, detected_at, created_at, attempts, next_attempt_at, terminal_state)"
                " select 'ntf_' || state, 'mev_' || state, 'webhook', 'operator', 'acc-1', 'margin_call', 'mep_1',"
                " jsonb_build_object('transition_number', 3), now(), now(), 1,"
                " case when state = 'open' then now() end, case when state = 'accepted' then state end"
                " from (values ('open'), ('accepted')) as given (state)"
            )
        )
    upgrade(engine)
    with engine.connect() as connection:
        queued = connection.execute(
            text("select notification_id, attempts, is_unknown, sequence from alerting.pending")
        )
        assert [tuple(row) for row in queued] == [("ntf_open", 1, True, 3)]
        known = connection.execute(text("select event_id, kind, owner from alerting.events order by event_id"))
        assert [tuple(row) for row in known] == [("mev_accepted", "margin", "acc-1"), ("mev_open", "margin", "acc-1")]


def _upgrade_to(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("create schema alerting"))
        config = Config()
        config.set_main_option("script_location", str(Path(apply.__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
