"""`tabledata.insertAll` and Storage Write appends: whole requests, exact values, repeats dropped."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa
from bqemulator.api.routes import tabledata
from bqemulator.domain.errors import InvalidQueryError, ResourceRef, resource_not_found
from bqemulator.grpc_api.write_servicer import BigQueryWriteHandler
from bqemulator.storage.sql_identifiers import quoted_table_ref, register_name
from fastapi import Request

from infra.embedded.bigquery.connections import end_transaction
from infra.embedded.bigquery.handlers import Handlers
from infra.embedded.bigquery.locks import StatementLocks, TableKey
from infra.embedded.bigquery.patching import replace
from infra.embedded.bigquery.rows import convert_rows

# BigQuery promises to drop a repeat within about a minute; ours remembers longer, within a bounded number.
REMEMBERED_IDS = 200_000
REMEMBERED_SECONDS = 600.0


class InsertIds:
    """Ids of rows that were stored a short while ago. Not safe for threads: used under the write lock."""

    def __init__(self, limit: int = REMEMBERED_IDS, seconds: float = REMEMBERED_SECONDS) -> None:
        self._limit = limit
        self._seconds = seconds
        self._until: OrderedDict[tuple[TableKey, str], float] = OrderedDict()

    def unseen(self, table: TableKey, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Indexes of the rows whose insertId was not stored before, and does not repeat within the request."""
        now = time.monotonic()
        within: set[str] = set()
        fresh = []
        for index, row in enumerate(rows):
            row_id = row.get("insertId")
            if row_id is not None and (row_id in within or self._until.get((table, row_id), 0.0) > now):
                continue
            if row_id is not None:
                within.add(row_id)
            fresh.append(index)
        return fresh

    def remember(self, table: TableKey, rows: Sequence[Mapping[str, Any]]) -> None:
        """Note that `rows` were stored."""
        until = time.monotonic() + self._seconds
        for row in rows:
            if row.get("insertId") is not None:
                self._until[(table, row["insertId"])] = until
        while len(self._until) > self._limit:
            self._until.popitem(last=False)


def append_whole_requests(handlers: Handlers, locks: StatementLocks) -> None:
    """`insertAll` stores all rows of a request or none, and names the rows that it refuses.

    Stock answers one bad row with HTTP 500 (which clients repeat), drops unknown fields silently, accepts NULL
    in REQUIRED columns, ignores insertId, maps columns by position, and rewrites the catalog for each request.
    """
    ids = InsertIds()

    def make(_handler: Any) -> Any:
        async def insert_all(project_id: str, dataset_id: str, table_id: str, request: Request, ctx: Any) -> Any:
            key = (project_id, dataset_id, table_id)
            body = await request.json()
            with locks.append(key):
                refused = _insert(ctx, key, body, ids)
            return {"kind": "bigquery#tableDataInsertAllResponse", "insertErrors": refused}

        return insert_all

    handlers.wrap("insert_all", make)


def append_streams_beside_statements(locks: StatementLocks) -> None:
    """Storage Write appends map columns by name and respect the tables' locks; stock does neither."""

    def flush(handler: Any, stream: Any, rows: pa.Table) -> None:
        key = (stream.project_id, stream.dataset_id, stream.table_id)
        with locks.append(key), handler._write_lock:
            try:
                _store(handler._ctx, key, rows)
            finally:
                end_transaction(handler._ctx)

    replace(BigQueryWriteHandler, "_flush_to_target", flush)


def _insert(ctx: Any, key: TableKey, body: Mapping[str, Any], ids: InsertIds) -> list[dict[str, Any]]:
    """Store the request's rows; the refused ones in BigQuery's form (then nothing is stored, unless asked to skip)."""
    meta = ctx.catalog.get_table(*key)
    if meta is None:
        raise resource_not_found(ResourceRef("table", *key))
    rows: list[dict[str, Any]] = body.get("rows", [])
    columns: list[Any] = [*tabledata._fields_raw_from_schema(meta.schema_.fields)]
    schema = tabledata._build_arrow_schema(columns)
    table, refused = convert_rows(rows, schema, ignore_unknown=bool(body.get("ignoreUnknownValues")))
    if refused and not body.get("skipInvalidRows"):
        stopped = {"reason": "stopped", "location": "", "debugInfo": "", "message": ""}
        return [
            {"index": index, "errors": [_reason(refused[index]) if index in refused else stopped]}
            for index in range(len(rows))
        ]
    accepted = [row for index, row in enumerate(rows) if index not in refused]
    with ctx.engine._write_lock:
        fresh = ids.unseen(key, accepted)
        if fresh:
            _store(ctx, key, table if len(fresh) == len(accepted) else table.take(fresh))
            ids.remember(key, [accepted[index] for index in fresh])
    return [{"index": index, "errors": [_reason(message)]} for index, message in sorted(refused.items())]


def _reason(message: str) -> dict[str, str]:
    return {"reason": "invalid", "location": "", "debugInfo": "", "message": message}


def _store(ctx: Any, key: TableKey, rows: pa.Table) -> None:
    """Append `rows` in one statement, and tell dependents."""
    connection = ctx.engine.connection
    name = register_name(f"__bqemu_append_{uuid4().hex[:12]}")
    connection.register(name, rows)
    try:
        connection.execute(f"INSERT INTO {quoted_table_ref(*key)} BY NAME SELECT * FROM {name}")  # noqa: S608 -- both names are checked by bqemulator
    except duckdb.Error as error:
        raise InvalidQueryError(f"No row of the request was stored in {key[1]}.{key[2]}: {error}") from error
    finally:
        connection.unregister(name)
    ctx.snapshots.record_change(*key)
