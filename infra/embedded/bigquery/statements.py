"""Statements: which of them exclude each other, and how their failures are reported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
from bqemulator.catalog import ddl_sync
from bqemulator.domain.errors import DomainError, InvalidQueryError
from bqemulator.domain.events import TableDataChanged
from bqemulator.jobs import executor
from bqemulator.scripting.exceptions import ScriptRaise
from sqlglot import exp

from infra.embedded.bigquery.connections import end_transaction
from infra.embedded.bigquery.locks import StatementLocks, TableKey
from infra.embedded.bigquery.parameters import parameter_types
from infra.embedded.bigquery.patching import replace_everywhere
from infra.embedded.bigquery.syntax import shared_tree
from infra.runtime.logs import get_logger

_READS = (exp.Select, exp.SetOperation, exp.Subquery)
_DML = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable)
_FUNCTION_FAILURE = re.compile(r"Python exception occurred while executing the UDF: \w+: (?P<reason>[^\n]+)")
_DDL = (exp.Create, exp.Drop, exp.Alter)


def order_statements(locks: StatementLocks) -> None:
    """Statements on one table wait for each other; all others run side by side.

    Stock runs every statement in the middle of the event loop, one at a time. Merely moved to threads, two
    statements that replace one table fail with a conflict.
    """

    def make(execute: Any) -> Any:
        async def execute_in_order(
            project_id: str, job_id: str, bq_sql: str, query_params: Any, ctx: Any, **options: Any
        ) -> Any:
            statement = shared_tree(bq_sql)
            with hold(locks, statement, project_id), parameter_types(query_params):
                try:
                    job = await execute(project_id, job_id, bq_sql, query_params, ctx, **options)
                    _follow_shape(statement, project_id, ctx)
                    return job
                finally:
                    end_transaction(ctx)

        return execute_in_order

    replace_everywhere(executor, "execute_query_job", make)


def report_failures_as_invalid_queries() -> None:
    """A statement that cannot run is the client's error (400) with the reason.

    Stock answers RAISE and errors of the engine that it does not know with HTTP 500, which the client library
    takes for an outage and retries for ten minutes.
    """

    def make(execute: Any) -> Any:
        async def execute_and_explain(*arguments: Any, **options: Any) -> Any:
            try:
                return await execute(*arguments, **options)
            except DomainError as error:
                _shorten(error)
                raise
            except ScriptRaise as raised:
                raise InvalidQueryError(raised.message) from raised
            except duckdb.Error as error:
                raise InvalidQueryError(f"Query execution failed: {error}") from error
            except Exception as error:
                get_logger(__name__).exception("statement_not_supported", error=type(error).__name__)
                message = f"The embedded BigQuery cannot run this statement ({type(error).__name__}: {error})"
                raise InvalidQueryError(message) from error

        return execute_and_explain

    replace_everywhere(executor, "execute_query_job", make)


def _shorten(error: DomainError) -> None:
    """Leave of a failed exact operation its reason only, without the files and lines of this program."""
    found = _FUNCTION_FAILURE.search(error.message)
    if found is not None:
        reason = "numeric overflow" if "does not fit in precision" in found["reason"] else found["reason"]
        error.message = f"Query execution failed: {reason}"
        error.args = (error.message,)


@contextmanager
def hold(locks: StatementLocks, statement: exp.Expression | None, project_id: str) -> Iterator[None]:
    """Hold what `statement` needs for itself while it runs."""
    if isinstance(statement, _READS):
        yield
    elif isinstance(statement, _DML) and (changed := frozenset(executor._dml_target_tables(statement, project_id))):
        with locks.change_rows(changed):
            yield
    elif isinstance(statement, _DDL) and (target := ddl_target(statement, project_id)):
        with locks.change_shape(frozenset({target})):
            yield
    else:
        with locks.everything():
            yield


def ddl_target(statement: exp.Expression, project_id: str) -> TableKey | None:
    """(project, dataset, table) that CREATE, ALTER or DROP names; the table is empty for a dataset."""
    kind = str(statement.args.get("kind") or "").upper()
    table = ddl_sync._unwrap_table_target(statement.this)
    if table is None or kind not in ("TABLE", "VIEW", "SCHEMA"):
        return None
    if kind == "SCHEMA":
        dataset = ddl_sync._resolve_dataset_parts(table, project_id)
        return (*dataset, "") if dataset else None
    project, dataset_id, table_id = ddl_sync._split_target(table, project_id)
    return (project, dataset_id, table_id) if dataset_id and table_id else None


def _follow_shape(statement: exp.Expression | None, project_id: str, ctx: Any) -> None:
    """Tell dependents that a table was replaced, and the catalog that its columns changed.

    Stock does neither: after ALTER TABLE the catalog keeps the old columns, and appends then fail by position.
    """
    if not isinstance(statement, exp.Create | exp.Alter) or str(statement.args.get("kind")).upper() != "TABLE":
        return
    target = ddl_target(statement, project_id)
    meta = ctx.catalog.get_table(*target) if target else None
    if target is None or meta is None:
        return
    if isinstance(statement, exp.Alter):
        known = {column.name: column for column in meta.schema_.fields}
        found = ddl_sync._introspect_schema(*target, ctx).fields
        columns = tuple(
            known[column.name] if column.name in known and known[column.name].type == column.type else column
            for column in found
        )
        schema = meta.schema_.model_copy(update={"fields": columns})
        ctx.catalog.update_table(meta.model_copy(update={"schema_": schema, "last_modified_time": ctx.clock.now()}))
    ctx.events.publish(TableDataChanged(*target))
