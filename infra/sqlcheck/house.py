"""BQ007, BQ008, BQ010, BQ011 and BQ015: the project's own rules for numbers, columns and repeatability."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.sqlcheck.calls import calls
from infra.sqlcheck.functions import UNREPEATABLE_CALLS
from infra.sqlcheck.model import Materialization, Problem, Query, Rule, Severity, at
from infra.sqlcheck.parse import SqlNode, exp

_MONEY = re.compile(r"(_usd|_quantity)$", re.IGNORECASE)
_KEPT = {Materialization.INCREMENTAL, Materialization.SNAPSHOT, Materialization.TABLE}


def _float_money(query: Query) -> Iterator[Problem]:
    if not query.is_mart:
        return
    hint = "numeric; a model of statistics waives this with meta: {sqlcheck_allow: [BQ007]}"
    for cast in query.nodes(exp.Cast):
        if cast.args["to"].this.name in {"DOUBLE", "FLOAT"}:
            money = next((c for c in cast.find_all(exp.Column) if _MONEY.search(str(c.name))), None)
            name = str(money.name) if money is not None else _money_alias(cast)
            if name:
                yield at(cast, f"{name} becomes FLOAT64 in a mart", hint)


def _money_alias(cast: SqlNode) -> str:
    alias = cast.find_ancestor(exp.Alias, exp.Select)
    return str(alias.alias) if isinstance(alias, exp.Alias) and _MONEY.search(str(alias.alias)) else ""


def _mart_stars(query: Query) -> Iterator[Problem]:
    if not query.is_mart:
        return
    for statement in query.statements:
        if isinstance(statement, exp.Query):
            ctes = {cte.alias.lower(): cte.this for cte in statement.ctes}
            for star in _open_stars(statement, ctes, frozenset()):
                hint = "list the columns in the select that the mart ends with, or in the CTE that it reads"
                yield at(star, "the columns of a mart depend on `select *` from a relation", hint)


def _open_stars(node: SqlNode, ctes: dict[str, SqlNode], seen: frozenset[str]) -> Iterator[SqlNode]:
    """The SELECTs below `node` whose star reaches a relation outside the query."""
    if isinstance(node, exp.SetOperation):
        yield from _open_stars(node.this, ctes, seen)
        yield from _open_stars(node.expression, ctes, seen)
    elif isinstance(node, exp.Subquery):
        yield from _open_stars(node.this, ctes, seen)
    elif isinstance(node, exp.Select):
        for qualifier in (_star_of(item) for item in node.expressions):
            if qualifier is not None:
                yield from _open_sources(node, qualifier, ctes, seen)


def _star_of(item: SqlNode) -> str | None:
    """The table that a star is taken of, empty for a bare star, `None` where there is no star."""
    if isinstance(item, exp.Star):
        return ""
    if isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
        return str(item.table).lower()
    return None


def _open_sources(select: SqlNode, qualifier: str, ctes: dict[str, SqlNode], seen: frozenset[str]) -> Iterator[SqlNode]:
    sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
    for source in (item.this for item in sources if item is not None):
        if qualifier and str(source.alias_or_name).lower() != qualifier:
            continue
        name = str(source.name).lower() if isinstance(source, exp.Table) and not source.db else ""
        if isinstance(source, exp.Subquery):
            yield from _open_stars(source.this, ctes, seen)
        elif name in ctes and name not in seen:
            yield from _open_stars(ctes[name], ctes, seen | {name})
        elif name not in ctes:
            yield select


def _composite_keys(query: Query) -> Iterator[Problem]:
    hint = "use its fields, or to_json_string(x)"
    for select in query.nodes(exp.Select):
        shapes = {item.alias.lower(): item.this for item in select.expressions if isinstance(item, exp.Alias)}
        clauses = (select.args.get("group"), select.args.get("order"))
        for key in (key for clause in clauses if clause is not None for key in clause.expressions):
            value = key.this if isinstance(key, exp.Ordered) else key
            if isinstance(value, exp.Column) and not value.table:
                value = shapes.get(str(value.name).lower(), value)
            ordered = isinstance(key, exp.Ordered)
            if isinstance(value, exp.Array | exp.ArrayAgg) or (ordered and isinstance(value, exp.Struct)):
                clause_name = "ORDER BY" if ordered else "GROUP BY"
                yield at(key, f"{clause_name} on an ARRAY or STRUCT is refused", hint)


def _unrepeatable(query: Query) -> Iterator[Problem]:
    if query.materialization not in _KEPT:
        return
    hint = "derive it from the row, for example to_hex(sha256(...)): a replay must find the same row"
    for call in calls(query):
        if call.name in UNREPEATABLE_CALLS:
            yield Problem(call.line, f"{call.name}() gives another row at each run of a stored model", hint)


def _double_quotes(query: Query) -> Iterator[Problem]:
    for line, _ in query.skeleton.matches(r'""'):
        hint = "'text' for text, `name` for a name"
        yield Problem(line, "text in double quotes reads like a quoted name", hint, Severity.WARNING)


FLOAT_MONEY = Rule("BQ007", "money in floating point", _float_money)
MART_STARS = Rule("BQ008", "columns of a mart are not listed", _mart_stars)
COMPOSITE_KEYS = Rule("BQ010", "ARRAY or STRUCT as a key", _composite_keys)
UNREPEATABLE = Rule("BQ011", "not repeatable", _unrepeatable)
DOUBLE_QUOTES = Rule("BQ015", "text in double quotes", _double_quotes)
