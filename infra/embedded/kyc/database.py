"""The providers' SQLite file (WAL): subjects, what becomes of them when, stored answers, webhooks and failures."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "kyc.sqlite3"
_TABLES = """
create table if not exists subjects (
    subject_id text primary key,
    provider text not null,
    own_id text not null,
    body text not null,
    created_at real not null
);
create index if not exists ix_subjects_own on subjects (provider, own_id);
create table if not exists steps (
    id integer primary key autoincrement,
    subject_id text not null,
    status text not null,
    detail text not null,
    at real not null
);
create index if not exists ix_steps_subject on steps (subject_id, at, id);
create table if not exists codes (
    code text primary key,
    subject_id text not null
);
create table if not exists answers (
    provider text not null,
    key text not null,
    fingerprint text not null,
    status integer not null,
    body text not null,
    primary key (provider, key)
);
create table if not exists failures (
    provider text not null,
    operation text not null,
    status integer,
    remaining integer not null,
    delay_s real not null,
    reset_s integer,
    primary key (provider, operation)
);
create table if not exists webhooks (
    id integer primary key autoincrement,
    provider text not null,
    body text not null,
    attempts integer not null default 0,
    due_at real not null
);
create table if not exists requests (
    provider text not null,
    operation text not null,
    requests integer not null,
    primary key (provider, operation)
);
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """An inquiry or an applicant, as it was asked for; `own_id` is the customer's id for it."""

    subject_id: str
    provider: str
    own_id: str
    body: Mapping[str, Any]
    created_at: float


@dataclass(frozen=True, slots=True)
class Step:
    """A status from a time on (seconds since 1970)."""

    step_id: int
    status: str
    detail: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Failure:
    """What the next requests of an operation get: a status instead of an answer, or the answer late, or both."""

    status: int | None
    delay_s: float
    reset_s: int | None


class Database:
    """One connection behind a lock; may be used from any thread, also in its own transactions."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(
            data_dir / FILE_NAME, timeout=10, check_same_thread=False, isolation_level=None
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("pragma journal_mode = wal")
        # With WAL, NORMAL survives the death of this process.
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def clear(self) -> None:
        """Forget everything."""
        with self.transaction():
            for table in ("subjects", "steps", "codes", "answers", "failures", "webhooks", "requests"):
                self.rows(f"delete from {table}")  # noqa: S608 - names of ours

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of a statement."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything in the block, or nothing; a block within a block belongs to the outer one."""
        with self._lock:
            if self._depth:
                yield
                return
            self._depth += 1
            self._connection.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._connection.execute("rollback")
                raise
            else:
                self._connection.execute("commit")
            finally:
                self._depth -= 1

    def add_subject(self, subject: Subject) -> None:
        """Keep a new subject."""
        values = (subject.subject_id, subject.provider, subject.own_id, json.dumps(subject.body), subject.created_at)
        self.rows("insert into subjects values (?, ?, ?, ?, ?)", *values)

    def subject(self, provider: str, subject_id: str) -> Subject | None:
        """The subject of that id."""
        rows = self.rows("select * from subjects where provider = ? and subject_id = ?", provider, subject_id)
        return _subject(rows[0]) if rows else None

    def subjects(self, provider: str, own_id: str | None = None) -> list[Subject]:
        """The subjects of a provider, of one own id or all, oldest first."""
        rows = self.rows(
            "select * from subjects where provider = ?1 and (?2 is null or own_id = ?2) order by created_at, rowid",
            provider,
            own_id,
        )
        return [_subject(row) for row in rows]

    def add_step(self, subject_id: str, status: str, detail: Mapping[str, Any], at: float) -> Step:
        """Let the subject have the status from then on."""
        with self._lock:
            values = (subject_id, status, json.dumps(detail), at)
            self.rows("insert into steps (subject_id, status, detail, at) values (?, ?, ?, ?)", *values)
            return Step(self.rows("select last_insert_rowid() as id")[0]["id"], status, detail, at)

    def steps(self, subject_id: str, now: float) -> list[Step]:
        """What has become of the subject, oldest first."""
        rows = self.rows("select * from steps where subject_id = ? and at <= ? order by at, id", subject_id, now)
        return [Step(row["id"], row["status"], json.loads(row["detail"]), row["at"]) for row in rows]

    def add_code(self, subject_id: str, code: str) -> None:
        """Let a link with this code lead to the subject once."""
        self.rows("insert into codes values (?, ?)", code, subject_id)

    def use_code(self, subject_id: str, code: str) -> bool:
        """Whether the code was there to be used; it is no more."""
        used = "delete from codes where code = ? and subject_id = ? returning code"
        return bool(self.rows(used, code, subject_id))

    def stored(self, provider: str, key: str) -> sqlite3.Row | None:
        """The answer that was first given to an idempotency key."""
        rows = self.rows("select * from answers where provider = ? and key = ?", provider, key)
        return rows[0] if rows else None

    def store_answer(self, provider: str, key: str, fingerprint: str, status: int, body: Mapping[str, Any]) -> None:
        """Keep the first answer to a key; later ones change nothing."""
        values = (provider, key, fingerprint, status, json.dumps(body))
        self.rows("insert or ignore into answers values (?, ?, ?, ?, ?)", *values)

    def fail(self, provider: str, operation: str, failure: Failure, count: int) -> None:
        """Let the next `count` requests of the operation fail; 0 ends it."""
        values = (provider, operation, failure.status, count, failure.delay_s, failure.reset_s)
        self.rows("insert or replace into failures values (?, ?, ?, ?, ?, ?)", *values)

    def take(self, provider: str, operation: str) -> Failure | None:
        """Count a request, and take the failure that it shall get."""
        with self.transaction():
            self.rows(
                "insert into requests values (?, ?, 1) on conflict do update set requests = requests + 1",
                provider,
                operation,
            )
            rows = self.rows(
                "update failures set remaining = remaining - 1 where provider = ? and operation = ? and remaining > 0"
                " returning status, delay_s, reset_s",
                provider,
                operation,
            )
        return Failure(rows[0]["status"], rows[0]["delay_s"], rows[0]["reset_s"]) if rows else None

    def requests(self) -> dict[str, int]:
        """How many requests there were, by provider and operation."""
        rows = self.rows("select * from requests order by provider, operation")
        return {f"{row['provider']}.{row['operation']}": row["requests"] for row in rows}

    def add_webhook(self, provider: str, body: Mapping[str, Any], due_at: float) -> None:
        """Report this from then on."""
        self.rows("insert into webhooks (provider, body, due_at) values (?, ?, ?)", provider, json.dumps(body), due_at)

    def due_webhooks(self, now: float, limit: int) -> list[sqlite3.Row]:
        """Reports that are due."""
        return self.rows("select * from webhooks where due_at <= ? order by due_at, id limit ?", now, limit)

    def settle_webhook(self, webhook_id: int, next_at: float | None) -> None:
        """Report it again then, or never."""
        if next_at is None:
            self.rows("delete from webhooks where id = ?", webhook_id)
        else:
            self.rows("update webhooks set attempts = attempts + 1, due_at = ? where id = ?", next_at, webhook_id)


def _subject(row: sqlite3.Row) -> Subject:
    return Subject(row["subject_id"], row["provider"], row["own_id"], json.loads(row["body"]), row["created_at"])
