"""Bringing a schema of PostgreSQL to its newest Alembic revision, from Python."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text


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
