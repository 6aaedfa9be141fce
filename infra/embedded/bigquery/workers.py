"""Request handlers run in worker threads, so that no statement holds up the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import Request

from infra.embedded.bigquery.handlers import Handlers

# More than the statements that may wait for a table's lock at once, since a waiting statement keeps its thread.
WORKER_THREADS = 48


class Workers:
    """A pool of threads, each with an event loop of its own that lives as long as the thread."""

    def __init__(self, threads: int = WORKER_THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bigquery")
        self._local = threading.local()

    async def run(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run the coroutine that `make` returns in a worker, and return its result."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run_here, make, context)

    def close(self) -> None:
        """Take no more work; what is running ends first."""
        self._pool.shutdown(wait=True)

    def _run_here(self, make: Callable[[], Coroutine[Any, Any, Any]], context: contextvars.Context) -> Any:
        runner: asyncio.Runner | None = getattr(self._local, "runner", None)
        if runner is None:
            runner = self._local.runner = asyncio.Runner()
        return runner.run(make(), context=context)


def run_handlers_in_workers(handlers: Handlers, workers: Workers) -> None:
    """Move each `async def` handler to a worker thread.

    Stock calls DuckDB from `async def` routes on the event loop: a heavy query blocks every other request,
    the health check included, for its whole length.
    """

    def make(handler: Any) -> Any:
        async def run(**arguments: Any) -> Any:
            for name, value in arguments.items():
                if isinstance(value, Request):
                    arguments[name] = await _read(value)
            return await workers.run(lambda: handler(**arguments))

        return run

    for name in handlers.asynchronous():
        handlers.wrap(name, make)


async def _read(request: Request) -> Request:
    """The request with its body in memory: a worker cannot read from a socket of another thread's event loop."""
    body = await request.body()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)
