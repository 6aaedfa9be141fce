"""Findings carry the right line, name and waivers."""

from __future__ import annotations

import pytest

from infra.sqlcheck import check_sql
from infra.sqlcheck.functions import BIGQUERY_FUNCTIONS, REPLACEMENTS


def found(sql: str, **more: object) -> list[tuple[int, str]]:
    findings = check_sql(sql, materialization="script", name="m", **more)  # type: ignore[arg-type]
    return [(finding.line, finding.rule) for finding in findings]


def test_finding__names_line_query_and_remedy() -> None:
    sql = "select\n    a,\n    epoch(b) as seconds,\n    c[offset(i)] as d\nfrom t\nwhere e::date = f\n"
    assert found(sql) == [(3, "BQ004"), (4, "BQ001"), (6, "BQ004")]
    first = check_sql(sql, materialization="script", name="prices")[0]
    assert first.message == "prices: epoch() is not a function of BigQuery"
    assert first.hint == "unix_seconds"


def test_finding__keeps_its_line_after_text_of_several_lines() -> None:
    assert found("select '''a\nb\nc''' as words,\n    now() as built_at") == [(4, "BQ004")]


def test_parse_error__is_a_finding_on_its_line() -> None:
    assert found("select a\nfrom t\nwhere and b") == [(3, "BQ006")]


@pytest.mark.parametrize("comment", ["-- {}", "# {}", "/* {} */"])
def test_waiver__counts_with_a_reason_only(comment: str) -> None:
    sql = "select net.host(a), now() from t"
    assert found(sql) == [(1, "BQ004"), (1, "BQ005")]
    assert found(f"{comment.format('sqlcheck: allow BQ005: runs in production only')}\n{sql}") == [(2, "BQ004")]
    both = comment.format("sqlcheck: allow BQ004, BQ005: an example")
    assert found(f"{both}\n{sql}") == []
    assert len(found(f"{comment.format('sqlcheck: allow BQ005')}\n{sql}")) == 2


def test_waiver__covers_what_the_parser_does_not_know() -> None:
    statement = "raise using message = 'x'"
    assert found(statement) == [(1, "BQ006")]
    assert found(f"-- sqlcheck: allow BQ006: scripting\n{statement}") == []


def test_allowed_codes__are_left_out() -> None:
    assert found("select now(), a[i] from t", allowed=frozenset({"BQ004"})) == [(1, "BQ001")]


def test_check__does_not_write_logs(caplog: pytest.LogCaptureFixture) -> None:
    assert found("create snapshot table d.s clone d.t") == []
    assert caplog.records == []


@pytest.mark.parametrize("name", sorted(name for name in BIGQUERY_FUNCTIONS if "." not in name))
def test_function_list__is_accepted_in_a_call(name: str) -> None:
    special = {
        "cast": "cast(a as string)",
        "safe_cast": "safe_cast(a as string)",
        "extract": "extract(day from a)",
        "unnest": "(select max(x) from unnest(a) as x)",
        "offset": "a[offset(0)]",
        "ordinal": "a[ordinal(1)]",
        "safe_offset": "a[safe_offset(0)]",
        "safe_ordinal": "a[safe_ordinal(1)]",
        "array": "array(select 1)",
        "vector_search": "1",
        "gap_fill": "1",
    }
    arguments = ("", "a", "a, b", "a, b, c", "a, interval 1 hour")
    arities = tuple(f"{name}({text})" for text in arguments)
    texts = [special[name]] if name in special else arities
    refused = [{rule for _, rule in found(f"select {text} from t")} & {"BQ004", "BQ006"} for text in texts]
    assert set() in refused


@pytest.mark.parametrize("name", sorted(REPLACEMENTS))
def test_replacements__name_functions_that_are_not_bigquery(name: str) -> None:
    assert name not in BIGQUERY_FUNCTIONS
