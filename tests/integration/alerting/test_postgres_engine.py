"""The engine's limits, as PostgreSQL sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from infra.runtime.errors import SettingsError
from infra.runtime.postgres import PostgresClock, postgres_engine
from infra.runtime.settings import Settings


def test_engine__bounds_every_wait(postgres_settings: Settings) -> None:
    engine = postgres_engine(postgres_settings, "ballast-test")
    names = ("application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")
    with engine.connect() as connection:
        values: dict[str, str] = {name: connection.execute(text(f"show {name}")).scalar_one() for name in names}
    engine.dispose()
    assert values == {
        "application_name": "ballast-test",
        "statement_timeout": "15s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
        "timezone": "UTC",
    }


def test_engine__replaces_a_connection_that_the_server_dropped(postgres_settings: Settings) -> None:
    engine = postgres_engine(postgres_settings, pool_size=1)
    with engine.connect() as connection:
        pid: int = connection.execute(text("select pg_backend_pid()")).scalar_one()
    other = postgres_engine(postgres_settings)
    with other.begin() as connection:
        connection.execute(text("select pg_terminate_backend(:pid)"), {"pid": pid})
    other.dispose()
    with engine.connect() as connection:
        assert connection.execute(text("select 1")).scalar_one() == 1
    engine.dispose()


def test_engine__errors_hide_values(postgres_settings: Settings) -> None:
    engine = postgres_engine(postgres_settings)
    with pytest.raises(ProgrammingError) as raised, engine.connect() as connection:
        connection.execute(text("select * from nowhere where name = :name"), {"name": "Jane Roe"})
    engine.dispose()
    assert "Jane Roe" not in str(raised.value)


@pytest.mark.parametrize("url", ["nonsense", "sqlite:///x.db"])
def test_engine__refuses_another_database_without_telling_the_address(postgres_settings: Settings, url: str) -> None:
    settings = postgres_settings.model_copy(update={"postgres_url": SecretStr(url)})
    with pytest.raises(SettingsError, match="BALLAST_POSTGRES_URL") as raised:
        postgres_engine(settings)
    assert url not in str(raised.value)


def test_engine__errors_hide_the_password(postgres_settings: Settings) -> None:
    address = "postgresql+psycopg://ballast:hunter2-hunter2@127.0.0.1:1/ballast"
    engine = postgres_engine(postgres_settings.model_copy(update={"postgres_url": SecretStr(address)}))
    with pytest.raises(OperationalError) as raised:
        engine.connect()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("jump", "expected"),
    [
        (timedelta(0), timedelta(seconds=10)),
        (timedelta(hours=1), timedelta(hours=1, seconds=10)),
        (timedelta(hours=-1), timedelta(seconds=10)),
    ],
)
def test_postgres_clock__goes_on_where_the_servers_clock_is_set_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, jump: timedelta, expected: timedelta
) -> None:
    elapsed, offset = [0.0], [timedelta(0)]
    began = datetime(2026, 1, 31, 12, tzinfo=UTC)
    clock = PostgresClock(engine, lambda: elapsed[0])
    # PostgreSQL's clock is the machine's, which a test must not set.
    monkeypatch.setattr(clock, "_read", lambda: began + timedelta(seconds=elapsed[0]) + offset[0])
    assert clock.now() == began
    elapsed[0], offset[0] = 10.0, jump
    assert clock.now() == began + expected
    elapsed[0] = 11.0
    assert clock.now() == began + expected + timedelta(seconds=1)
