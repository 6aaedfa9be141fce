"""PostgreSQL engines with bounded waits, and the database's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError

from infra.runtime.clock import as_utc
from infra.runtime.errors import SettingsError
from infra.runtime.logs import get_logger
from infra.runtime.settings import Settings

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 15
LOCK_TIMEOUT_S = 10
POOL_TIMEOUT_S = 10
CLOCK_SYNC_S = 5.0
# Less is the difference of two clocks that run at their own pace.
CLOCK_SET_BACK = timedelta(seconds=1)
_log = get_logger(__name__)


def postgres_engine(
    settings: Settings, application_name: str = "ballast", pool_size: int = 5, *, pre_ping: bool = True
) -> Engine:
    """An engine on `settings.postgres_url`; it connects at first use, not here.

    Every wait has a limit: 5 s to connect, 10 s for a pooled connection or a lock, 15 s for a statement; a connection
    that the server dropped is replaced before use, unless `pre_ping` is off: a round trip less for callers that try
    again anyway. Raises `SettingsError` for an address that is not PostgreSQL's.
    """
    return create_engine(
        _address(settings),
        pool_pre_ping=pre_ping,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_TIMEOUT_S,
        pool_recycle=1800,
        # Values can be personal data, and errors end up in logs.
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": application_name,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": STATEMENT_TIMEOUT_S * 1000,
            "options": (
                f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c lock_timeout={LOCK_TIMEOUT_S}s "
                "-c idle_in_transaction_session_timeout=60s -c timezone=UTC"
            ),
        },
    )


def _address(settings: Settings) -> URL:
    try:
        url = make_url(settings.postgres_url.get_secret_value())
    except ArgumentError:
        raise SettingsError("BALLAST_POSTGRES_URL is no database address; give postgresql://user@host/db.") from None
    if url.get_backend_name() != "postgresql":
        raise SettingsError(f"BALLAST_POSTGRES_URL names {url.get_backend_name()!r}; Ballast needs PostgreSQL.")
    return url.set(drivername="postgresql+psycopg")


class PostgresClock:
    """The database server's clock: one time for all processes that share its leases.

    It is read every `CLOCK_SYNC_S` and carried on by this process's monotonic clock, so that `now` seldom costs a
    round trip. It is exact to the duration of one round trip. Where the server's clock is set back, this one goes on
    from where it was: what was due stays due. Safe to use from several threads.
    """

    def __init__(self, engine: Engine, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._synced: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        synced = self._synced
        if synced is None or self._monotonic() - synced[1] > CLOCK_SYNC_S:
            read = self._read()
            at = self._monotonic()
            known = read if synced is None else synced[0] + timedelta(seconds=at - synced[1])
            if known - read > CLOCK_SET_BACK:
                _log.warning("database_clock_set_back", seconds=round((known - read).total_seconds(), 1))
            synced = self._synced = (max(read, known), at)
        return synced[0] + timedelta(seconds=self._monotonic() - synced[1])

    def _read(self) -> datetime:
        with self._engine.connect() as connection:
            at: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
        return as_utc(at)
