"""The durable state in one SQLite file: topics, subscriptions, messages, and what is still owed to whom.

All calls are synchronous and belong to the event loop's thread. Without fsync on the way (see the package's note on
durability) a transaction of some hundred rows takes about a millisecond, less than handing it to another thread costs.
Only `checkpoint`, which fsyncs, opens a connection of its own and may run in a worker thread.
Every method may raise `sqlite3.Error`, for instance when the disk is full; then nothing of its transaction is kept.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from infra.embedded.pubsub.model import Pending
from infra.runtime.errors import BallastError

FILE_NAME: Final = "pubsub.sqlite3"
LOCK_NAME: Final = "pubsub.lock"
WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""Beyond this the log is emptied while writers wait, so that it cannot grow without end under constant load."""
_BUSY_SECONDS: Final = 10.0
_LOOKUP_CHUNK: Final = 500
BEYOND: Final = 2**62
"""Above every message id."""

_SCHEMA: Final = """
create table if not exists topics (
    id integer primary key autoincrement, name text not null unique, config blob not null);
create table if not exists subscriptions (
    id integer primary key autoincrement, name text not null unique, config blob not null);
create table if not exists messages (
    id integer primary key, topic_id integer not null, is_retained integer not null,
    ordering_key text not null, size integer not null, payload blob not null);
create index if not exists retained_messages on messages (topic_id, id) where is_retained = 1;
create table if not exists deliveries (
    subscription_id integer not null, message_id integer not null,
    failures integer not null default 0, not_before integer not null default 0,
    primary key (subscription_id, message_id)) without rowid;
create index if not exists deliveries_of_message on deliveries (message_id);
create table if not exists acknowledged (
    subscription_id integer not null, message_id integer not null,
    primary key (subscription_id, message_id)) without rowid;
create index if not exists acknowledged_of_message on acknowledged (message_id);
create table if not exists doomed (kind text not null, id integer not null, primary key (kind, id)) without rowid;
create table if not exists counters (name text primary key, value integer not null) without rowid;
insert or ignore into counters values ('last_message_id', 0);
"""
_DROP_ORPHAN: Final = """
delete from messages where id = ? and is_retained = 0
    and not exists (select 1 from deliveries where message_id = messages.id)
    and not exists (select 1 from acknowledged where message_id = messages.id)
"""


class StoreInUseError(BallastError):
    """Another process serves this data folder."""

    code = "pubsub_store_in_use"


