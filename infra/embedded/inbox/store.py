"""Messages, refused requests, incidents and failures on command, in the inbox's SQLite file."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from infra.embedded.inbox.callback_queue import CallbackQueue
from infra.embedded.inbox.database import Database
from infra.embedded.inbox.models import Callback, Failure, InboxChannel, Incoming, Page, PageAction
from infra.runtime.clock import Clock

MAX_TEXT_CHARS = 100_000
DROPPED = "accepted and dropped: no alert of this dedup_key is open"

_FLAGS = ("verified", "is_simulated", "has_html")
_INSERT = """
    insert into messages (received_at, last_received_at, channel, endpoint, message_key, recipient, event_id,
        notification_id, severity, account_id, health, event_at, seconds_since_event, title, content, is_simulated,
        sender, outcome, incident_id, html)
    values (:now, :now, :channel, :endpoint, :message_key, :recipient, :event_id, :notification_id, :severity,
        :account_id, :health, :event_at, :seconds, :title, :content, :is_simulated, :sender, :outcome, :incident_id,
        :html)
    on conflict (channel, endpoint, message_key)
        do update set duplicates = duplicates + 1, last_received_at = excluded.last_received_at
"""

_TEXTS_TO = """
    select * from listed_messages
    where channel = 'sms' and recipient = ? and received_at >= ? and received_at < ?
    order by id desc limit ? offset ?
"""
_ALL_TEXTS = """
    select * from listed_messages
    where channel = 'sms' and received_at >= ? and received_at < ?
    order by id desc limit ? offset ?
