"""The mirror: follows the tables of schema `compliance` into the warehouse, at least once, nothing skipped.

Chained tables are read in the order of their chain, all others by the transaction that last changed a row (PostgreSQL's
`xmin`, widened to 64 bits), behind the oldest transaction that is still open: what commits late has a number that has
not been passed yet. The cursor moves after the rows are durable in the warehouse, so a process that dies between
repeats rows and loses none; staging drops the repeats. Addresses of wallets leave as keyed hashes only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from compliance.errors import ComplianceError
from compliance.mirror_addresses import HashAddress, without_addresses
from compliance.mirror_stream import Stream
from infra.runtime.bigquery import Appended
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger

_log = get_logger(__name__)

CHUNK = 2_000
SCAN = 50_000
# Reconciliation names the rows that wait for the mirror to the warehouse: more than these are too many for a statement.
MOST_WAITING = 10_000
# Any constant that nothing else uses: mirrors take turns on it.
ADVISORY_LOCK = 0x636F6D706C79

# The 32 bits of xmin are those of the last 64-bit number before the next one that the server will give. Subqueries are
# evaluated once a statement.
_NEXT = "(select cast(cast(pg_snapshot_xmax(pg_current_snapshot()) as text) as bigint))"
_OLDEST_OPEN = "(select cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint))"
_CHANGED_BY = f"({_NEXT} - (({_NEXT} - cast(cast(source.xmin as text) as bigint)) & 4294967295))"

_CURSOR = text("select position from compliance.mirror_progress where stream = :stream")
# Only from where this mirror found it: a mirror that lost its lock moves nothing.
_ADVANCE = text(
    """
    insert into compliance.mirror_progress (stream, position, mirrored_at)
    values (:stream, :position, :mirrored_at)
    on conflict (stream) do update
    set position = excluded.position, mirrored_at = excluded.mirrored_at
    where mirror_progress.position = :expected
    """
)
_TRY_LOCK = text("select pg_try_advisory_lock(:key)")
_UNLOCK = text("select pg_advisory_unlock(:key)")
_PATIENCE = text("set statement_timeout = '120s'")
_NEXT_NUMBER = text(f"select {_NEXT}")


class MirrorBusyError(ComplianceError):
    """Another mirror is at work; it copies what there is (try again later)."""

    code = "mirror_busy"


class MirrorWarehouse(Protocol):
    """What the mirror needs of the warehouse."""

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        """Append rows durably."""
        ...


@dataclass(frozen=True)
class Copied:
    """How many rows were copied, and how far the cursor is."""

    rows: int
    position: str


@dataclass(frozen=True)
class Figures:
    """Number of rows and total of each summed column, of the rows that the mirror has passed."""

    rows: int
    sums: Mapping[str, Decimal]


@dataclass(frozen=True)
class Passed:
    """What PostgreSQL holds up to the cursor, and keys of rows that changed since; None: more than can be named."""

    figures: Figures
    waiting: tuple[str, ...] | None


class Mirror:
    """Copies tables while it holds the lock of all mirrors; made by `held_mirror`."""

    def __init__(
        self,
        connection: Connection,
        warehouse: MirrorWarehouse,
        clock: Clock,
        hash_address: HashAddress,
        chunk: int,
        scan: int,
    ) -> None:
        self._connection = connection
        self._warehouse = warehouse
        self._clock = clock
        self._hash_address = hash_address
        self._chunk = chunk
        self._scan = scan

    def copy(self, stream: Stream) -> Copied:
        """Copy all rows that changed since the last time.

        Raises SQLAlchemy's errors, `NotReadyError` or `WarehouseError` of the warehouse (the cursor then stands behind
        the last chunk that is durable), and `ComplianceError` where the cursor is ahead of PostgreSQL.
        """
        self._refuse_foreign_cursor(stream)
        rows = 0
        while True:
            position = self._position(stream)
            number, key = _parsed(position)
            changed = self._connection.execute(
                text(_changed_sql(stream)), {"number": number, "key": key, "max_rows": self._scan}
            ).all()
            for start in range(0, len(changed), self._chunk):
                part = changed[start : start + self._chunk]
                rows += self._append(stream, [row.key for row in part], [row.change_number for row in part])
                position = self._advance(stream, position, f"{part[-1].change_number}:{part[-1].key}")
            if len(changed) < self._scan:
                return Copied(rows, position)

    def passed(self, stream: Stream) -> Passed:
        """Figures of what the cursor has passed, and what it has not; of one moment, because of one statement."""
        number, key = _parsed(self._position(stream))
        parameters = {"number": number, "key": key, "max_rows": MOST_WAITING + 1}
        found = self._connection.execute(text(_passed_sql(stream)), parameters).mappings().one()
        waiting: list[str] = found["waiting"] or []
        figures = Figures(
            int(found["rows_passed"]), {name: Decimal(found[name]) for name in ("change_number", *stream.sums)}
        )
        return Passed(figures, tuple(waiting) if len(waiting) <= MOST_WAITING else None)

    def _append(self, stream: Stream, keys: list[str], numbers: list[int]) -> int:
        # A row that changed after it was listed is left out: it will be listed again, by its new number.
        found = self._connection.execute(text(_rows_sql(stream)), {"keys": keys, "numbers": numbers}).mappings().all()
        now = self._clock.now()
        rows = [self._row(stream, dict(row), now) for row in found]
        row_ids = [f"{stream.name}:{row[stream.key]}:{row['change_number']}" for row in rows]
        if rows:
            self._warehouse.append(stream.target.table_id, rows, row_ids)
        return len(rows)

    def _row(self, stream: Stream, found: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        row = {**found, "mirrored_at": now}
        for column in stream.free_texts:
            if row[column] is not None:
                row[column] = without_addresses(row[column], self._hash_address)
        for column in stream.addresses:
            if row[column] is not None:
                row[column] = self._hash_address(row[column])
        return row

    def _position(self, stream: Stream) -> str:
        found: str | None = self._connection.execute(_CURSOR, {"stream": stream.name}).scalar_one_or_none()
        return found if found is not None else "0:"

    def _advance(self, stream: Stream, expected: str, position: str) -> str:
        values = {
            "stream": stream.name,
            "position": position,
            "expected": expected,
            "mirrored_at": self._clock.now(),
        }
        if self._connection.execute(_ADVANCE, values).rowcount != 1:
            raise MirrorBusyError(f"Another mirror moved the cursor of {stream.name}; this one stops.")
        return position

    def _refuse_foreign_cursor(self, stream: Stream) -> None:
        number, _key = _parsed(self._position(stream))
        if not stream.is_chained and number >= self._connection.execute(_NEXT_NUMBER).scalar_one():
            raise ComplianceError(
                f"The cursor of {stream.name} is ahead of PostgreSQL: its tables were restored from a dump. Empty"
                " compliance.mirror_progress and the raw.compliance_* tables to copy all rows again."
            )


@contextmanager
def held_mirror(
    engine: Engine,
    warehouse: MirrorWarehouse,
    clock: Clock,
    hash_address: HashAddress,
    *,
    chunk: int = CHUNK,
    scan: int = SCAN,
) -> Iterator[Mirror]:
    """The mirror, for as long as the block lasts; raises `MirrorBusyError` while another one works.

    `hash_address` gives the keyed hash of a wallet address. The lock belongs to a connection of the block's own.
    """
    with closing(engine.connect().execution_options(isolation_level="AUTOCOMMIT")) as connection:
        # Back in the pool it would keep the lock: detached, it is closed for good.
        connection.detach()
        if not bool(connection.execute(_TRY_LOCK, {"key": ADVISORY_LOCK}).scalar_one()):
            raise MirrorBusyError("Another mirror of compliance is at work; it copies what there is.")
        try:
            connection.execute(_PATIENCE)
            yield Mirror(connection, warehouse, clock, hash_address, chunk, scan)
        finally:
            _give_up(connection)


def _give_up(connection: Connection) -> None:
    """Unlock before the session ends, for the server may notice its end late."""
    try:
        if not connection.invalidated:
            connection.execute(_UNLOCK, {"key": ADVISORY_LOCK})
    except SQLAlchemyError as error:
        _log.warning("compliance_mirror_lock_not_released", reason=type(error).__name__)


def _parsed(position: str) -> tuple[int, str]:
    number, _, key = position.partition(":")
    return int(number), key


def _number(stream: Stream) -> str:
    return "source.sequence" if stream.is_chained else _CHANGED_BY


def _is_settled(stream: Stream) -> str:
    return "true" if stream.is_chained else f"{_CHANGED_BY} < {_OLDEST_OPEN}"


def _beyond(stream: Stream) -> str:
    """Rows that the cursor has not passed; of a chain by its number alone, for which there is an index."""
    if stream.is_chained:
        return "source.sequence > cast(:number as bigint)"
    return f"({_CHANGED_BY}, source.{stream.key}) > (cast(:number as bigint), cast(:key as text))"


def _changed_sql(stream: Stream) -> str:
    return f"""
        select source.{stream.key} as key, {_number(stream)} as change_number
        from compliance.{stream.name} as source
        where {_beyond(stream)} and {_is_settled(stream)}
        order by change_number, key
        limit :max_rows
    """  # noqa: S608 - identifiers of mirror_tables


def _rows_sql(stream: Stream) -> str:
    columns = [column.name for column in stream.target.schema if column.name not in ("change_number", "mirrored_at")]
    selected = ", ".join(f"{stream.reads.get(name, f'source.{name}')} as {name}" for name in columns)
    return f"""
        select {selected}, wanted.change_number
        from unnest(cast(:keys as text[]), cast(:numbers as bigint[])) as wanted (key, change_number)
        inner join compliance.{stream.name} as source
            on source.{stream.key} = wanted.key and {_number(stream)} = wanted.change_number
        order by wanted.change_number, wanted.key
    """  # noqa: S608 - identifiers of mirror_tables


def _passed_sql(stream: Stream) -> str:
    sums = "".join(f", coalesce(sum(source.{name}), 0) as {name}" for name in stream.sums)
    return f"""
        select
            array(
                select source.{stream.key} from compliance.{stream.name} as source
                where {_beyond(stream)}
                limit :max_rows
            ) as waiting,
            count(*) as rows_passed,
            coalesce(sum({_number(stream)}), 0) as change_number{sums}
        from compliance.{stream.name} as source
        where not ({_beyond(stream)})
    """  # noqa: S608 - identifiers of mirror_tables
