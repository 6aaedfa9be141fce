"""Signs of life: a row for each process in PostgreSQL that it renews, by which others see whether it still works.

A beat is written by a thread of its own, at most once a second: work never waits for PostgreSQL, and goes on without
it. Ages are told by the database's clock alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from infra.runtime.clock import as_utc
from infra.runtime.logs import get_logger
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings

EVERY_S = 1.0
DETAIL_CHARACTERS = 500
# How long `close` waits for a last beat to be written.
CLOSE_TIMEOUT_S = 2.0
_log = get_logger(__name__)

# The table is made by alerting's migrations. A beat of a process that has been replaced may come late: it changes
# nothing. Beats of one process differ by less than a second where the database answers one sooner than another.
_UPSERT = text(
    "insert into platform.heartbeats (name, beat_at, detail, problem)"
    " values (:name, clock_timestamp() - make_interval(secs => :age_s), :detail, :problem)"
    " on conflict (name) do update"
    " set beat_at = greatest(heartbeats.beat_at, excluded.beat_at),"
    " detail = excluded.detail, problem = excluded.problem"
    " where heartbeats.beat_at <= excluded.beat_at + interval '1 second'"
)
_READ = text(
    "select name, beat_at, detail, problem, extract(epoch from clock_timestamp() - beat_at)::float8 as age_s"
    " from platform.heartbeats"
)


@dataclass(frozen=True)
class Beat:
    """The last sign of life of one process, `age_s` seconds ago; with a `problem` it lives but cannot do its work."""

    name: str
    beat_at: datetime
    age_s: float
    detail: str | None = None
    problem: str | None = None


class Heartbeat:
    """The heartbeat of one process: call `beat` from the loop whose life it shows.

    `beat` returns at once and never raises. A database that is away is logged once, until it is back. Safe to call
    from several threads.
    """

    def __init__(self, engine: Engine, name: str, every_s: float = EVERY_S) -> None:
        self.name = name
        self._engine = engine
        self._every_s = every_s
        self._changed = threading.Condition()
        self._due: tuple[float, str | None, str | None] | None = None
        self._is_closed = False
        self._is_away = False
        self._thread: threading.Thread | None = None

    def beat(self, detail: str | None = None, problem: str | None = None) -> None:
        """The process lives now; `detail` says what it does and `problem` why it cannot, without secrets."""
        with self._changed:
            if self._is_closed:
                return
            self._due = (time.monotonic(), detail, problem)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"heartbeat-{self.name}", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Write the last beat if there is one, and stop; the engine stays open."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due is not None or self._is_closed)
                due, self._due = self._due, None
                is_closed = self._is_closed
            if due is not None:
                self._write(*due)
            if is_closed:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, self._every_s)

    def _write(self, beaten_at: float, detail: str | None, problem: str | None) -> None:
        values = {
            "name": self.name,
            "age_s": time.monotonic() - beaten_at,
            "detail": detail[:DETAIL_CHARACTERS] if detail else None,
            "problem": problem[:DETAIL_CHARACTERS] if problem else None,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(_UPSERT, values)
        except SQLAlchemyError as error:
            if not self._is_away:
                _log.warning("heartbeat_not_written", name=self.name, reason=type(error).__name__)
            self._is_away = True
            return
        if self._is_away:
            _log.info("heartbeat_written_again", name=self.name)
        self._is_away = False


@contextmanager
def heartbeat(settings: Settings, name: str) -> Iterator[Heartbeat]:
    """A heartbeat with a connection of its own, closed with the block."""
    engine = postgres_engine(settings, f"heartbeat-{name}", pool_size=1)
    made = Heartbeat(engine, name)
    try:
        yield made
    finally:
        made.close()
        engine.dispose()


@contextmanager
def beating(
    shown: Heartbeat,
    is_working: Callable[[], bool],
    detail: Callable[[], str | None] = lambda: None,
    problem: Callable[[], str | None] = lambda: None,
) -> Iterator[None]:
    """Beat from a thread each second of the block in which `is_working`, for a process without a loop of its own."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            if is_working():
                shown.beat(detail(), problem())
            ended.wait(EVERY_S)

    thread = threading.Thread(target=run, name=f"beating-{shown.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(CLOSE_TIMEOUT_S)


def read_heartbeats(engine: Engine) -> Mapping[str, Beat]:
    """The last beat of every process that ever had one, by name; raises SQLAlchemy's errors."""
    with engine.connect() as connection:
        rows = connection.execute(_READ).mappings().all()
    return {row["name"]: Beat(**row | {"beat_at": as_utc(row["beat_at"])}) for row in map(dict, rows)}