"""
_INCIDENT_CHANGES = {
    PageAction.TRIGGER: "update incidents set events = events + 1, updated_at = :now, severity = :severity,"
    " summary = :summary where id = :id",
    PageAction.ACKNOWLEDGE: "update incidents set events = events + 1, updated_at = :now, state = 'acknowledged'"
    " where id = :id",
    PageAction.RESOLVE: "update incidents set events = events + 1, updated_at = :now, state = 'resolved'"
    " where id = :id",
}


class InboxStore:
    """Every method is one transaction and may be called from any thread."""

    def __init__(self, database: Database, queue: CallbackQueue, clock: Clock) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock

    def accept(
        self, messages: Sequence[Incoming], callbacks: Sequence[Callback] = (), page: Page | None = None
    ) -> None:
        """Keep the messages of one request, with what will be reported of them, in one transaction.

        A message with a key that is there already is only counted. A page without an alert that it could change is
        kept among the refused requests.
        """
        now = self._clock.now()
        with self._database.transaction() as connection:
            incident = None
            if page is not None:
                incident = _changed_incident(connection, page, _moment(now))
                if incident is None:
                    for each in messages:
                        _reject(
                            connection, each.channel, each.endpoint, each.message_key, 202, DROPPED, each.content, now
                        )
                    return
            connection.executemany(_INSERT, [_row(each, now, incident) for each in messages])
            self._queue.add(connection, callbacks, now)

    def reject(
        self, channel: InboxChannel, endpoint: str, key: str | None, status: int, reason: str, content: str
    ) -> None:
        """Keep a request that was refused, with the reason."""
        with self._database.transaction() as connection:
            _reject(connection, channel, endpoint, key, status, reason, content, self._clock.now())

    def messages(self, since_id: int, limit: int) -> list[dict[str, Any]]:
        """Messages with an id above `since_id`, oldest first."""
        return self._read("select * from listed_messages where id > ? order by id limit ?", since_id, limit)

    def newest(self, limit: int, channel: InboxChannel | None = None) -> list[dict[str, Any]]:
        """The last messages, of one channel or of all, newest first, with the state of their incidents."""
        if channel is None:
            return self._read("select * from listed_messages order by id desc limit ?", limit)
        statement = "select * from listed_messages where channel = ? order by id desc limit ?"
        return self._read(statement, channel, limit)

    def html(self, message_id: int) -> str | None:
        """The HTML part of a mail; None where there is no such mail or part."""
        rows = self._database.rows("select html from messages where id = ? and html is not null", message_id)
        return zlib.decompress(rows[0]["html"]).decode() if rows else None

    def texts(
        self, recipient: str | None, between: tuple[datetime | None, datetime | None], limit: int, offset: int
    ) -> list[dict[str, Any]]:
        """Text messages, to one number or to all, received from the first to before the second time, newest first."""
        since, before = between
        # Times are texts of one form, which these two enclose.
        values = (_moment(since) if since else "0", _moment(before) if before else "9", limit, offset)
        if recipient is None:
            return self._read(_ALL_TEXTS, *values)
        return self._read(_TEXTS_TO, recipient, *values)

    def rejected(self, since_id: int, limit: int) -> list[dict[str, Any]]:
        """Refused requests with an id above `since_id`, oldest first."""
        return self._read("select * from rejected where id > ? order by id limit ?", since_id, limit)

    def incidents(self, limit: int) -> list[dict[str, Any]]:
        """The incidents of PagerDuty, the last opened one first."""
        return self._read("select * from incidents order by id desc limit ?", limit)

    def counts(self) -> dict[str, int]:
        """How many messages, duplicates and refused requests there are."""
        statement = """
            select count(*) as messages, coalesce(sum(duplicates), 0) as duplicates,
                (select count(*) from rejected) as rejected
            from messages
        """
        return dict(self._database.rows(statement)[0])

    def counts_by_channel(self) -> dict[str, int]:
        """How many messages of each channel there are."""
        rows = self._database.rows("select channel, count(*) as messages from messages group by channel")
        found = {row["channel"]: row["messages"] for row in rows}
        return {channel.value: found.get(channel.value, 0) for channel in InboxChannel}

    def set_failure(self, channel: InboxChannel, failure: Failure, count: int) -> None:
        """Make the next `count` requests of the channel fail or wait; 0 ends it."""
        with self._database.transaction() as connection:
            connection.execute(
                "insert or replace into failures (channel, status, remaining, delay_s, retry_after)"
                " values (?, ?, ?, ?, ?)",
                (channel, failure.status, count, failure.delay_s, failure.retry_after),
            )

    def has_failure(self, channel: InboxChannel) -> bool:
        """Whether the next request of the channel may have to fail."""
        return bool(self._database.rows("select 1 from failures where channel = ? and remaining > 0", channel))

    def take_failure(self, channel: InboxChannel) -> Failure | None:
        """The failure that this request of the channel must show, if one is left."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "update failures set remaining = remaining - 1 where channel = ? and remaining > 0"
                " returning status, delay_s, retry_after",
                (channel,),
            ).fetchone()
        return Failure(row["status"], row["delay_s"], row["retry_after"]) if row else None

    def _read(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        return [_as_dict(row) for row in self._database.rows(statement, *values)]


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _row(message: Incoming, now: datetime, incident: int | None) -> dict[str, Any]:
    return vars(message) | {
        "now": _moment(now),
        "content": message.content[:MAX_TEXT_CHARS],
        "event_at": message.event_at.isoformat() if message.event_at else None,
        "seconds": round((now - message.event_at).total_seconds(), 3) if message.event_at else None,
        "html": zlib.compress(message.html.encode(errors="replace"), 1) if message.html else None,
        "incident_id": incident,
    }


def _changed_incident(connection: sqlite3.Connection, page: Page, now: str) -> int | None:
    """The incident that the page opens, joins, acknowledges or resolves; None where no alert is open for it."""
    row = connection.execute(
        "select id from incidents where dedup_key = ? and state <> 'resolved' order by id desc limit 1",
        (page.dedup_key,),
    ).fetchone()
    if row is None:
        if page.action is not PageAction.TRIGGER:
            return None
        cursor = connection.execute(
            "insert into incidents (dedup_key, state, severity, summary, events, opened_at, updated_at)"
            " values (?, 'triggered', ?, ?, 1, ?, ?)",
            (page.dedup_key, page.severity, page.summary, now, now),
        )
        return cursor.lastrowid
    values = {"id": row["id"], "now": now, "severity": page.severity, "summary": page.summary}
    connection.execute(_INCIDENT_CHANGES[page.action], values)
    return int(row["id"])


def _reject(
    connection: sqlite3.Connection,
    channel: InboxChannel,
    endpoint: str,
    key: str | None,
    status: int,
    reason: str,
    content: str,
    now: datetime,
) -> None:
    connection.execute(
        "insert into rejected (received_at, channel, endpoint, message_key, status, reason, content)"
        " values (?, ?, ?, ?, ?, ?, ?)",
        (_moment(now), channel, endpoint, key, status, reason, content[:MAX_TEXT_CHARS]),
    )


def _as_dict(row: sqlite3.Row) -> dict[str, Any]:
    return {key: bool(row[key]) if key in _FLAGS else row[key] for key in row.keys()}  # noqa: SIM118
