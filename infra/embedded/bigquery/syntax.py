"""Syntax trees: the text of a statement is parsed once, however many parts of bqemulator look at it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import sqlglot
from bqemulator.catalog import ddl_sync
from bqemulator.jobs import ddl_result, executor, routine_ddl
from bqemulator.sql import catalog_schema
from sqlglot import exp
from sqlglot.expressions import core

from infra.embedded.bigquery.patching import replace, replace_everywhere

# A statement has a handful of texts on its way to DuckDB: enough for those that run at the same time.
_KEPT = 128
# These look at a tree and change nothing in it.
_READERS = (
    (catalog_schema, "build_catalog_schema"),
    (ddl_result, "_parse_statement"),
    (ddl_sync, "_detect_catalog_drop"),
    (ddl_sync, "_detect_create_schema"),
    (ddl_sync, "_detect_plain_create_table"),
    (ddl_sync, "_detect_plain_create_view"),
    (ddl_sync, "_extract_ddl_metadata"),
    (executor, "_capture_dml_snapshots"),
    (executor, "_parse_for_classification"),
    (executor, "_reject_dml_on_immutable"),
    (routine_ddl, "detect_drop_routine"),
)

_PLAIN = (str, int, float, bool)

_parse: Callable[..., list[Any]] = sqlglot.parse
_parse_one: Callable[..., Any] = sqlglot.parse_one
_only_reads: ContextVar[bool] = ContextVar("only_reads", default=False)


@functools.lru_cache(maxsize=_KEPT)
def shared_trees(bq_sql: str) -> tuple[Any, ...]:
    """The trees of a text's statements, for many to look at and none to change. Raises what sqlglot raises."""
    return tuple(_parse(bq_sql, read="bigquery"))


def shared_tree(bq_sql: str) -> exp.Expression | None:
    """The one statement of a text, not to be changed; None for a script and for what sqlglot does not know."""
    try:
        trees = [tree for tree in shared_trees(bq_sql) if tree is not None]
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None
    return trees[0] if len(trees) == 1 and isinstance(trees[0], exp.Expression) else None


def parse_texts_once() -> None:
    """Who asks sqlglot for a tree gets a copy of one made before; those that only read get that one itself.

    Stock parses the same text twenty times for one statement, which takes most of the time that it needs.
    """
    replace(sqlglot, "parse", _trees)
    replace(sqlglot, "parse_one", _tree)
    for module, name in _READERS:
        replace_everywhere(module, name, _reading)


def copy_trees_faster() -> None:
    """A copy of a tree copies what is noted at its nodes (places, comments, marks) without the detour of deepcopy."""

    def copied(value: Any) -> Any:
        if type(value) is dict and all(isinstance(noted, _PLAIN) for noted in value.values()):
            return value.copy()
        if type(value) is list and all(isinstance(noted, _PLAIN) for noted in value):
            return value.copy()
        return value.__deepcopy__(None) if isinstance(value, exp.Expression) else deepcopy(value)

    deepcopy = replace(core, "deepcopy", copied)


def _trees(sql: str, read: Any = None, dialect: Any = None, **options: Any) -> list[Any]:
    if not _is_bigquery(read or dialect) or any(option is not None for option in options.values()):
        return _parse(sql, read, dialect, **options)
    return [_handed_out(tree) for tree in shared_trees(sql)]


def _tree(sql: str, read: Any = None, dialect: Any = None, into: Any = None, **options: Any) -> Any:
    if not _is_bigquery(read or dialect) or into is not None or options:
        return _parse_one(sql, read, dialect, into, **options)
    trees = shared_trees(sql)
    if len(trees) != 1 or trees[0] is None:
        return _parse_one(sql, read)
    return _handed_out(trees[0])


def _is_bigquery(dialect: Any) -> bool:
    return isinstance(dialect, str) and dialect == "bigquery"  # a Dialect may carry settings


def _handed_out(tree: Any) -> Any:
    return tree if tree is None or _only_reads.get() else tree.copy()


def _reading(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, for which trees are not copied."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def read_async(*arguments: Any, **options: Any) -> Any:
            with _without_copies():
                return await function(*arguments, **options)

        return read_async

    @functools.wraps(function)
    def read(*arguments: Any, **options: Any) -> Any:
        with _without_copies():
            return function(*arguments, **options)

    return read


@contextmanager
def _without_copies() -> Iterator[None]:
    before = _only_reads.set(True)
    try:
        yield
    finally:
        _only_reads.reset(before)
