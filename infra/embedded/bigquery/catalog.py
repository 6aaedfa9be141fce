"""The catalog: writes one at a time, jobs in memory only and not for ever."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from bqemulator.catalog.duckdb_repository import DuckDBCatalogRepository

from infra.embedded.bigquery.patching import replace

_WRITES = ("create_", "update_", "delete_", "upsert_")


def serialise_catalog_writes() -> None:
    """One thread at a time changes the catalog.

    Stock writes it from any thread: two writes of one catalog row fail with a conflict after the rows of the
    request were stored, so that a retry doubles them.
    """
    lock = threading.RLock()

    def one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(*arguments: Any, **options: Any) -> Any:
            with lock:
                return method(*arguments, **options)

        return run

    for name in dir(DuckDBCatalogRepository):
        if name.startswith(_WRITES):
            replace(DuckDBCatalogRepository, name, one_at_a_time(getattr(DuckDBCatalogRepository, name)))


def keep_jobs_in_memory(limit: int) -> None:
    """Keep the last `limit` jobs, in memory.

    Stock writes each job, SELECT included, to the database file and keeps all of them for ever.
    """

    def upsert_job(repository: Any, job: Any) -> Any:
        cache = repository._cache
        stored = cache.upsert_job(job)
        while len(cache._jobs) > limit:
            del cache._jobs[next(iter(cache._jobs))]
        return stored

    replace(DuckDBCatalogRepository, "upsert_job", upsert_job)
