"""BQ001, BQ005 and BQ012: legal SQL that the embedded emulator runs wrongly, or not at all.

Each entry was seen on bqemulator 1.4.0. An entry goes away when the embedded server mends what it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.sqlcheck.calls import calls
from infra.sqlcheck.model import Problem, Query, Rule, Severity, at
from infra.sqlcheck.parse import SqlNode, exp
from infra.sqlcheck.patterns import Pattern, problems

_FAILING_CALLS = """
aead.decrypt_bytes aead.decrypt_string aead.encrypt bag_of_words current_datetime date_bucket datetime_bucket
deterministic_decrypt_bytes deterministic_decrypt_string deterministic_encrypt dlp_deterministic_decrypt
dlp_deterministic_encrypt dlp_key_chain external_object_transform external_query json_array_append json_flatten
s2_cellidfrompoint s2_coveringcellids search text_analyze tf_idf timestamp_bucket vector_search
"""
_FAILING = frozenset(_FAILING_CALLS.split())
_FAILING_NAMESPACES = ("keys.", "kll_quantiles.", "net.")
_CALL_HINTS = {
    "current_datetime": "datetime(current_timestamp())",
    "date_bucket": "date_trunc, or date_from_unix_date(div(unix_date(x), n) * n)",
    "timestamp_bucket": "timestamp_trunc, or timestamp_seconds(div(unix_micros(x), 300000000) * 300)",
}
_FAILING_PATTERNS = (
    Pattern(r"\bLANGUAGE (?:JS|JAVASCRIPT|PYTHON)\b", "a function in another language fails", "a SQL function"),
    Pattern(r"(?:^|; )ASSERT\b", "ASSERT fails", "if(condition, null, error('...'))"),
    Pattern(r"\b(?:PRIMARY|FOREIGN) KEY\b", "key constraints fail", "a unique test in dbt"),
    Pattern(r"(?:^|; )UNDROP\b", "UNDROP fails", "run it against BigQuery only"),
    Pattern(r"\bCREATE (?:OR REPLACE )?EXTERNAL TABLE\b", "external tables fail", "a load job"),
    Pattern(r"(?:^|; )LOAD DATA\b", "LOAD DATA fails", "a load job of the client"),
    Pattern(r"(?:^|; )(?:GRANT|REVOKE)\b", "GRANT and REVOKE fail", "Terraform"),
    Pattern(r"\bDROP ALL ROW ACCESS POLICIES\b", "this statement fails", "drop each policy by name"),
    Pattern(r"\bAPPENDS \(", "APPENDS fails", "a filter on the time of ingestion"),
    Pattern(r"@ ?@ ?PROJECT_ID\b", "@@project_id fails", "a query parameter or a dbt variable"),
    Pattern(r"\b__TABLES__\b", "__TABLES__ fails", "INFORMATION_SCHEMA.TABLES, or list_tables of the client"),
    Pattern(r"\bINFORMATION_SCHEMA(?:`? \. `?|\.)(?:JOBS|TABLE_STORAGE)", "this view fails", "the client's job list"),
    Pattern(
        r"\bCREATE (?:OR REPLACE )?SNAPSHOT TABLE\b[^;]*\b(?:FOR SYSTEM_TIME|OPTIONS \()",
        "CREATE SNAPSHOT TABLE with FOR SYSTEM_TIME or OPTIONS fails",
        "create snapshot table s clone t",
    ),
    Pattern(
        r"\bALTER TABLE\b[^;]*\bSET OPTIONS \( EXPIRATION_TIMESTAMP\b",
        "ALTER TABLE SET OPTIONS(expiration_timestamp) fails",
        "set it when the table is created, and delete by DML",
    ),
    Pattern(r"\bEXTRACT \( WEEK \(", "EXTRACT(WEEK(day)) fails", "extract(isoweek from x)"),
)
_MICROSECONDS = {
    "DAY": 86_400_000_000,
    "HOUR": 3_600_000_000,
    "MINUTE": 60_000_000,
    "SECOND": 1_000_000,
    "MILLISECOND": 1_000,
}
_SHORT_UNITS = {"SECOND", "MILLISECOND"}
_TIMESTAMPS = re.compile(r"_at$", re.IGNORECASE)
_DATES = re.compile(r"_date$", re.IGNORECASE)


def _variable_index(query: Query) -> Iterator[Problem]:
    hint = "a[ordinal(i + 1)], or unnest(a) with offset"
    for bracket in query.nodes(exp.Bracket):
        if bracket.args.get("offset") == 1:
            continue
        if any(not _is_constant(index) for index in bracket.expressions):
            yield at(bracket, "an index that is not constant gives the element before it on the emulator", hint)


def _is_constant(index: SqlNode) -> bool:
    """Whether the index is text (a JSON field) or a number: the emulator shifts only what is computed by row."""
    return next(iter(index.find_all(exp.Column, exp.Parameter, exp.Func, exp.Query)), None) is None


def _failures(query: Query) -> Iterator[Problem]:
    yield from problems(query, _FAILING_PATTERNS)
    for call in calls(query):
        if call.name in _FAILING or (call.name.startswith(_FAILING_NAMESPACES) and not call.is_routine):
            hint = _CALL_HINTS.get(call.name, "compute it another way, or outside SQL")
            yield Problem(call.line, f"{call.name}() does not exist on the emulator", hint)
    yield from _failing_array_aggs(query)
    for node in query.nodes(exp.DateTrunc, exp.DatetimeTrunc, exp.TimestampTrunc, exp.LastDay):
        if _part(node) == "ISOWEEK":
            yield at(node, "ISOWEEK fails on the emulator", "week(monday) is wrong there too: subtract the weekday")
        elif _part(node).startswith("WEEK(") and not isinstance(node, exp.DateTrunc):
            yield at(node, "WEEK(day) of a TIMESTAMP fails on the emulator", "date_trunc of date(x) to week")
    for node in query.nodes(exp.StrToTime):
        if "%E" in _text(node.args.get("format")):
            yield at(node, "the element %E fails in a parse format on the emulator", "cast(x as timestamp)")
    for node in query.nodes(exp.Format):
        if re.search(r"%[^%]*?[tTpP]", _text(node.this)):
            yield at(node, "FORMAT with %t, %T, %p or %P fails on the emulator", "cast(x as string) and %s")
    for node in query.nodes(exp.Unnest):
        literal = next(iter(node.expressions), None)
        if node.args.get("offset") is not None and isinstance(literal, exp.Array) and literal.find(exp.Struct):
            yield at(node, "UNNEST of written-out structs WITH OFFSET fails on the emulator", "a field for the place")


def _failing_array_aggs(query: Query) -> Iterator[Problem]:
    for node in query.nodes(exp.ArrayAgg):
        ignores = isinstance(node.parent, exp.IgnoreNulls) or isinstance(node.this, exp.IgnoreNulls)
        argument, is_limited = node.this, False
        while isinstance(argument, exp.Limit | exp.Order | exp.IgnoreNulls):
            is_limited = is_limited or isinstance(argument, exp.Limit)
            argument = argument.this
        if ignores and isinstance(argument, exp.Distinct):
            hint = "drop the nulls in a CTE, then array_agg(distinct x)"
            yield at(node, "ARRAY_AGG(DISTINCT x IGNORE NULLS) fails on the emulator", hint)
        if ignores and is_limited:
            hint = "drop the nulls in a CTE, or array_agg(x ignore nulls order by y)[safe_offset(0)]"
            yield at(node, "ARRAY_AGG(x IGNORE NULLS ... LIMIT n) fails on the emulator", hint)
        fields = argument.expressions if isinstance(argument, exp.Struct) else ()
        if len(fields) > 1 and any(not isinstance(field, exp.PropertyEQ) for field in fields):
            yield at(node, "ARRAY_AGG of a STRUCT with unnamed fields fails on the emulator", "struct(a as a, b as b)")


def _differences(query: Query) -> Iterator[Problem]:
    yield from _time_differences(query)
    yield from _calendar_differences(query)
    yield from _shape_differences(query)


def _time_differences(query: Query) -> Iterator[Problem]:
    for node in query.nodes(exp.TimestampDiff, exp.TimeDiff):
        part = _part(node)
        if part in _MICROSECONDS:
            severity = Severity.WARNING if part in _SHORT_UNITS else Severity.ERROR
            hint = f"div(timestamp_diff(a, b, microsecond), {_MICROSECONDS[part]})"
            message = f"the emulator counts boundaries of {part}, BigQuery whole ones: up to 1 {part} too many"
            yield at(node, message, hint, severity)
    for node in query.nodes(exp.UnixSeconds):
        hint = "div(unix_micros(x), 1000000)"
        yield at(node, "the emulator rounds UNIX_SECONDS, BigQuery cuts the fraction off", hint, Severity.WARNING)
    for node in query.nodes(exp.Extract):
        if str(node.this.name).upper() in {"MILLISECOND", "MICROSECOND"}:
            hint = "mod(unix_millis(x), 1000) or mod(unix_micros(x), 1000000)"
            yield at(node, "the emulator adds the seconds to the fraction that EXTRACT gives", hint)
    for node in query.nodes(exp.Sub):
        if _is_named(node.this, _DATES) and _is_named(node.expression, _DATES):
            hint = "date_diff(later, earlier, day)"
            yield at(node, "DATE - DATE is an INTERVAL in BigQuery and a number on the emulator", hint)


def _calendar_differences(query: Query) -> Iterator[Problem]:
    for node in query.nodes(exp.TimestampTrunc, exp.DatetimeTrunc, exp.DateTrunc):
        of_timestamp = not isinstance(node, exp.DateTrunc) or _is_named(node.this, _TIMESTAMPS)
        if _part(node) == "WEEK" and of_timestamp:
            hint = "timestamp(date_trunc(date(x), week))"
            yield at(node, "the emulator's week of a TIMESTAMP starts on Monday, BigQuery's on Sunday", hint)
        if isinstance(node, exp.DateTrunc) and _part(node).startswith("WEEK(") and _part(node) != "WEEK(SUNDAY)":
            hint = "date_sub(x, interval mod(extract(dayofweek from x) + 5, 7) day) for Monday"
            yield at(node, "the emulator takes each WEEK(day) for a week from Sunday", hint)
    for node in query.nodes(exp.DateDiff, exp.DatetimeDiff):
        if _part(node) == "ISOWEEK" or (_part(node).startswith("WEEK(") and _part(node) != "WEEK(SUNDAY)"):
            yield at(node, f"the emulator counts weeks from Sunday for {_part(node)}", "div(date_diff(a, b, day), 7)")
    for node in query.nodes(exp.TimeToStr):
        if "%E" in _text(node.args.get("format")):
            hint = "format_timestamp('%FT%T', x) and the fraction from unix_millis"
            yield at(node, "the emulator leaves the format element %E as it is", hint)


def _shape_differences(query: Query) -> Iterator[Problem]:
    for bracket in query.nodes(exp.Bracket):
        if isinstance(bracket.this, exp.ApproxQuantiles):
            hint = "name the array in a CTE, and take the element in the next"
            yield at(bracket, "the emulator takes the element after the one that is asked of APPROX_QUANTILES", hint)
    for call in calls(query):
        if call.name in {"approx_top_count", "approx_top_sum"}:
            message = f"{call.name}() gives values without their counts on the emulator"
            yield Problem(call.line, message, "count by group, then order by and limit")
    for node in query.nodes(exp.Format):
        if _text(node.this) == "%s":
            yield at(node, "FORMAT('%s', x) gives '{}' on the emulator", "cast(x as string)")
    for cast in query.nodes(exp.Cast):
        if cast.args["to"].this.name == "BIGINT" and isinstance(cast.this, exp.Div):
            hint = "cast(round(a / b) as int64), or div(a, b)"
            yield at(cast, "the emulator rounds a half to the even number, BigQuery away from zero", hint)
    for node in query.nodes(exp.JSONFormat):
        if any(_is_named(column, _TIMESTAMPS) for column in node.find_all(exp.Column)):
            hint = "format_timestamp('%FT%TZ', x) as a field"
            message = "a TIMESTAMP in JSON has another format on the emulator"
            yield at(node, message, hint, Severity.WARNING)


def _part(node: SqlNode) -> str:
    unit = node.args.get("unit")
    if unit is None:
        return ""
    if isinstance(unit, exp.WeekStart):
        return f"WEEK({str(unit.name).upper()})"
    return str(unit.name).upper()


def _text(node: SqlNode | None) -> str:
    return str(node.name) if isinstance(node, exp.Literal) and node.is_string else ""


def _is_named(node: SqlNode | None, pattern: re.Pattern[str]) -> bool:
    return isinstance(node, exp.Column) and pattern.search(str(node.name)) is not None


VARIABLE_INDEX = Rule("BQ001", "computed array index", _variable_index)
EMULATOR_FAILURES = Rule("BQ005", "fails on the emulator", _failures)
DIFFERENCES = Rule("BQ012", "other result on the emulator", _differences)
