"""What providers still have to report, kept until the receiver took it or an hour has passed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from infra.embedded.inbox.database import Database
from infra.embedded.inbox.models import Callback, CallbackProvider

GIVE_UP_S = 3600.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 60.0
MAX_WAITING = 500_000


@dataclass(frozen=True)
class DueCallback:
    """One report that is due; `attempts` have failed."""

    id: int
    provider: CallbackProvider
    origin: str
    url: str
    body: str
    attempts: int


class CallbackQueue:
    """The callbacks in the SQLite file; beyond `MAX_WAITING` new ones are not kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # The receivers that anything was ever kept for; `set.add` is safe from any thread.
        self._origins = {str(row["origin"]) for row in database.rows("select distinct origin from callbacks")}

    @property
    def origins(self) -> tuple[str, ...]:
        """The receivers, as scheme, host and port."""
        return tuple(self._origins)

    def add(self, connection: sqlite3.Connection, callbacks: Sequence[Callback], now: datetime) -> None:
        """Keep what will be reported, within the transaction that keeps the messages."""
        if not callbacks or (self._may_be_full(len(callbacks)) and self.waiting() + len(callbacks) > MAX_WAITING):
            return
        self._origins.update(_origin(each.url) for each in callbacks)
        at = now.timestamp()
        connection.executemany(
            "insert into callbacks (provider, origin, url, message_key, body, due_at, created_at)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            [(c.provider, _origin(c.url), c.url, c.message_key, c.body, at + c.delay_s, at) for c in callbacks],
        )

    def waiting(self) -> int:
        """How many were not taken yet."""
        return int(self._database.rows("select count(*) as waiting from callbacks")[0]["waiting"])

    def due(self, origin: str, now: datetime, limit: int) -> list[DueCallback]:
        """Those of one receiver that are due, the longest due first; of one message only the earliest that waits."""
        rows = self._database.rows(
            """
            select id, provider, origin, url, body, attempts from callbacks as c
            where origin = ? and due_at <= ?
                and not exists (select 1 from callbacks as e where e.message_key = c.message_key and e.id < c.id)
            order by due_at limit ?
            """,
            origin,
            now.timestamp(),
            limit,
        )
        return [
            DueCallback(r["id"], CallbackProvider(r["provider"]), r["origin"], r["url"], r["body"], r["attempts"])
            for r in rows
        ]

    def settle(self, taken: Iterable[DueCallback], refused: Iterable[DueCallback], now: datetime) -> None:
        """Forget those that were taken; put off each refused one, longer each time."""
        at = now.timestamp()
        with self._database.transaction() as connection:
            connection.executemany("delete from callbacks where id = ?", [(each.id,) for each in taken])
            connection.executemany(
                "update callbacks set attempts = attempts + 1, due_at = ? where id = ?",
                [(at + retry_delay_s(each.attempts), each.id) for each in refused],
            )

    def give_up(self, now: datetime) -> int:
        """Forget what nobody took for an hour; how many they were."""
        oldest = now.timestamp() - GIVE_UP_S
        first = self._database.rows("select created_at from callbacks order by id limit 1")
        if not first or first[0]["created_at"] >= oldest:
            return 0
        with self._database.transaction() as connection:
            return connection.execute("delete from callbacks where created_at < ?", (oldest,)).rowcount

    def _may_be_full(self, more: int) -> bool:
        # Ids have gaps, so that this is too high at times; but it needs no counting.
        row = self._database.rows("select max(id) - min(id) + 1 as span from callbacks")[0]
        return (row["span"] or 0) + more > MAX_WAITING


def retry_delay_s(failures: int) -> float:
    """Seconds to wait after so many failures before this one."""
    return float(min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(failures, 10)))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
