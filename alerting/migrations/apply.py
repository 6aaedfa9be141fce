"""Bringing schema `alerting` to the newest revision."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from alerting.tables import SCHEMA

# Any constant that no other migration uses: processes that start together take turns on it.
ADVISORY_LOCK = 0x616C657274


def upgrade(engine: Engine) -> None:
    """Apply what is missing, in one transaction; safe to call from many processes at once."""
    with engine.begin() as connection:
        connection.execute(text("set local lock_timeout = '60s'"))
        connection.execute(text("set local statement_timeout = '60s'"))
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        connection.execute(text(f"create schema if not exists {SCHEMA}"))
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
