"""The types of the expressions of a BigQuery statement, derived from the catalog's columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from infra.embedded.bigquery.decimals import Kind
from infra.runtime.logs import get_logger

_MARK = "ballast_node"
_STANDARD_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_UNKNOWN = (exp.DataType.Type.UNKNOWN, exp.DataType.Type.NULL)
# Where sqlglot does not know the type, these have that of their operands.
_TRANSPARENT = (exp.Trunc, exp.Round, exp.Ceil, exp.Floor, exp.Paren, exp.Neg, exp.Abs, exp.Add, exp.Sub, exp.Mod)
_ARITHMETIC = (exp.Mul, exp.Div, exp.SafeDivide, exp.IntDiv)


class TableTypes:
    """The columns of tables and views, as BigQuery names their types."""

    def __init__(self, catalog: Any, project_id: str) -> None:
        self._catalog = catalog
        self.project_id = project_id

    def columns(self, table: exp.Table) -> dict[str, str] | None:
        """Column to type of a table that names its dataset; None when the catalog does not know it."""
        if not table.db or not table.name:
            return None
        meta = self._catalog.get_table(table.catalog or self.project_id, table.db, table.name)
        if meta is None or not meta.schema_.fields:
            return None
        return {column.name: _type_text(column) for column in meta.schema_.fields}


def _type_text(column: Any) -> str:
    name = str(column.type).upper()
    if name in ("RECORD", "STRUCT"):
        inner = ", ".join(f"`{part.name}` {_type_text(part)}" for part in column.fields)
        text = f"STRUCT<{inner}>"
    else:
        text = _STANDARD_NAMES.get(name, name)
    return f"ARRAY<{text}>" if column.mode == "REPEATED" else text


def kind_of_type(data_type: exp.DataType | None) -> Kind | None:
    """NUMERIC or BIGNUMERIC for those types, None for all others."""
    match data_type.this if data_type is not None else None:
        case exp.DataType.Type.DECIMAL:
            return Kind.NUMERIC
        case exp.DataType.Type.BIGDECIMAL:
            return Kind.BIGNUMERIC
        case _:
            return None


class NodeTypes:
    """What was derived for the nodes of a statement; a node is known by its mark."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._kinds: dict[int, Kind | None] = {}
        self._known: set[int] = set()
        self._whole: set[int] = set()
        self._parameters = parameters

    def learn(self, tree: exp.Expression) -> None:
        """Take over the types that `annotate_types` left on `tree`, children first."""
        for node in reversed(list(tree.walk())):
            mark = node.meta.get(_MARK)
            if mark is not None and isinstance(node, exp.Expression):
                self._learn_node(node, mark)

    def kind(self, node: exp.Expression) -> Kind | None:
        """The decimal type of `node`, if it has one."""
        return self._kinds.get(node.meta.get(_MARK, -1)) or (
            kind_of_type(node.to) if isinstance(node, exp.Cast) else None
        )

    def result_kind(self, node: exp.Expression) -> Kind | None:
        """The decimal type of a binary operation; None for floating point, whole numbers and unknown operands."""
        operands = [node.this, node.expression]
        kinds = [self._operand(operand) for operand in operands]
        if not any(isinstance(kind, Kind) for kind in kinds) or any(kind in ("float", "unknown") for kind in kinds):
            return None
        return Kind.BIGNUMERIC if Kind.BIGNUMERIC in kinds else Kind.NUMERIC

    def operand_kind(self, node: exp.Expression) -> Kind | None:
        """The decimal type of what an aggregate aggregates."""
        inner = node.this
        if isinstance(inner, exp.Distinct):
            inner = inner.expressions[0]
        return self.kind(inner)

    def has_unknown_operand(self, node: exp.Expression) -> bool:
        """Whether the type of an operand could not be derived."""
        return any(self._operand(operand) == "unknown" for operand in (node.this, node.expression))

    def decimal_among_operands(self, node: exp.Expression) -> Kind | None:
        """The widest decimal type among the direct operands."""
        return _widest([self.kind(child) for child in node.iter_expressions()])

    def parameter_kind(self, node: exp.Parameter) -> Kind | None:
        """The decimal type of a query parameter."""
        name = self._parameters.get(node.name, "")
        return Kind(name.lower()) if name.lower() in Kind._value2member_map_ else None

    def _operand(self, node: exp.Expression) -> Kind | str:
        """The kind of an operand: a decimal, `float`, `whole` or `unknown`."""
        kind = self.kind(node)
        if kind is not None:
            return kind
        if isinstance(node, exp.Literal):
            return "whole"  # a fraction literal has been coerced before
        mark = node.meta.get(_MARK, -1)
        if mark not in self._known:
            return "unknown"
        return "whole" if mark in self._whole else "float"

    def _learn_node(self, node: exp.Expression, mark: int) -> None:
        data_type = node.type if isinstance(node.type, exp.DataType) else None
        if data_type is not None and data_type.this not in _UNKNOWN:
            self._known.add(mark)
            self._kinds[mark] = kind_of_type(data_type)
            if data_type.this in exp.DataType.INTEGER_TYPES:
                self._whole.add(mark)
        elif isinstance(node, exp.Null):
            self._known.add(mark)
            self._whole.add(mark)  # NULL takes the type of the other operand
        elif isinstance(node, (*_TRANSPARENT, *_ARITHMETIC)):
            self._learn_from_operands(node, mark)

    def _learn_from_operands(self, node: exp.Expression, mark: int) -> None:
        operands = [part for part in (node.this, node.args.get("expression")) if isinstance(part, exp.Expression)]
        kinds = [self.kind(part) for part in operands]
        marks = {part.meta.get(_MARK, -1) for part in operands}
        self._kinds[mark] = _widest(kinds)
        if marks <= self._known:
            self._known.add(mark)
            if marks <= self._whole and not isinstance(node, exp.Div | exp.SafeDivide):
                self._whole.add(mark)


