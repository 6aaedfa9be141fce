"""The registry of rules and the pure function that applies them to one text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from infra.sqlcheck.emulator import DIFFERENCES, EMULATOR_FAILURES, VARIABLE_INDEX
from infra.sqlcheck.foreign import FOREIGN_SQL
from infra.sqlcheck.house import COMPOSITE_KEYS, DOUBLE_QUOTES, FLOAT_MONEY, MART_STARS, UNREPEATABLE
from infra.sqlcheck.materialized import MATERIALIZED_VIEW_CALLS, MATERIALIZED_VIEW_SHAPE
from infra.sqlcheck.model import Finding, Materialization, Query, Rule, Severity
from infra.sqlcheck.parse import SqlParseError, parse_sql
from infra.sqlcheck.shapes import REFUSED_SHAPES, REUSED_ALIASES, UNSUPPORTED_JOINS
from infra.sqlcheck.temporal import TEMPORAL_TYPES

PARSE_CODE = "BQ006"

RULES: tuple[Rule, ...] = (
    VARIABLE_INDEX,
    MATERIALIZED_VIEW_CALLS,
    MATERIALIZED_VIEW_SHAPE,
    FOREIGN_SQL,
    EMULATOR_FAILURES,
    FLOAT_MONEY,
    MART_STARS,
    TEMPORAL_TYPES,
    COMPOSITE_KEYS,
    UNREPEATABLE,
    DIFFERENCES,
    REUSED_ALIASES,
    UNSUPPORTED_JOINS,
    DOUBLE_QUOTES,
    REFUSED_SHAPES,
)

_ALLOW = re.compile(r"(?:--|#|/\*)\s*sqlcheck:\s*allow\s+(BQ\d{3}(?:\s*,\s*BQ\d{3})*)\s*:\s*\S", re.IGNORECASE)


def check_sql(
    sql: str,
    *,
    materialization: str,
    name: str,
    layer: str = "",
    bases: Mapping[str, str] | None = None,
    allowed: frozenset[str] = frozenset(),
) -> list[Finding]:
    """What BigQuery, or the emulator, would do wrong with `sql`, ordered by line and code.

    `materialization` is dbt's word (`table`, `view`, `incremental`, `materialized_view`, ...), or `script`.
    A comment `-- sqlcheck: allow BQ012: reason` inside the text, or `allowed`, waives codes for the whole text.
    """
    waived = allowed | _waivers(sql)
    try:
        statements, tokens, skeleton = parse_sql(sql)
    except SqlParseError as failure:
        hint = "write it as BigQuery documents it; a script statement that is right may be waived with a reason"
        found = [Finding(PARSE_CODE, Severity.ERROR, f"{name}: {failure}", failure.line, hint)]
        return [finding for finding in found if finding.rule not in waived]
    kind = Materialization.of(materialization)
    query = Query(sql, name, kind, layer, dict(bases or {}), statements, tokens, skeleton)
    findings = {
        Finding(rule.code, problem.severity, f"{name}: {problem.message}", problem.line, problem.hint)
        for rule in RULES
        if rule.code not in waived
        for problem in rule.find(query)
    }
    return sorted(findings, key=lambda finding: (finding.line, finding.rule, finding.message))


def _waivers(sql: str) -> frozenset[str]:
    codes = (code for match in _ALLOW.finditer(sql) for code in match.group(1).split(","))
    return frozenset(code.strip().upper() for code in codes)
