"""BQ009: date and time functions with a type or a part that BigQuery refuses.

The type of a column is read off its name, by the rule of this project: `_at` is a TIMESTAMP, `_date` a DATE.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.sqlcheck.model import Problem, Query, Rule, at
from infra.sqlcheck.parse import SqlNode, exp

_BEYOND_DAY = {"WEEK", "ISOWEEK", "MONTH", "QUARTER", "YEAR", "ISOYEAR"}
_BELOW_DAY = {"HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND", "NANOSECOND"}
_TIMESTAMP_FUNCTIONS = (
    exp.CurrentTimestamp,
    exp.TimestampAdd,
    exp.TimestampSub,
    exp.TimestampTrunc,
)
_DATE_FUNCTIONS = (exp.CurrentDate, exp.Date, exp.DateAdd, exp.DateSub, exp.LastDay, exp.DateFromUnixDate)
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


def _find(query: Query) -> Iterator[Problem]:
    yield from _parts(query)
    yield from _interval_arithmetic(query)
    yield from _arguments(query)
    yield from _comparisons(query)


def _parts(query: Query) -> Iterator[Problem]:
    for node in query.nodes(exp.TimestampAdd, exp.TimestampSub, exp.TimestampDiff):
        if _part(node) in _BEYOND_DAY:
            message = f"{_name(node)} takes no {_part(node)}: a TIMESTAMP counts up to DAY"
            yield at(node, message, "n days, or timestamp(datetime_sub(datetime(x), interval 1 month))")
    for node in query.nodes(exp.DateAdd, exp.DateSub, exp.DateDiff):
        if _part(node) in _BELOW_DAY:
            message = f"{_name(node)} takes no {_part(node)}: a DATE has days"
            yield at(node, message, "timestamp_add, timestamp_sub or timestamp_diff")


def _interval_arithmetic(query: Query) -> Iterator[Problem]:
    for node in query.nodes(exp.Add, exp.Sub):
        interval = node.expression
        if isinstance(interval, exp.Interval) and _is_timestamp(node.this) and _part(interval) in _BEYOND_DAY:
            message = f"a TIMESTAMP plus or minus an interval of {_part(interval)} is refused"
            yield at(node, message, "n days, or timestamp(datetime_sub(datetime(x), interval 1 month))")


def _arguments(query: Query) -> Iterator[Problem]:
    for node in query.nodes(exp.TimestampAdd, exp.TimestampSub):
        if _is_date(node.this):
            yield at(node, f"{_name(node)} on a DATE", "date_add or date_sub, or timestamp(x) first")
    for node in query.nodes(exp.TimestampDiff):
        if _is_date(node.this) or _is_date(node.expression):
            yield at(node, f"{_name(node)} on a DATE", "date_diff, or timestamp(x) first")
    for node in query.nodes(exp.DateAdd, exp.DateSub):
        if _is_timestamp(node.this):
            hint = "timestamp_add or timestamp_sub, or date(x) first: the emulator would answer with a DATE"
            yield at(node, f"{_name(node)} on a TIMESTAMP", hint)
    for node in query.nodes(exp.DateDiff):
        if _is_timestamp(node.this) is not _is_timestamp(node.expression) and (
            _is_date(node.this) or _is_date(node.expression)
        ):
            yield at(node, f"{_name(node)} of a DATE and a TIMESTAMP", "date(x) on the TIMESTAMP")


def _comparisons(query: Query) -> Iterator[Problem]:
    for node in query.nodes(*_COMPARISONS):
        if _mixed(node.this, node.expression):
            yield at(node, "a TIMESTAMP is compared with a DATE", "date(x) or timestamp(x) on one side")
    for node in query.nodes(exp.Between):
        if _mixed(node.this, node.args["low"]) or _mixed(node.this, node.args["high"]):
            yield at(node, "a TIMESTAMP is compared with a DATE", "date(x) or timestamp(x) on one side")


def _mixed(left: SqlNode, right: SqlNode) -> bool:
    return (_is_timestamp(left) and _is_date(right)) or (_is_date(left) and _is_timestamp(right))


def _is_timestamp(node: SqlNode | None) -> bool:
    if isinstance(node, exp.Column):
        return str(node.name).lower().endswith("_at")
    return isinstance(node, _TIMESTAMP_FUNCTIONS) or _is_cast_to(node, {"TIMESTAMP", "TIMESTAMPTZ"})


def _is_date(node: SqlNode | None) -> bool:
    if isinstance(node, exp.Column):
        return str(node.name).lower().endswith("_date")
    return isinstance(node, _DATE_FUNCTIONS) or _is_cast_to(node, {"DATE"})


def _is_cast_to(node: SqlNode | None, kinds: set[str]) -> bool:
    return isinstance(node, exp.Cast) and node.args["to"].this.name in kinds


def _part(node: SqlNode) -> str:
    return str(node.args["unit"].name).upper() if node.args.get("unit") is not None else "DAY"


def _name(node: SqlNode) -> str:
    return str(node.meta.get("name") or node.key).upper()


TEMPORAL_TYPES = Rule("BQ009", "date or time function with the wrong type or part", _find)
