"""BQ013, BQ014 and BQ016: well-formed queries that DuckDB runs and BigQuery refuses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from infra.sqlcheck.model import Problem, Query, Rule, at
from infra.sqlcheck.parse import SqlNode, exp


def _refused_shapes(query: Query) -> Iterator[Problem]:
    for node in query.nodes(exp.Update, exp.Delete):
        if node.args.get("where") is None:
            yield at(node, "BigQuery refuses UPDATE and DELETE without WHERE", "where true, or truncate table")
    for select in query.nodes(exp.Select):
        if select.args.get("qualify") is not None and select.find(exp.Window) is None:
            yield at(select.args["qualify"], "QUALIFY without a window function is refused", "where or having")
    yield from _windows(query)
    for order in query.nodes(exp.Order):
        if isinstance(order.this, exp.Distinct):
            arguments = [argument.sql("bigquery") for argument in order.this.expressions]
            for key in order.expressions:
                if key.this.sql("bigquery") not in arguments:
                    yield at(key, "an aggregate of DISTINCT values orders by its own argument only", "the argument")


def _windows(query: Query) -> Iterator[Problem]:
    for node in query.nodes(exp.PercentileCont, exp.PercentileDisc):
        window = node.find_ancestor(exp.Window, exp.Select)
        if not isinstance(window, exp.Window):
            hint = "percentile_cont(x, 0.5) over (partition by ...), then one row of each partition"
            yield at(node, "PERCENTILE_CONT and PERCENTILE_DISC exist only with OVER", hint)
        elif window.args.get("order") is not None:
            hint = "leave the order out: the function orders by its own argument"
            yield at(node, "PERCENTILE_CONT and PERCENTILE_DISC refuse ORDER BY in OVER", hint)
    for holder in query.nodes(exp.Window):
        spec = holder.args.get("spec")
        if spec is not None and str(spec.args.get("kind")).upper() == "RANGE" and spec.find(exp.Interval) is not None:
            hint = "order by unix_micros(x) range between 3600000000 preceding and current row"
            yield at(holder, "a RANGE frame with an INTERVAL is refused: it takes numbers only", hint)
        if holder.args.get("order") is not None and isinstance(holder.this.this, exp.Distinct):
            yield at(holder, "an analytic aggregate of DISTINCT values refuses ORDER BY", "dedupe in a CTE first")


def _reused_aliases(query: Query) -> Iterator[Problem]:
    """An alias that the same SELECT uses in another column or in WHERE: only DuckDB looks it up there."""
    for select in query.nodes(exp.Select):
        aliases = {item.alias.lower(): item for item in select.expressions if isinstance(item, exp.Alias)}
        fresh = {name: item for name, item in aliases.items() if name not in _bare_columns(item)}
        readers = [item for item in (*select.expressions, select.args.get("where")) if item is not None]
        for reader in readers:
            for name, column in _bare_columns(reader).items():
                if name in fresh and fresh[name] is not reader:
                    hint = "compute it in an earlier CTE; if it is a column of the source, write source.column"
                    yield at(column, f"{name} is an alias of the same SELECT, which BigQuery does not see here", hint)


def _bare_columns(node: SqlNode) -> dict[str, SqlNode]:
    """Unqualified columns of an expression by lower-case name, without those of subqueries."""
    found: dict[str, SqlNode] = {}
    for part in node.walk(prune=lambda inner: isinstance(inner, exp.Query | exp.Subquery)):
        if isinstance(part, exp.Column) and not part.table:
            found.setdefault(str(part.name).lower(), part)
    return found


def _unsupported_joins(query: Query) -> Iterator[Problem]:
    for join in query.nodes(exp.Join):
        condition, side = join.args.get("on"), str(join.args.get("side") or "").upper()
        if side not in {"LEFT", "RIGHT", "FULL"} or isinstance(join.this, exp.Unnest) or condition is None:
            continue
        if not any(_equates_two_columns(part) for part in _conjuncts(condition)):
            hint = "add an equality of columns of both sides, or an inner join and a union of the rest"
            yield at(condition, f"a {side} JOIN needs an equality between both sides", hint)
    for subquery in _expression_subqueries(query):
        outer = _outer_tables(subquery)
        ordered = subquery.args.get("limit") or subquery.args.get("order")
        if outer and ordered is not None and not _reads_only_arrays(subquery):
            hint = "join, then qualify row_number() over (...) = 1, or array_agg(x order by y limit 1)"
            yield at(ordered, f"a subquery on {', '.join(outer)} with ORDER BY or LIMIT cannot be decorrelated", hint)


def _conjuncts(condition: SqlNode) -> Iterable[SqlNode]:
    return list(condition.flatten()) if isinstance(condition, exp.And) else [condition.unnest()]


def _equates_two_columns(part: SqlNode) -> bool:
    equality = part.unnest()
    if not isinstance(equality, exp.EQ):
        return False
    return equality.this.find(exp.Column) is not None and equality.expression.find(exp.Column) is not None


def _expression_subqueries(query: Query) -> Iterator[SqlNode]:
    """SELECTs that stand where a value stands: scalar, ARRAY, EXISTS and IN subqueries."""
    for select in query.nodes(exp.Select):
        holder = select.parent
        if isinstance(holder, exp.Subquery):
            if isinstance(holder.parent, exp.From | exp.Join | exp.CTE | exp.SetOperation | exp.Merge):
                continue
            yield select
        elif isinstance(holder, exp.Exists | exp.Array | exp.In):
            yield select


def _outer_tables(subquery: SqlNode) -> list[str]:
    own = {source.alias_or_name.lower() for source in subquery.find_all(exp.Table, exp.Subquery, exp.Unnest)}
    aliases = subquery.find_all(exp.TableAlias)
    own |= {str(column.name).lower() for alias in aliases for column in alias.columns}
    used = {column.table.lower() for column in subquery.find_all(exp.Column) if column.table}
    return sorted(used - own)


def _reads_only_arrays(subquery: SqlNode) -> bool:
    source = subquery.args.get("from_")
    return source is None or isinstance(source.this, exp.Unnest)


REUSED_ALIASES = Rule("BQ013", "alias read in its own SELECT", _reused_aliases)
UNSUPPORTED_JOINS = Rule("BQ014", "join or subquery that BigQuery cannot plan", _unsupported_joins)
REFUSED_SHAPES = Rule("BQ016", "clause that BigQuery refuses", _refused_shapes)
