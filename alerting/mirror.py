"""The mirror: follows the append-only tables of schema `alerting` into the warehouse, at least once, nothing skipped.

It reads behind the oldest transaction that is still open, in order of (transaction, row): what commits late has a
number that has not been passed yet. The cursor moves after the rows are durable in the warehouse, so a process that
dies between repeats rows and loses none; staging drops the repeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, TextClause, text
from sqlalchemy.exc import SQLAlchemyError

from alerting.mirror_tables import ALERT_PREFERENCE_CHANGES, NOTIFICATION_EVENTS
from infra.runtime.bigquery import Appended, TableSpec
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger

_log = get_logger(__name__)

CHUNK = 2_000
# Any constant that nothing else uses: mirrors take turns on it.
ADVISORY_LOCK = 0x6D6972726F72

# A step whose notification is gone is mirrored all the same, without what only the notification knew.
_READ_STATES = text(
    """
    select
        states.txid, states.state_id as row_id, states.state_id, states.notification_id, notifications.event_id,
        events.topic, events.kind, notifications.rule, notifications.account_id, notifications.severity,
        notifications.episode_id, notifications.channel, notifications.recipient, notifications.digest_id, states.state,
        states.at, states.seconds_since_detected, states.detail, states.provider_message_id, notifications.detected_at,
        notifications.terminal_state
    from alerting.notification_states as states
    left join alerting.notifications on states.notification_id = notifications.notification_id
    left join alerting.events on notifications.event_id = events.event_id
    where
        (states.txid, states.state_id) > (:txid, :row_id)
        and states.txid < cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)
    order by states.txid, states.state_id
    limit :max_rows
    """
)

_READ_CHANGES = text(
    """
    select
        txid, change_id as row_id, change_id, owner, at, action, changed_by, reason, cast(before as text) as before,
        cast(after as text) as after
    from alerting.preference_changes
    where
        (txid, change_id) > (:txid, :row_id)
        and txid < cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)
    order by txid, change_id
    limit :max_rows
    """
)

# What waits also counts while the reader must stay behind an open transaction.
_OLDEST_STATE = text(
    "select at from alerting.notification_states where (txid, state_id) > (:txid, :row_id)"
    " order by txid, state_id limit 1"
)
_OLDEST_CHANGE = text(
    "select at from alerting.preference_changes where (txid, change_id) > (:txid, :row_id)"
    " order by txid, change_id limit 1"
)

_CURSOR = text("select txid, row_id from alerting.mirror_progress where stream = :stream")
# Never backwards: a mirror that was cut off and another one may both move it.
_ADVANCE = text(
    """
    insert into alerting.mirror_progress (stream, txid, row_id, mirrored_at)
    values (:stream, :txid, :row_id, :mirrored_at)
    on conflict (stream) do update
    set txid = excluded.txid, row_id = excluded.row_id, mirrored_at = excluded.mirrored_at
    where (mirror_progress.txid, mirror_progress.row_id) < (excluded.txid, excluded.row_id)
    """
)
_TRY_LOCK = text("select pg_try_advisory_lock(:key)")
_UNLOCK = text("select pg_advisory_unlock(:key)")


class MirrorWarehouse(Protocol):
    """What the mirror needs of the warehouse."""

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        """Append rows durably."""
        ...


@dataclass(frozen=True)
class Stream:
    """An append-only table and its copy; `name` is the table's name, by which its trigger finds the cursor."""

    name: str
    target: TableSpec
    read: TextClause
    oldest: TextClause

    def row(self, found: Mapping[str, Any], mirrored_at: datetime) -> dict[str, Any]:
        """A row of the copy from a row that `read` found."""
        values = {**found, "mirrored_at": mirrored_at}
        return {column.name: values[column.name] for column in self.target.schema}


STREAMS = (
    Stream("notification_states", NOTIFICATION_EVENTS, _READ_STATES, _OLDEST_STATE),
    Stream("preference_changes", ALERT_PREFERENCE_CHANGES, _READ_CHANGES, _OLDEST_CHANGE),
)