def _widest(kinds: list[Kind | None]) -> Kind | None:
    if Kind.BIGNUMERIC in kinds:
        return Kind.BIGNUMERIC
    return Kind.NUMERIC if Kind.NUMERIC in kinds else None


def derive_types(tree: exp.Expression, tables: TableTypes, parameters: Mapping[str, str]) -> NodeTypes:
    """Mark the nodes of `tree` and derive their types; what cannot be derived stays unknown."""
    for number, node in enumerate(tree.walk()):
        node.meta[_MARK] = number
    types = NodeTypes(parameters)
    for query in _queries(tree):
        schema = _bind_tables(query, tables)
        _bind_parameters(query, parameters)
        try:
            qualified = qualify(
                query,
                schema=schema,
                dialect="bigquery",
                infer_schema=True,
                validate_qualify_columns=False,
                quote_identifiers=False,
                identify=False,
            )
            types.learn(annotate_types(qualified, schema=schema, dialect="bigquery"))
        except (SqlglotError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            get_logger(__name__).debug("types_not_derived", error=str(error))
    return types


def _queries(tree: exp.Expression) -> Iterable[exp.Expression]:
    """Copies to derive types in: the statement, and for UPDATE, DELETE and MERGE a SELECT over their tables."""
    if not isinstance(tree, exp.Update | exp.Delete | exp.Merge):
        yield tree.copy()
        return
    sources = [tree.this, tree.args.get("using")]
    from_clause = tree.args.get("from_") or tree.args.get("from")
    if from_clause is not None:
        sources.append(from_clause.this)
    named = [source.copy() for source in sources if isinstance(source, exp.Table | exp.Subquery)]
    values = list(tree.args.get("expressions") or [])
    values += [part for part in (tree.args.get("where"), tree.args.get("on")) if part is not None]
    whens = tree.args.get("whens")
    if whens is not None:
        parts = [part for when in whens.expressions for part in when.args.values()]
        values += [part for part in parts if isinstance(part, exp.Expression)]
    select = exp.Select(expressions=[part for value in values for part in _value_parts(value)])
    select = select.from_(named[0])
    for source in named[1:]:
        select = select.join(source, join_type="cross")
    yield select


def _value_parts(value: exp.Expression) -> Iterable[exp.Expression]:
    """Expressions that may stand in a SELECT list, of an assignment, a condition or an INSERT of a MERGE."""
    if isinstance(value, exp.EQ):
        yield value.expression.copy()
    elif isinstance(value, exp.Where):
        yield value.this.copy()
    elif isinstance(value, exp.Update):
        for assignment in value.expressions:
            yield from _value_parts(assignment)
    elif isinstance(value, exp.Insert):
        inserted = value.expression
        yield from (part.copy() for part in getattr(inserted, "expressions", []) or [])
    elif isinstance(value, exp.Tuple):
        yield from (part.copy() for part in value.expressions)
    elif not isinstance(value, exp.Var):
        yield value.copy()


def _bind_tables(query: exp.Expression, tables: TableTypes) -> dict[str, object]:
    """Name the project of each table, so that all have one depth, and return the schema that sqlglot takes."""
    schema: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for table in query.find_all(exp.Table):
        columns = tables.columns(table)
        if columns is None:
            continue
        if not table.catalog:
            table.set("catalog", exp.to_identifier(tables.project_id))
        schema.setdefault(table.catalog, {}).setdefault(table.db, {})[table.name] = columns
    return {**schema}


def _bind_parameters(query: exp.Expression, parameters: Mapping[str, str]) -> None:
    for node in list(query.find_all(exp.Parameter)):
        name = _STANDARD_NAMES.get(parameters.get(node.name, ""), parameters.get(node.name))
        if not name or name in ("ARRAY", "STRUCT"):
            continue
        typed = exp.Cast(this=exp.Null(), to=exp.DataType.build(name, dialect="bigquery"))
        typed.meta.update(node.meta)
        node.replace(typed)
