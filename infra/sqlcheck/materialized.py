"""BQ002 and BQ003: what an incremental materialized view may not hold.

Source: "Create materialized views" and "CREATE MATERIALIZED VIEW" in BigQuery's documentation. dbt-bigquery
cannot set `allow_non_incremental_definition`, so the incremental subset binds here. The emulator checks nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.sqlcheck.calls import calls
from infra.sqlcheck.functions import AGGREGATES, INCREMENTAL_AGGREGATES, NONDETERMINISTIC
from infra.sqlcheck.model import Problem, Query, Rule, at
from infra.sqlcheck.parse import SqlNode, exp, line_of

_TABLES = {"table", "incremental", "snapshot", "seed", "source"}


def _calls(query: Query) -> Iterator[Problem]:
    if not query.defines_materialized_view:
        return
    for call in calls(query):
        if call.name in NONDETERMINISTIC:
            hint = "filter by time in a view over the materialized view"
            yield Problem(call.line, f"{call.name}() is refused in a materialized view", hint)
        elif call.is_routine:
            hint = "write the expression out, or apply the routine in a view over the materialized view"
            yield Problem(call.line, f"the routine {call.name}() is refused in a materialized view", hint)


def _shape(query: Query) -> Iterator[Problem]:
    if not query.defines_materialized_view:
        return
    if query.skeleton.search(r"\bALLOW_NON_INCREMENTAL_DEFINITION = TRUE\b"):
        if not query.skeleton.search(r"\bMAX_STALENESS =") and query.materialization != "materialized_view":
            hint = "options(allow_non_incremental_definition = true, max_staleness = interval 30 minute)"
            yield Problem(1, "a non-incremental materialized view needs max_staleness", hint)
        return
    yield from _replaced(query)
    yield from _clauses(query)
    yield from _joins(query)
    yield from _aggregates(query)
    yield from _bases(query)


def _replaced(query: Query) -> Iterator[Problem]:
    for line, _ in query.skeleton.matches(r"\bCREATE OR REPLACE MATERIALIZED VIEW\b"):
        hint = "drop it first: another definition needs a new view"
        yield Problem(line, "CREATE OR REPLACE is refused for a materialized view", hint)


def _clauses(query: Query) -> Iterator[Problem]:
    hint = "do it in a view over the materialized view, or make the model incremental"
    for node in query.nodes(exp.SetOperation):
        yield at(node, f"{type(node).__name__.upper()} is refused in an incremental materialized view", hint)
    for select in query.nodes(exp.Select):
        for clause in ("having", "qualify", "order", "limit", "offset", "distinct"):
            found = select.args.get(clause)
            if isinstance(found, SqlNode):
                yield at(found, f"{clause.upper()} is refused in an incremental materialized view", hint)
        grouped = select.args.get("group")
        if grouped is not None and any(grouped.args.get(kind) for kind in ("rollup", "cube", "grouping_sets")):
            yield at(grouped, "grouping sets are refused in an incremental materialized view", hint)
    for node in query.nodes(exp.Window, exp.TableSample, exp.Version, exp.Pivot):
        kind = {"Window": "a window function", "Version": "FOR SYSTEM_TIME"}.get(type(node).__name__)
        name = kind or type(node).__name__.upper()
        yield at(node, f"{name} is refused in an incremental materialized view", hint)
    for node in query.nodes(exp.Array, exp.Exists, exp.In):
        if node.find(exp.Select) is not None:
            yield at(node, "a subquery expression is refused in an incremental materialized view", hint)


def _joins(query: Query) -> Iterator[Problem]:
    hint = "inner joins only; join the rest in a view over the materialized view"
    for join in query.nodes(exp.Join):
        side = str(join.args.get("side") or "").upper()
        if side in {"LEFT", "RIGHT", "FULL"}:
            yield at(join, f"a {side} JOIN is refused in an incremental materialized view", hint)
    for select in query.nodes(exp.Select):
        sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
        names = [s.this.sql("bigquery").split(" AS ")[0] for s in sources if s and isinstance(s.this, exp.Table)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield at(select, f"the self-join of {name} is refused in an incremental materialized view", hint)


def _aggregates(query: Query) -> Iterator[Problem]:
    hint = f"one of {', '.join(sorted(INCREMENTAL_AGGREGATES))}"
    for call in calls(query):
        if call.name in AGGREGATES and call.name not in INCREMENTAL_AGGREGATES:
            yield Problem(call.line, f"{call.name}() cannot be maintained incrementally", hint)
    for node in query.nodes(exp.GroupConcat):
        yield at(node, "string_agg() cannot be maintained incrementally", hint)
    for node in query.nodes(exp.AggFunc):
        if isinstance(node.this, exp.Distinct):
            yield at(node, "an aggregate of DISTINCT values cannot be maintained incrementally", hint)
        holder = node.parent
        if holder is not None and not isinstance(holder, exp.Alias | exp.Select | exp.Window | exp.IgnoreNulls):
            wanted = "let the aggregate be a column of its own and compute with it in a view above"
            yield Problem(line_of(node), "an expression of an aggregate is refused in a materialized view", wanted)


def _bases(query: Query) -> Iterator[Problem]:
    for name, kind in sorted(query.bases.items()):
        if kind not in _TABLES:
            hint = "read the table below it: a view's change would not be seen, and dropping a base kills the view"
            yield Problem(1, f"the materialized view reads {name}, which is a {kind}", hint)


MATERIALIZED_VIEW_CALLS = Rule("BQ002", "call refused in a materialized view", _calls)
MATERIALIZED_VIEW_SHAPE = Rule("BQ003", "not an incremental materialized view", _shape)