@dataclass(frozen=True)
class Mirrored:
    """What one step did: rows and lag in seconds by stream; a standby did nothing, because another mirror works.

    `has_more`: a chunk was full, so that the next step need not wait. The lag is the age of the oldest row that is not
    in the warehouse; zero where there is none.
    """

    is_standby: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)
    lag_s: Mapping[str, float] = field(default_factory=dict)
    has_more: bool = False


class Mirror:
    """One mirror at a time works: the holder of an advisory lock of a connection that is the mirror's own.

    For one thread. With the connection the lock goes, so that another mirror takes over; should the first one still be
    appending then, rows repeat.
    """

    def __init__(self, engine: Engine, warehouse: MirrorWarehouse, clock: Clock, chunk: int = CHUNK) -> None:
        self._engine = engine
        self._warehouse = warehouse
        self._clock = clock
        self._chunk = chunk
        self._own: Connection | None = None
        self._is_holder = False

    def step(self) -> Mirrored:
        """Mirror at most one chunk of each stream.

        Raises SQLAlchemy's errors, and `NotReadyError` or `WarehouseError` of the warehouse: the cursor then stands
        where it stood, and the next step tries the same rows again.
        """
        try:
            connection = self._held()
            if connection is None:
                return Mirrored(is_standby=True)
            rows: dict[str, int] = {}
            lag_s: dict[str, float] = {}
            for stream in STREAMS:
                rows[stream.name], lag_s[stream.name] = self._chunk_of(connection, stream)
        except SQLAlchemyError:
            self.close()
            raise
        return Mirrored(rows=rows, lag_s=lag_s, has_more=any(count >= self._chunk for count in rows.values()))

    def lag_s(self) -> Mapping[str, float]:
        """The lag of each stream in seconds, whoever mirrors; raises SQLAlchemy's errors."""
        with self._engine.connect() as connection:
            return {stream.name: self._lag(connection, stream, _cursor(connection, stream)) for stream in STREAMS}

    def close(self) -> None:
        """Give the lock up."""
        own, is_holder = self._own, self._is_holder
        self._own, self._is_holder = None, False
        if own is None:
            return
        try:
            # The server may notice the end of a session late.
            if is_holder and not own.invalidated:
                own.execute(_UNLOCK, {"key": ADVISORY_LOCK})
        except SQLAlchemyError as error:
            _log.warning("mirror_lock_not_released", reason=type(error).__name__)
        finally:
            own.close()

    def _held(self) -> Connection | None:
        """The connection that holds the lock; None while another mirror has it."""
        if self._own is None:
            self._own = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            # Back in the pool it would keep the lock: detached, it is closed for good.
            self._own.detach()
        if not self._is_holder:
            self._is_holder = bool(self._own.execute(_TRY_LOCK, {"key": ADVISORY_LOCK}).scalar_one())
        return self._own if self._is_holder else None

    def _chunk_of(self, connection: Connection, stream: Stream) -> tuple[int, float]:
        cursor = _cursor(connection, stream)
        found = connection.execute(stream.read, cursor | {"max_rows": self._chunk}).mappings().all()
        if found:
            now = self._clock.now()
            rows = [stream.row(dict(row), now) for row in found]
            row_ids = [f"{stream.name}:{row['txid']}:{row['row_id']}" for row in found]
            self._warehouse.append(stream.target.table_id, rows, row_ids)
            cursor = {"txid": found[-1]["txid"], "row_id": found[-1]["row_id"]}
            connection.execute(_ADVANCE, cursor | {"stream": stream.name, "mirrored_at": now})
        return len(found), self._lag(connection, stream, cursor)

    def _lag(self, connection: Connection, stream: Stream, cursor: Mapping[str, int]) -> float:
        oldest: datetime | None = connection.execute(stream.oldest, cursor).scalar_one_or_none()
        return max(0.0, (self._clock.now() - oldest).total_seconds()) if oldest is not None else 0.0


def _cursor(connection: Connection, stream: Stream) -> dict[str, int]:
    row = connection.execute(_CURSOR, {"stream": stream.name}).one_or_none()
    return {"txid": row.txid, "row_id": row.row_id} if row is not None else {"txid": 0, "row_id": 0}
