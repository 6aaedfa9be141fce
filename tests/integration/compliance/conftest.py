"""PostgreSQL with an empty schema `compliance` for each test."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from compliance.aml.gate import Gate
from infra.embedded.testing import embedded_ground
from infra.runtime.clock import FixedClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings
from tests.integration.compliance.emptied_schema import EmptiedSchema
from tests.integration.compliance.gate_world import Book, Lists, add_customer

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an embedded PostgreSQL, started once for a session."""
    with embedded_ground(tmp_path_factory.mktemp("compliance"), ("postgres",)) as settings:
        yield settings


@pytest.fixture(scope="session")
def session_engine(postgres_settings: Settings) -> Iterator[Engine]:
    """The engine of all tests here; what its schema holds is what the last test has left."""
    engine = postgres_engine(postgres_settings, "test")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def emptied(session_engine: Engine) -> EmptiedSchema:
    """Empties schema `compliance`."""
    return EmptiedSchema(session_engine)


@pytest.fixture
def engine(session_engine: Engine, emptied: EmptiedSchema) -> Engine:
    """An engine on an empty, migrated schema."""
    emptied.empty()
    return session_engine


@pytest.fixture(scope="module")
def migrated(session_engine: Engine, emptied: EmptiedSchema) -> Engine:
    """The same for a whole file whose tests roll back what they did."""
    emptied.empty()
    return session_engine


@pytest.fixture(scope="session")
def tls_context() -> ssl.SSLContext:
    """One context for all clients of this folder."""
    return ssl.create_default_context()


@pytest.fixture(scope="module", autouse=True)
def _authorities_are_read_once(tls_context: ssl.SSLContext) -> Iterator[None]:
    """Every client reads the authorities that it trusts anew, which takes longer than most tests; none speaks TLS."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", lambda *_, **__: tls_context)
        yield


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at noon."""
    return FixedClock(START)


@pytest.fixture
def lists() -> Lists:
    """Screening as the gate sees it, with one listed address."""
    return Lists()


@pytest.fixture
def gate(engine: Engine, clock: FixedClock, lists: Lists) -> Gate:
    """The gate with the shipped policy, a known customer and the commanded lists."""
    add_customer(engine, "acct-1")
    return Gate(engine, clock, Book(), lists)
