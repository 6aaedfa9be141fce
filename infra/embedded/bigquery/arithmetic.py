"""Exact arithmetic on NUMERIC and BIGNUMERIC: the rewriting of statements before they are translated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlglot
from bqemulator.jobs import executor
from bqemulator.sql import inner_query, translator
from bqemulator.sql.rules import get_all_rules
from bqemulator.udf import sql_udf, table_valued
from bqemulator.versioning.materialized_views import MaterializedViewManager
from sqlglot import exp

from infra.embedded.bigquery.decimals import UNKNOWN_OPERAND, Kind, function_name
from infra.embedded.bigquery.node_types import NodeTypes, TableTypes, derive_types
from infra.embedded.bigquery.parameters import current_parameter_types
from infra.embedded.bigquery.patching import replace

_BINARY = {exp.Mul: "multiply", exp.Div: "divide", exp.SafeDivide: "safe_divide", exp.IntDiv: "integer_divide"}
_KEEP_TYPE = (exp.Round, exp.Trunc, exp.Ceil, exp.Floor)
# A fraction literal beside a decimal becomes that decimal's type, as BigQuery coerces literals.
_COERCE_LITERALS = (
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.SafeDivide, exp.Mod, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE),
    *(exp.Between, exp.In, exp.Coalesce, exp.If, exp.Greatest, exp.Least, exp.Nullif),
)
_INEXACT_RULES = frozenset({"AVG_DECIMAL", "DIV_DECIMAL", "PARSE_BIGNUMERIC"})


def calculate_decimals_exactly() -> None:
    """`*`, `/`, SAFE_DIVIDE, DIV and AVG over NUMERIC and BIGNUMERIC are exact and keep BigQuery's result type.

    Stock divides and averages in floating point, then rounds to 9 digits when it happens to know the type (else
    the result is FLOAT64); the scale of a product is the sum of its factors', so that a chain of them overflows.
    """

    def expand_and_make_exact(bq_sql: str, project_id: str, catalog: Any) -> str:
        # The last step before translation: views have been put in the place of their names by then.
        expanded = expand(bq_sql, project_id, catalog)
        return exact_statement(expanded, project_id, catalog, current_parameter_types())

    expand = replace(inner_query, "expand_wildcard_tables", expand_and_make_exact)
    translate_view = MaterializedViewManager._translate

    def translate_view_exactly(manager: Any, bq_sql: str, project_id: str) -> Any:
        return translate_view(manager, exact_statement(bq_sql, project_id, manager._ctx.catalog, {}), project_id)

    replace(MaterializedViewManager, "_translate", translate_view_exactly)
    _drop_inexact_rules()
    for module, name in ((sql_udf, "_translate_body"), (table_valued, "_translate_tvf_body")):
        replace(module, name, _guarded(getattr(module, name)))


def _guarded(translate: Any) -> Any:
    """The body of a SQL function has no typed tables: its divisions fail on decimals rather than be inexact."""

    def translate_guarded(body: str, *arguments: Any) -> Any:
        select = body.lstrip().upper().startswith(("SELECT", "WITH"))
        exact = exact_statement(body if select else f"SELECT {body}", "", _NoTables(), {})
        return translate(exact if select else exact.removeprefix("SELECT "), *arguments)

    return translate_guarded


class _NoTables:
    def get_table(self, *_key: str) -> None:
        return None


def _drop_inexact_rules() -> None:
    def exact_rules() -> list[Any]:
        return [rule for rule in get_all_rules() if rule.name not in _INEXACT_RULES]

    replace(translator, "get_all_rules", exact_rules)
    executor._translator._rules = exact_rules()


def exact_statement(bq_sql: str, project_id: str, catalog: Any, parameters: Mapping[str, str]) -> str:
    """`bq_sql` with its decimal arithmetic put into exact functions; the text as it was when there is none."""
    try:
        tree = sqlglot.parse_one(bq_sql, read="bigquery")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return bq_sql  # the translator reports what is wrong with it
    if not isinstance(tree, exp.Expression):
        return bq_sql
    nodes = [node for node in tree.walk() if isinstance(node, (*_BINARY, *_KEEP_TYPE, *_COERCE_LITERALS, *_OTHERS))]
    if not nodes:
        return bq_sql
    types = derive_types(tree, TableTypes(catalog, project_id), parameters)
    changed = False
    for node in reversed(nodes):  # children before their parents
        changed |= isinstance(node, exp.Expression) and _rewrite(node, types)
    return tree.sql(dialect="bigquery") if changed else bq_sql


def _rewrite(node: exp.Expression, types: NodeTypes) -> bool:
    """Rewrite one node in place; whether anything changed."""
    coerced = isinstance(node, _COERCE_LITERALS) and _coerce_literals(node, types)
    operation = next((name for kind, name in _BINARY.items() if isinstance(node, kind)), None)
    if operation is not None:
        return _rewrite_binary(node, operation, types) or coerced
    if isinstance(node, exp.Parameter):
        return _cast_parameter(node, types)
    if isinstance(node, exp.ParseBignumeric):
        _put(node, _cast(node.this, Kind.BIGNUMERIC))
        return True
    if isinstance(node, exp.Avg):
        return _rewrite_average(node, types)
    if isinstance(node, exp.Case):
        return _coerce_case(node, types)
    kind = types.kind(node) if isinstance(node, _KEEP_TYPE) else None
    if kind is not None and not isinstance(node.parent, exp.Cast):
        _put(node, _cast(node.copy(), kind))
        return True
    return coerced


def _rewrite_binary(node: exp.Expression, operation: str, types: NodeTypes) -> bool:
    kind = types.result_kind(node)
    if kind is not None:
        operands = [node.this, node.expression]
        bare = [operand.unnest() if isinstance(operand, exp.Paren) else operand for operand in operands]
        name = function_name(operation, kind, Kind.NUMERIC if _becomes_numeric(node) else None)
        _put(node, exp.Anonymous(this=name, expressions=[part.copy() for part in bare]))
        return True
    if isinstance(node, exp.Div | exp.SafeDivide) and types.has_unknown_operand(node):
        for key in ("this", "expression"):
            node.set(key, exp.Anonymous(this=UNKNOWN_OPERAND, expressions=[node.args[key].copy()]))
        return True
    return False


def _becomes_numeric(node: exp.Expression) -> bool:
    """Whether `node` stands directly in a CAST(... AS NUMERIC) without parameters."""
    cast = node.parent
    if type(cast) is not exp.Cast or cast.this is not node:
        return False
    return bool(cast.to.this == exp.DType.DECIMAL and not cast.to.expressions)


def _rewrite_average(node: exp.Avg, types: NodeTypes) -> bool:
    """AVG(x) is SUM(x) / COUNT(x), in a window too; NULL when there is no row."""
    kind = types.operand_kind(node)
    if kind is None:
        return False
    window = node.parent if isinstance(node.parent, exp.Window) else None
    parts: list[exp.Expression] = []
    for aggregate in (exp.Sum, exp.Count):
        part: exp.Expression = aggregate(this=node.this.copy())
        if window is not None:
            over = window.copy()
            over.set("this", part)
            part = over
        parts.append(part)
    _put(window or node, exp.Anonymous(this=function_name("safe_divide", kind), expressions=parts))
    return True


def _coerce_literals(node: exp.Expression, types: NodeTypes) -> bool:
    kind = types.decimal_among_operands(node)
    if kind is None:
        return False
    changed = False
    for child in list(node.iter_expressions()):
        if isinstance(node, exp.If) and child.arg_key == "this":
            continue  # the condition
        changed |= _coerce(child, kind)
    return changed


def _coerce_case(node: exp.Case, types: NodeTypes) -> bool:
    results = [branch.args["true"] for branch in node.args["ifs"]]
    if node.args.get("default") is not None:
        results.append(node.args["default"])
    kinds = [kind for kind in map(types.kind, results) if kind is not None]
    if not kinds:
        return False
    kind = Kind.BIGNUMERIC if Kind.BIGNUMERIC in kinds else Kind.NUMERIC
    changed = [_coerce(result, kind) for result in results]
    return any(changed)


def _coerce(node: exp.Expression, kind: Kind) -> bool:
    literal = node.this if isinstance(node, exp.Neg) else node
    if not isinstance(literal, exp.Literal) or literal.is_string or literal.is_int:
        return False
    literal.replace(_cast(exp.Literal.string(literal.this), kind))
    return True


def _cast_parameter(node: exp.Parameter, types: NodeTypes) -> bool:
    kind = types.parameter_kind(node)
    if kind is None or isinstance(node.parent, exp.Cast):
        return False
    _put(node, _cast(node.copy(), kind))
    return True


def _put(node: exp.Expression, replacement: exp.Expression) -> None:
    """Replace `node`; what was derived for it holds for the replacement."""
    replacement.meta.update(node.meta)
    node.replace(replacement)


def _cast(node: exp.Expression, kind: Kind) -> exp.Cast:
    return exp.Cast(this=node, to=exp.DataType.build(kind.upper(), dialect="bigquery"))


_OTHERS = (exp.Avg, exp.Case, exp.Parameter, exp.ParseBignumeric)
