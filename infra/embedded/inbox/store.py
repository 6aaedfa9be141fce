"""What the inbox received, in SQLite (WAL), so that an acknowledged message survives kill -9."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra.runtime.clock import Clock

MAX_TEXT_CHARS = 100_000

_TABLES = """
create table if not exists messages (
    id integer primary key autoincrement,
    received_at text not null,
    last_received_at text not null,
    channel text not null,
    endpoint text not null,
    message_key text not null,
    recipient text,
    event_id text,
    severity text,
    account_id text,
    health text,
    event_at text,
    seconds_since_event real,
    title text not null,
    content text not null,
    is_simulated integer not null default 0,
    verified integer not null default 1,
    duplicates integer not null default 0,
    unique (channel, endpoint, message_key)
);
create table if not exists rejected (
    id integer primary key autoincrement,
    received_at text not null,
    channel text not null,
    endpoint text not null,
    message_key text,
    status integer not null,
    reason text not null,
    content text not null,
    verified integer not null default 0
);
create table if not exists failures (
    channel text primary key,
    status integer,
    remaining integer not null,
    delay_s real not null,
    retry_after integer
);
"""


class InboxChannel(StrEnum):
    """Which contract a message came by."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    SMS = "sms"


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A message that was accepted; `event_at` is when the event was detected."""

    channel: InboxChannel
    endpoint: str
    message_key: str
    title: str
    content: str
    recipient: str | None = None
    event_id: str | None = None
    severity: str | None = None
    account_id: str | None = None
    health: str | None = None
    event_at: datetime | None = None
    is_simulated: bool = False


@dataclass(frozen=True)
class Failure:
    """What the next requests of a channel get: a status instead of an answer, a delay, or both."""

    status: int | None
    delay_s: float = 0.0
    retry_after: int | None = None


class InboxStore:
    """One SQLite file; every method is one transaction and may be called from any thread."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clock = clock
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            data_dir / "inbox.sqlite3", timeout=10, check_same_thread=False, isolation_level=None
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("pragma journal_mode = wal")
        # With WAL, NORMAL survives the death of this process; only a power loss can cost the last messages.
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, message: Incoming) -> int:
        """Keep the message; one with a key that is there already is only counted. Returns its id."""
        now = self._clock.now()
        values = asdict(message) | {
            "now": now.isoformat(timespec="milliseconds"),
            "content": message.content[:MAX_TEXT_CHARS],
            "event_at": message.event_at.isoformat() if message.event_at else None,
            "seconds": round((now - message.event_at).total_seconds(), 3) if message.event_at else None,
        }
        with self._transaction() as connection:
            row = connection.execute(
                """
                insert into messages (received_at, last_received_at, channel, endpoint, message_key, recipient,
                    event_id, severity, account_id, health, event_at, seconds_since_event, title, content, is_simulated)
                values (:now, :now, :channel, :endpoint, :message_key, :recipient, :event_id,
                    :severity, :account_id, :health, :event_at, :seconds, :title, :content, :is_simulated)
                on conflict (channel, endpoint, message_key)
                    do update set duplicates = duplicates + 1, last_received_at = excluded.last_received_at
                returning id
                """,
                values,
            ).fetchone()
        return int(row["id"])

    def reject(
        self, channel: InboxChannel, endpoint: str, key: str | None, status: int, reason: str, content: str
    ) -> None:
        """Keep a request that was refused, with the reason."""
        at = self._clock.now().isoformat(timespec="milliseconds")
        with self._transaction() as connection:
            connection.execute(
                "insert into rejected (received_at, channel, endpoint, message_key, status, reason, content)"
                " values (?, ?, ?, ?, ?, ?, ?)",
                (at, channel, endpoint, key, status, reason, content[:MAX_TEXT_CHARS]),
            )

    def messages(self, since_id: int, limit: int) -> list[dict[str, Any]]:
        """Messages with an id above `since_id`, oldest first."""
        return self._rows("select * from messages where id > ? order by id limit ?", since_id, limit)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """The last messages, newest first."""
        return self._rows("select * from messages order by id desc limit ?", limit)

    def rejected(self, since_id: int, limit: int) -> list[dict[str, Any]]:
        """Refused requests with an id above `since_id`, oldest first."""
        return self._rows("select * from rejected where id > ? order by id limit ?", since_id, limit)

    def counts(self) -> dict[str, int]:
        """How many messages, duplicates and refused requests there are."""
        statement = """
            select count(*) as messages, coalesce(sum(duplicates), 0) as duplicates,
                (select count(*) from rejected) as rejected
            from messages
        """
        return dict(self._rows(statement)[0])

    def set_failure(self, channel: InboxChannel, failure: Failure, count: int) -> None:
        """Make the next `count` requests of the channel fail or wait; 0 ends it."""
        with self._transaction() as connection:
            connection.execute(
                "insert or replace into failures (channel, status, remaining, delay_s, retry_after)"
                " values (?, ?, ?, ?, ?)",
                (channel, failure.status, count, failure.delay_s, failure.retry_after),
            )

    def take_failure(self, channel: InboxChannel) -> Failure | None:
        """The failure that this request of the channel must show, if one is left."""
        with self._transaction() as connection:
            row = connection.execute(
                "update failures set remaining = remaining - 1 where channel = ? and remaining > 0"
                " returning status, delay_s, retry_after",
                (channel,),
            ).fetchone()
        return Failure(row["status"], row["delay_s"], row["retry_after"]) if row else None

    def _rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self._lock:
            rows = self._connection.execute(statement, values).fetchall()
        return [_as_dict(row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")


def _as_dict(row: sqlite3.Row) -> dict[str, Any]:
    flags = ("verified", "is_simulated")
    return {key: bool(row[key]) if key in flags else row[key] for key in row.keys()}  # noqa: SIM118