def _lock(path: Path) -> IO[bytes]:
    """The locked file; the kernel lets go of it when the process ends, however it ends."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StoreInUseError(
            f"{path.parent} is in use by another Pub/Sub process. Stop that one, or give another --data-dir."
        ) from None
    return file


class Store:
    """The SQLite file under `folder`, which one process at a time may open (`StoreInUseError`)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        self._lock = _lock(folder / LOCK_NAME)
        self._db = self._connect()
        self._db.executescript(_SCHEMA)
        ((last,),) = self._db.execute(
            "select max(value, (select ifnull(max(id), 0) from messages)) from counters where name = 'last_message_id'"
        )
        self.last_message_id = int(last)
        self._saved_last_message_id = self.last_message_id

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.execute("pragma wal_autocheckpoint = 0")
        db.execute("pragma cache_size = -16384")
        return db

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is written together or not at all."""
        before = self.last_message_id
        self._db.execute("begin immediate")
        try:
            yield
            if self.last_message_id != self._saved_last_message_id:
                self._db.execute(
                    "update counters set value = ? where name = 'last_message_id'", (self.last_message_id,)
                )
            self._db.execute("commit")
        except BaseException:
            self.last_message_id = before
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise
        self._saved_last_message_id = self.last_message_id

    def probe(self) -> None:
        """Write something, to learn whether the store can be written; raises `sqlite3.Error` if not."""
        self._db.execute("update counters set value = value where name = 'last_message_id'")

    def checkpoint(self) -> None:
        """Fsync what was written so far and move it from the log to the main file; safe in a worker thread."""
        db = self._connect()
        try:
            db.execute("pragma wal_checkpoint(passive)")
            if self.path.with_name(FILE_NAME + "-wal").stat().st_size > WAL_LIMIT_BYTES:
                db.execute("pragma wal_checkpoint(truncate)")
        finally:
            db.close()

    def close(self) -> None:
        """Empty the log into the main file and let go of it."""
        try:
            self._db.execute("pragma wal_checkpoint(truncate)")
        finally:
            self._db.close()
            self._lock.close()

    # Topics and subscriptions

    def topics(self) -> list[tuple[int, bytes]]:
        """(id, configuration) of every topic."""
        return self._db.execute("select id, config from topics order by name").fetchall()

    def subscriptions(self) -> list[tuple[int, bytes]]:
        """(id, configuration) of every subscription."""
        return self._db.execute("select id, config from subscriptions order by name").fetchall()

    def add_topic(self, name: str, config: bytes) -> int:
        """The id of a new topic; ids are never used again."""
        row = self._db.execute("insert into topics (name, config) values (?, ?) returning id", (name, config))
        return int(row.fetchone()[0])

    def save_topic(self, topic_id: int, config: bytes) -> None:
        """Replace a topic's configuration."""
        self._db.execute("update topics set config = ? where id = ?", (config, topic_id))

    def delete_topic(self, topic_id: int) -> None:
        """Forget a topic; `purge_doomed` removes its retained messages in portions."""
        self._db.execute("delete from topics where id = ?", (topic_id,))
        self._db.execute("insert or ignore into doomed values ('topic', ?)", (topic_id,))

    def add_subscription(self, name: str, config: bytes) -> int:
        """The id of a new subscription; ids are never used again."""
        row = self._db.execute("insert into subscriptions (name, config) values (?, ?) returning id", (name, config))
        return int(row.fetchone()[0])

    def save_subscription(self, subscription_id: int, config: bytes) -> None:
        """Replace a subscription's configuration."""
        self._db.execute("update subscriptions set config = ? where id = ?", (config, subscription_id))

    def delete_subscription(self, subscription_id: int) -> None:
        """Forget a subscription; `purge_doomed` removes its backlog in portions."""
        self._db.execute("delete from subscriptions where id = ?", (subscription_id,))
        self._db.execute("insert or ignore into doomed values ('subscription', ?)", (subscription_id,))

    # Messages

    def next_message_id(self, now: int) -> int:
        """A message id that is higher than all before it, even if the clock went back."""
        self.last_message_id = max(now, self.last_message_id + 1)
        return self.last_message_id

    def add_messages(self, topic_id: int, is_retained: bool, rows: Sequence[tuple[Pending, bytes]]) -> None:
        """Write message bodies."""
        self._db.executemany(
            "insert into messages values (?, ?, ?, ?, ?, ?)",
            [(m.message_id, topic_id, is_retained, m.ordering_key, m.size, payload) for m, payload in rows],
        )

    def add_deliveries(self, subscription_id: int, message_ids: Iterable[int]) -> None:
        """Owe these messages to the subscription; those that it has already are left as they are."""
        self._db.executemany(
            "insert or ignore into deliveries (subscription_id, message_id) values (?, ?)",
            [(subscription_id, message_id) for message_id in message_ids],
        )

    def pending(self, subscription_id: int, after: int, limit: int) -> list[Pending]:
        """The next un-acknowledged messages with an id above `after`, in order."""
        rows = self._db.execute(
            "select m.id, m.ordering_key, m.size, d.failures, d.not_before"
            " from deliveries d join messages m on m.id = d.message_id"
            " where d.subscription_id = ? and d.message_id > ? order by d.message_id limit ?",
            (subscription_id, after, limit),
        )
        return [Pending(*row) for row in rows]

    def payloads(self, message_ids: Sequence[int]) -> dict[int, bytes]:
        """The serialised messages that still exist, by id."""
        found: dict[int, bytes] = {}
        for start in range(0, len(message_ids), _LOOKUP_CHUNK):
            chunk = message_ids[start : start + _LOOKUP_CHUNK]
            marks = ",".join("?" * len(chunk))
            found.update(self._db.execute(f"select id, payload from messages where id in ({marks})", chunk))  # noqa: S608
        return found

    def settle(self, subscription_id: int, message_ids: Iterable[int], keep: bool) -> None:
        """The subscription needs these no more; `keep` remembers them, so that a seek can bring them back."""
        pairs = [(subscription_id, message_id) for message_id in message_ids]
        if keep:
            self._db.executemany(
                "insert or ignore into acknowledged select subscription_id, message_id from deliveries"
                " where subscription_id = ? and message_id = ?",
                pairs,
            )
        self._db.executemany("delete from deliveries where subscription_id = ? and message_id = ?", pairs)
        if not keep:
            self._db.executemany(_DROP_ORPHAN, [(message_id,) for _, message_id in pairs])

    def record_failures(self, subscription_id: int, rows: Iterable[tuple[int, int, int]]) -> None:
        """Write (message id, failures so far, not before) of deliveries that failed."""
        self._db.executemany(
            "update deliveries set failures = ?, not_before = ? where subscription_id = ? and message_id = ?",
            [(failures, not_before, subscription_id, message_id) for message_id, failures, not_before in rows],
        )

    # Retention and seek

    def purge_subscription(self, subscription_id: int, before: int, limit: int) -> tuple[list[int], bool]:
        """Drop up to `limit` messages of each kind below the id `before`: un-acknowledged ids, and if all went."""
        expired = self._select_ids("deliveries", subscription_id, before, limit)
        self.settle(subscription_id, expired, keep=False)
        kept = self._select_ids("acknowledged", subscription_id, before, limit)
        self._forget_acknowledged(subscription_id, kept)
        self._db.executemany(_DROP_ORPHAN, [(message_id,) for message_id in kept])
        return expired, len(expired) < limit and len(kept) < limit

    def purge_topic(self, topic_id: int, before: int, limit: int) -> int:
        """End the topic's own retention of up to `limit` messages below the id `before`; how many there were."""
        rows = self._db.execute(
            "select id from messages where topic_id = ? and is_retained = 1 and id < ? limit ?",
            (topic_id, before, limit),
        ).fetchall()
        self._db.executemany("update messages set is_retained = 0 where id = ?", rows)
        self._db.executemany(_DROP_ORPHAN, rows)
        return len(rows)

    def purge_doomed(self, limit: int) -> bool:
        """Remove a portion of what deleted topics and subscriptions left; whether anything remains."""
        row = self._db.execute("select kind, id from doomed limit 1").fetchone()
        if row is None:
            return False
        kind, owner = row
        if kind == "topic":
            is_empty = self.purge_topic(owner, BEYOND, limit) < limit
        else:
            _, is_empty = self.purge_subscription(owner, BEYOND, limit)
        if is_empty:
            self._db.execute("delete from doomed where kind = ? and id = ?", (kind, owner))
        return True

    def seek(self, subscription_id: int, at: int, keep: bool) -> None:
        """Acknowledge everything below the id `at`, and un-acknowledge what is remembered from `at` on."""
        self.settle(subscription_id, self._select_ids("deliveries", subscription_id, at, -1), keep)
        back = [
            int(message_id)
            for (message_id,) in self._db.execute(
                "select message_id from acknowledged where subscription_id = ? and message_id >= ?",
                (subscription_id, at),
            )
        ]
        self.add_deliveries(subscription_id, back)
        self._forget_acknowledged(subscription_id, back)

    def retained(self, topic_id: int, at: int) -> Iterator[tuple[int, bytes]]:
        """(id, payload) of what the topic itself retains from the id `at` on."""
        yield from self._db.execute(
            "select id, payload from messages where topic_id = ? and is_retained = 1 and id >= ? order by id",
            (topic_id, at),
        )

    def _select_ids(self, table: str, subscription_id: int, before: int, limit: int) -> list[int]:
        rows = self._db.execute(
            f"select message_id from {table} where subscription_id = ? and message_id < ? order by message_id limit ?",  # noqa: S608
            (subscription_id, before, limit),
        )
        return [int(message_id) for (message_id,) in rows]

    def _forget_acknowledged(self, subscription_id: int, message_ids: Iterable[int]) -> None:
        self._db.executemany(
            "delete from acknowledged where subscription_id = ? and message_id = ?",
            [(subscription_id, message_id) for message_id in message_ids],
        )
