"""The inbox's SQLite file (WAL): what was acknowledged survives kill -9."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
create table if not exists incidents (
    id integer primary key autoincrement,
    dedup_key text not null,
    state text not null,
    severity text,
    summary text not null,
    events integer not null,
    opened_at text not null,
    updated_at text not null
);
create index if not exists ix_incidents_key on incidents (dedup_key, id);
create table if not exists callbacks (
    id integer primary key autoincrement,
    provider text not null,
    origin text not null,
    url text not null,
    message_key text not null,
    body text not null,
    attempts integer not null default 0,
    due_at real not null,
    created_at real not null
);
create index if not exists ix_callbacks_due on callbacks (origin, due_at);
create index if not exists ix_callbacks_message on callbacks (message_key, id);
"""

# Columns that a file of an older version lacks.
_LATER_COLUMNS = {
    "notification_id": "text",
    "sender": "text",
    "outcome": "text",
    "incident_id": "integer",
    "html": "blob",
}

_INDEXES = """
create index if not exists ix_messages_counted on messages (channel, duplicates);
create index if not exists ix_messages_recipient on messages (channel, recipient, id);
create index if not exists ix_messages_channel on messages (channel, id);
"""

# Messages without their HTML, which is large and read one at a time.
_VIEW = """
drop view if exists listed_messages;
create view listed_messages as
    select m.id, m.received_at, m.last_received_at, m.channel, m.endpoint, m.message_key, m.recipient, m.event_id,
        m.notification_id, m.severity, m.account_id, m.health, m.event_at, m.seconds_since_event, m.title, m.content,
        m.sender, m.outcome, m.incident_id, i.state as incident_state, m.is_simulated, m.verified, m.duplicates,
        m.html is not null as has_html
    from messages as m
    left join incidents as i on i.id = m.incident_id;
"""


class Database:
    """One connection that writes and one that reads beside it; both may be used from any thread."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = data_dir / "inbox.sqlite3"
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._writer, self._reader = _connect(file), _connect(file)
        self._writer.executescript(_TABLES)
        present = {row["name"] for row in self._writer.execute("pragma table_info(messages)")}
        for name in _LATER_COLUMNS.keys() - present:
            self._writer.execute(f"alter table messages add column {name} {_LATER_COLUMNS[name]}")
        self._writer.executescript(_INDEXES + _VIEW)

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._reading:
            self._reader.close()
            self._writer.close()

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of a select, as of the last commit."""
        with self._reading:
            return self._reader.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything in the block, or nothing."""
        with self._lock:
            self._writer.execute("begin immediate")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("rollback")
                raise
            self._writer.execute("commit")


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=10, check_same_thread=False, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("pragma journal_mode = wal")
    # With WAL, NORMAL survives the death of this process; only a power loss can cost the last messages.
    connection.execute("pragma synchronous = normal")
    return connection
