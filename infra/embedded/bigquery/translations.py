"""Translated statements: kept until the catalog changes, and tables that are created with columns and rows at once."""

from __future__ import annotations

import functools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from bqemulator.catalog.duckdb_repository import DuckDBCatalogRepository
from bqemulator.sql import inner_query, table_rewriter
from sqlglot import exp

from infra.embedded.bigquery.parameters import current_parameter_types
from infra.embedded.bigquery.patching import replace, replace_everywhere
from infra.embedded.bigquery.syntax import shared_tree

_KEPT = ("select", "with", "merge", "insert", "update", "delete")
# What the translation of these depends on is not only the catalog's shape.
_VOLATILE = re.compile(r"information_schema|system_time|\*`|session_user", re.IGNORECASE)
_CHANGES = ("create_", "update_", "delete_", "upsert_materialized_view")


class Translations:
    """Translated statements by their text and context, the oldest forgotten first; safe between threads.

    A table that comes back with the shape it had (dbt's temporary tables do so at each build) only invalidates what
    was translated while it was away; any other change of a shape invalidates all.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, tuple[int, str]] = OrderedDict()
        self._shapes: dict[Any, Any] = {}
        self._away_since: dict[Any, int] = {}
        self.moment = 0

    def find(self, key: Any) -> str | None:
        """The translation, if it still holds."""
        with self._lock:
            found = self._kept.get(key)
            return found[1] if found else None

    def keep(self, key: Any, translated: str, started: int) -> None:
        """Keep a translation unless a shape changed since `started`, the moment at which it began."""
        with self._lock:
            if started == self.moment:
                self._kept[key] = (self.moment, translated)
                while len(self._kept) > self._limit:
                    self._kept.popitem(last=False)

    def table_is(self, table: Any, shape: Any) -> None:
        """Note a table's shape; None when it is gone."""
        with self._lock:
            if shape is None:
                self.moment += 1
                self._away_since.setdefault(table, self.moment)
                return
            away_since = self._away_since.pop(table, None)
            if self._shapes.get(table) != shape:
                self._shapes[table] = shape
                self._forget(0)
            elif away_since is not None:
                self._forget(away_since)

    def forget_all(self) -> None:
        """Something other than a table changed."""
        with self._lock:
            self._forget(0)

    def _forget(self, since: int) -> None:
        self.moment += 1
        for key in [key for key, (moment, _text) in self._kept.items() if moment >= since]:
            del self._kept[key]


def remember_translations(limit: int = 1_000) -> None:
    """Translate a statement once, as long as no table changes its shape.

    Stock parses a statement a dozen times at each run, with the text of every view in it: a nested view costs more
    than a second before DuckDB sees it.
    """
    translations = Translations(limit)
    for name in dir(DuckDBCatalogRepository):
        if name.startswith(_CHANGES) and not name.endswith("_job"):
            method = getattr(DuckDBCatalogRepository, name)
            replace(DuckDBCatalogRepository, name, _noted(method, name.endswith("_table"), translations))

    def make(translate: Any) -> Any:
        async def translate_once(bq_sql: str, **options: Any) -> str:
            types = tuple(sorted(current_parameter_types().items()))
            key = (bq_sql, options["project_id"], options["caller"], types)
            found = translations.find(key)
            if found is not None:
                return found
            started = translations.moment
            translated: str = await translate(bq_sql, **options)
            if _can_keep(bq_sql):
                translations.keep(key, translated, started)
            return translated

        return translate_once

    replace_everywhere(inner_query, "rewrite_and_translate_statement", make)


def remember_table_names(limit: int = 1_000) -> None:
    """Put DuckDB's names of tables into a statement once; stock parses the whole statement for it at each run."""
    replace_everywhere(table_rewriter, "rewrite_table_refs", functools.lru_cache(limit))


def _noted(method: Callable[..., Any], is_table: bool, translations: Translations) -> Callable[..., Any]:
    """`method` of the catalog, with its effect noted after it ran (or failed)."""

    @functools.wraps(method)
    def run(repository: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return method(repository, *arguments, **options)
        finally:
            if is_table:
                table = _table_key(arguments)
                translations.table_is(table, _shape(repository.get_table(*table)))
            else:
                translations.forget_all()

    return run


def _table_key(arguments: tuple[Any, ...]) -> tuple[str, str, str]:
    """create and update take the table, delete its three names."""
    if isinstance(arguments[0], str):
        project, dataset, table = arguments[:3]
        return project, dataset, table
    return arguments[0].project_id, arguments[0].dataset_id, arguments[0].table_id


def _shape(table: Any) -> Any:
    return None if table is None else (table.schema_, table.view_query, table.table_type)


def _can_keep(bq_sql: str) -> bool:
    text = re.sub(r"^\s*(?:/\*.*?\*/|--[^\n]*\n|\s)*", "", bq_sql, flags=re.DOTALL)
    return text[:6].lower().startswith(_KEPT) and not _VOLATILE.search(bq_sql)


def leave_views_to_the_engine() -> None:
    """Put a view's text in the place of its name only where row access policies exist, which must reach into it.

    Stock does so for each statement, so that a view over views is parsed and typed again and again as one long text.
    """

    def expand_for_policies(bq_sql: str, *, catalog: Any, **options: Any) -> str:
        if not catalog.list_all_row_access_policies():
            return bq_sql
        return str(expand(bq_sql, catalog=catalog, **options))

    expand = replace(inner_query, "rewrite_for_row_access", expand_for_policies)


def create_tables_with_columns_and_rows() -> None:
    """CREATE TABLE t (a INT64, ...) AS SELECT ... takes the types of its column list.

    Stock hands it to DuckDB, which knows either a column list or a query. The column list becomes casts around the
    query; NOT NULL and other constraints of the list are not kept here.
    """

    def make(translate: Any) -> Any:
        async def translate_with_casts(bq_sql: str, **options: Any) -> str:
            translated: str = await translate(_columns_as_casts(bq_sql), **options)
            return translated

        return translate_with_casts

    replace_everywhere(inner_query, "rewrite_and_translate_statement", make)


def _columns_as_casts(bq_sql: str) -> str:
    if "create" not in bq_sql[:400].lower():
        return bq_sql
    shared = shared_tree(bq_sql)
    if not (isinstance(shared, exp.Create) and isinstance(shared.this, exp.Schema) and shared.expression is not None):
        return bq_sql
    tree = shared.copy()
    columns = [column for column in tree.this.expressions if isinstance(column, exp.ColumnDef)]
    if not columns or any(column.args.get("kind") is None for column in columns):
        return bq_sql
    query = tree.expression.unnest() if isinstance(tree.expression, exp.Subquery) else tree.expression
    casts = [
        exp.alias_(exp.cast(exp.column(column.this.copy()), column.args["kind"].copy()), column.this.copy())
        for column in columns
    ]
    tree.set(
        "expression",
        exp.select(*casts).from_(exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("declared")))),
    )
    tree.set("this", tree.this.this)
    return tree.sql(dialect="bigquery")
