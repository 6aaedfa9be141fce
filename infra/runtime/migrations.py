"""Bringing a schema of PostgreSQL to its newest Alembic revision, from Python."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from infra.runtime.logs import get_logger

WAIT_S = 1.0
_log = get_logger(__name__)


def upgrade_schema(engine: Engine, schema: str, scripts: Path, advisory_lock: int) -> None:
    """Apply the revisions in `scripts` that `schema` lacks, in one transaction; safe from many processes at once.

    `advisory_lock` is a constant that no other schema uses: processes that start together take turns on it. The
    folder's `env.py` runs on the connection that it finds in the configuration's attributes.
    """
    with engine.begin() as connection:
        connection.execute(text("set local lock_timeout = '60s'"))
        connection.execute(text("set local statement_timeout = '60s'"))
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": advisory_lock})
        connection.execute(text(f"create schema if not exists {schema}"))
        config = Config()
        config.set_main_option("script_location", str(scripts))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def upgrade_when_up(upgrade: Callable[[], None], stop: threading.Event) -> bool:
    """Bring a schema up to date, waiting for PostgreSQL as long as needed; False when stopped before."""
    while not stop.is_set():
        try:
            upgrade()
        except OperationalError as error:
            _log.warning("waits_for_postgres", reason=type(error.orig).__name__)
            stop.wait(WAIT_S)
        else:
            return True
    return False
