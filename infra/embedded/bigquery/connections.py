"""DuckDB connections: one cursor per thread, bounded memory and threads, no extension download."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import AsyncIterator
from typing import Any

import duckdb
from bqemulator.domain.errors import InternalError
from bqemulator.grpc_api import write_servicer
from bqemulator.storage.engine import DuckDBEngine

from infra.embedded.bigquery.handlers import Handlers
from infra.embedded.bigquery.patching import replace

_CURSORS = "_cursors_of_threads"


def give_each_thread_its_cursor() -> None:
    """Each thread works on its own DuckDB cursor.

    Stock shares one connection between the event loop and all threads: `tabledata.list` in a thread beside
    `insertAll` on the loop take the connection's lock and the interpreter's lock in opposite order, and the
    whole server hangs for ever.
    """
    local = threading.local()

    def connection(engine: Any) -> duckdb.DuckDBPyConnection:
        base: duckdb.DuckDBPyConnection | None = engine._connection
        if base is None:
            raise InternalError("The DuckDB engine is not started")
        if getattr(local, "base", None) is not base:
            local.cursor = base.cursor()
            local.cursor.execute("SET TimeZone = 'UTC'")
            local.base = base
            engine.__dict__.setdefault(_CURSORS, []).append(local.cursor)
        cursor: duckdb.DuckDBPyConnection = local.cursor
        return cursor

    replace(DuckDBEngine, "connection", property(connection))


def share_one_write_lock() -> None:
    """REST and gRPC writers exclude each other by one re-entrant thread lock.

    Stock has an asyncio lock for REST, bound to one event loop, and an unrelated thread lock for gRPC, so the
    two interleave; its asyncio lock cannot be used from worker threads at all.
    """
    initialise = DuckDBEngine.__init__

    def initialise_with_lock(engine: Any, *args: Any, **kwargs: Any) -> None:
        initialise(engine, *args, **kwargs)
        engine._write_lock = threading.RLock()

    @contextlib.asynccontextmanager
    async def write_lock(engine: Any) -> AsyncIterator[None]:
        with engine._write_lock:  # held by a worker thread, never by the server's event loop
            yield

    replace(DuckDBEngine, "__init__", initialise_with_lock)
    replace(DuckDBEngine, "write_lock", write_lock)

    initialise_handler = write_servicer.BigQueryWriteHandler.__init__

    def initialise_handler_with_lock(handler: Any, context: Any, *args: Any, **kwargs: Any) -> None:
        initialise_handler(handler, context, *args, **kwargs)
        handler._write_lock = context.engine._write_lock

    replace(write_servicer.BigQueryWriteHandler, "__init__", initialise_handler_with_lock)


def bound_the_engine(memory_limit: str, threads: int) -> None:
    """DuckDB uses at most `memory_limit` (for example `4GB`) and `threads`; stock takes 80% of memory, all cores."""
    start = DuckDBEngine.start

    async def start_bounded(engine: Any) -> None:
        await start(engine)
        connection: duckdb.DuckDBPyConnection = engine._connection
        connection.execute("SET GLOBAL memory_limit = ?", [memory_limit])
        connection.execute("SET GLOBAL threads = ?", [threads])

    replace(DuckDBEngine, "start", start_bounded)


def close_all_cursors_at_the_end() -> None:
    """A clean stop closes the threads' cursors too, so that DuckDB folds its write-ahead log into the database."""
    stop = DuckDBEngine.stop

    async def stop_with_cursors(engine: Any) -> None:
        for cursor in engine.__dict__.pop(_CURSORS, []):
            cursor.close()
        await stop(engine)

    replace(DuckDBEngine, "stop", stop_with_cursors)


def release_after_each_request(handlers: Handlers) -> None:
    """What a request left open on its thread's cursor ends with the request.

    Stock reads one row of a result and drops it. On its single connection the next statement closes it; on a cursor
    of its own thread the scan's lock on the table would stay, and a checkpoint would wait for that thread's next
    statement.
    """

    def make(handler: Any) -> Any:
        if inspect.iscoroutinefunction(handler):

            async def run_async(**arguments: Any) -> Any:
                try:
                    return await handler(**arguments)
                finally:
                    end_transaction(arguments.get("ctx"))

            return run_async

        def run(**arguments: Any) -> Any:
            try:
                return handler(**arguments)
            finally:
                end_transaction(arguments.get("ctx"))

        return run

    for name in handlers.names():
        handlers.wrap(name, make)


def skip_the_spatial_extension() -> None:
    """Start without DuckDB's spatial extension; stock downloads it and refuses to start when offline.

    GEOGRAPHY is therefore not available.
    """

    def load_nothing(_engine: Any) -> None:
        return None

    replace(DuckDBEngine, "_load_spatial", load_nothing)


def end_transaction(context: Any) -> None:
    """Close this thread's result, and roll back what a failed or unfinished script left open."""
    if context is not None:
        with contextlib.suppress(duckdb.Error):  # DuckDB says so when no transaction is open
            context.engine.connection.rollback()
