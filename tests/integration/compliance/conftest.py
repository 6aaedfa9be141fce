"""PostgreSQL with a fresh schema `compliance` for each test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from compliance.migrations import upgrade
from infra.embedded.testing import embedded_ground
from infra.runtime.clock import FixedClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One PostgreSQL for all tests of this folder."""
    with embedded_ground(tmp_path_factory.mktemp("compliance"), ("postgres",)) as settings:
        yield settings


@pytest.fixture
def engine(postgres_settings: Settings) -> Iterator[Engine]:
    """An engine on an empty, migrated schema."""
    engine = postgres_engine(postgres_settings, "test")
    with engine.begin() as connection:
        connection.execute(text("drop schema if exists compliance cascade"))
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at noon."""
    return FixedClock(START)
