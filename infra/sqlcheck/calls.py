"""Which functions a query calls, by the name that was written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from infra.sqlcheck.functions import BIGQUERY_FUNCTIONS, BUILTIN_NAMESPACES
from infra.sqlcheck.model import Query
from infra.sqlcheck.parse import SqlNode, exp, line_of

# Calls whose name the parser does not keep on the node; the skeleton shows them.
_SPECIAL_CALL = re.compile(
    r"(?<!\. )\b(ARGMAX|ARGMIN|ARG_MAX|ARG_MIN|CONVERT|DECODE|OPENJSON|OVERLAY|POSITION|TRY_CAST|TRY_CONVERT|"
    r"XMLELEMENT|XMLTABLE|JSON_OBJECTAGG|JSON_TABLE|CHAR) \("
)
_BARE_CURRENT = (
    (exp.CurrentDate, "current_date"),
    (exp.CurrentDatetime, "current_datetime"),
    (exp.CurrentTimestamp, "current_timestamp"),
    (exp.CurrentTime, "current_time"),
)


@dataclass(frozen=True)
class Call:
    """A call: the name in lower case with its prefix, whether it is a routine of a dataset, and its line."""

    name: str
    is_routine: bool
    line: int
    node: SqlNode | None = None

    @property
    def is_builtin(self) -> bool:
        """Whether BigQuery documents the function."""
        return self.name in BIGQUERY_FUNCTIONS


def calls(query: Query) -> Iterator[Call]:
    """Every call in the query, in no order; functions that the script itself defines count as routines."""
    own = _defined_here(query)
    for statement in query.statements:
        for node in statement.walk():
            call = _call(node)
            if call is not None:
                yield Call(call.name, True, call.line, node) if call.name in own else call
    for line, match in query.skeleton.matches(_SPECIAL_CALL.pattern):
        yield Call(match.group(1).lower(), False, line)


def _call(node: SqlNode) -> Call | None:
    if isinstance(node, exp.Anonymous):
        if isinstance(node.parent, exp.UserDefinedFunction):
            return None
        return _anonymous(node)
    for kind, name in _BARE_CURRENT:
        if isinstance(node, kind):
            return Call(name, False, line_of(node), node)
    written = node.meta.get("name")
    if written is None:
        return None
    name = str(written).lower()
    if isinstance(node.parent, exp.NetFunc):
        name = f"net.{name}"
    elif isinstance(node.parent, exp.Dot):
        return _qualified(node, name)
    return Call(name, False, line_of(node), node)


def _anonymous(node: SqlNode) -> Call:
    name = str(node.name).lower()
    line = line_of(node)
    if "." in name:
        return Call(name, True, line, node)
    parent = node.parent
    if isinstance(parent, exp.Table):
        return Call(name, bool(parent.args.get("db")), line, node)
    if isinstance(parent, exp.NetFunc):
        return Call(f"net.{name}", False, line, node)
    if isinstance(parent, exp.Dot) and parent.expression is node:
        return _qualified(node, name)
    return Call(name, False, line, node)


def _qualified(node: SqlNode, name: str) -> Call:
    parent = node.parent
    prefix = parent.this.sql("bigquery").lower().strip("`") if parent is not None else ""
    prefix = prefix.removeprefix("safe.")
    if prefix == "safe":
        return Call(name, False, line_of(node), node)
    return Call(f"{prefix}.{name}", prefix not in BUILTIN_NAMESPACES, line_of(node), node)


def _defined_here(query: Query) -> frozenset[str]:
    names = (
        node.this.name.lower()
        for node in query.nodes(exp.UserDefinedFunction)
        if isinstance(node.this, exp.Table | exp.Identifier)
    )
    return frozenset(names)
