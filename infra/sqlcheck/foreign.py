"""BQ004: names and syntax that DuckDB knows and BigQuery does not."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.sqlcheck.calls import calls
from infra.sqlcheck.functions import REPLACEMENTS
from infra.sqlcheck.model import Problem, Query, Rule
from infra.sqlcheck.patterns import Pattern, problems

_TYPE_NAMES = """
ARRAY BIGDECIMAL BIGINT BIGNUMERIC BOOL BOOLEAN BYTEINT BYTES DATE DATETIME DECIMAL FLOAT64 GEOGRAPHY INT INT64
INTEGER INTERVAL JSON NUMERIC RANGE SMALLINT STRING STRUCT TIME TIMESTAMP TINYINT
"""
_TYPES = frozenset(_TYPE_NAMES.split())

_PARTS = "year|quarter|month|week|isoweek|isoyear|day|hour|minute|second|millisecond|microsecond"

_PATTERNS = (
    Pattern(r"::", "the cast `::` is not BigQuery", "cast(x as type)"),
    Pattern(r"(?<= )->(?= )", "the operator `->` is not BigQuery", "json_query or json_value"),
    Pattern(r"\{", "a literal in braces is not BigQuery", "struct(x as a) or json_object('a', x)"),
    Pattern(r"\bILIKE\b", "ILIKE is not BigQuery", "lower(x) like '...', or contains_substr(x, '...')"),
    Pattern(r"\bFILTER \( WHERE\b", "an aggregate's FILTER is not BigQuery", "countif(c), or sum(if(c, x, null))"),
    Pattern(r"\bDISTINCT ON \(", "DISTINCT ON is not BigQuery", "qualify row_number() over (...) = 1"),
    Pattern(r"\b(?:SEMI|ANTI) JOIN\b", "SEMI and ANTI JOIN are not BigQuery", "[not] exists (select 1 from ...)"),
    Pattern(r"\b(?:ASOF|POSITIONAL) (?:LEFT )?JOIN\b", "this join is not BigQuery", "join on the key, then qualify"),
    Pattern(r"\* EXCLUDE\b", "EXCLUDE is not BigQuery", "select * except (a)"),
    Pattern(r"\bORDER BY ALL\b", "ORDER BY ALL is not BigQuery", "name the columns"),
    Pattern(r"\b(?:FROM|JOIN) ''", "a file is not a table in BigQuery", "a seed, a load job or an external table"),
    Pattern(r"\bAS (?:NOT )?MATERIALIZED \(", "a CTE cannot be MATERIALIZED in BigQuery", "with x as (...)"),
    Pattern(r"\bFETCH (?:FIRST|NEXT)\b", "FETCH FIRST is not BigQuery", "limit n"),
    Pattern(r"\bLIMIT [\d.]+ (?:%|PERCENT)", "a LIMIT in percent is not BigQuery", "tablesample system (n percent)"),
    Pattern(r"\bUSING SAMPLE\b", "USING SAMPLE is not BigQuery", "tablesample system (n percent)"),
    Pattern(r"\bON CONFLICT\b", "ON CONFLICT is not BigQuery", "merge"),
    Pattern(r"\bINSERT OR (?:REPLACE|IGNORE)\b", "INSERT OR is not BigQuery", "merge"),
    Pattern(r"\bRETURNING\b(?= [\w*`])", "RETURNING is not BigQuery", "select the rows in a second statement"),
    Pattern(r"\bCREATE (?:OR REPLACE )?(?:TEMP(?:ORARY)? )?MACRO\b", "a MACRO is not BigQuery", "create function"),
    Pattern(
        r"(?:^|; )(?:PRAGMA|SUMMARIZE|ATTACH|DETACH|COPY|DESCRIBE|SHOW|INSTALL|CHECKPOINT|VACUUM)\b",
        "this statement is not BigQuery",
        "INFORMATION_SCHEMA, or the client's own call",
    ),
    Pattern(r"\bINTERVAL '' (?!\w+ TO\b)", "an interval's number in quotes is not BigQuery", "interval 1 day"),
    Pattern(r"\bINTERVAL ''$", "an interval's number in quotes is not BigQuery", "interval 1 day"),
    Pattern(r"\b(?:EXCEPT|INTERSECT) (?:ALL|\(? ?SELECT)\b", "BigQuery wants DISTINCT here", "except distinct"),
    Pattern(r"\bLATERAL\b", "LATERAL is not BigQuery", "a comma join with unnest(...), or a CTE"),
)


def _foreign_sql(query: Query) -> Iterator[Problem]:
    yield from problems(query, _PATTERNS)
    yield from _unknown_functions(query)
    yield from _unknown_types(query)
    yield from _quoted_parts(query)


def _unknown_functions(query: Query) -> Iterator[Problem]:
    for call in calls(query):
        if call.is_builtin or call.is_routine:
            continue
        instead = REPLACEMENTS.get(call.name)
        hint = instead or "use a function of BigQuery's reference, or qualify your own routine with its dataset"
        yield Problem(call.line, f"{call.name}() is not a function of BigQuery", hint)


def _unknown_types(query: Query) -> Iterator[Problem]:
    """Types named in casts; `AS` stands there at the depth of the cast's own bracket."""
    depth = 0
    casts: list[int] = []
    words = [str(token.text).upper() for token in query.tokens]
    for index, word in enumerate(words):
        if word == "(":
            depth += 1
            if index and words[index - 1] in {"CAST", "SAFE_CAST"}:
                casts.append(depth)
        elif word == ")":
            if casts and casts[-1] == depth:
                casts.pop()
            depth -= 1
        elif word == "AS" and casts and casts[-1] == depth and index + 1 < len(words):
            named = words[index + 1]
            if named not in _TYPES:
                hint = "string, int64, float64, numeric, bool, date, datetime, time, timestamp, bytes or json"
                yield Problem(query.tokens[index + 1].line, f"{named} is not a type of BigQuery", hint)


def _quoted_parts(query: Query) -> Iterator[Problem]:
    names = {"DATE_TRUNC", "DATETIME_TRUNC", "TIMESTAMP_TRUNC", "DATE_DIFF", "DATETIME_DIFF", "TIMESTAMP_DIFF"}
    tokens = query.tokens
    for name, bracket, first in zip(tokens, tokens[1:], tokens[2:], strict=False):
        is_call = str(name.text).upper() in names | {"EXTRACT"} and bracket.text == "("
        if is_call and first.token_type.name == "STRING" and re.fullmatch(_PARTS, str(first.text), re.IGNORECASE):
            message = f"the part '{first.text}' is in quotes and comes first: that is DuckDB's order"
            yield Problem(first.line, message, "date_trunc(x, day), date_diff(later, earlier, day)")


FOREIGN_SQL = Rule("BQ004", "not BigQuery", _foreign_sql)
