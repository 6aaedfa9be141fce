"""A database of one's own on a PostgreSQL that others use too: it takes less than a server."""

from __future__ import annotations

from pydantic import SecretStr
from sqlalchemy import make_url, text

from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings


def own_database(settings: Settings, name: str) -> Settings:
    """Settings of a new, empty database on the same server; `name` is a word."""
    engine = postgres_engine(settings, "test")
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(f"create database {name}"))
    engine.dispose()
    url = make_url(settings.postgres_url.get_secret_value()).set(database=name)
    return settings.model_copy(update={"postgres_url": SecretStr(url.render_as_string(hide_password=False))})
