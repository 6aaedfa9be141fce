"""Syntax trees of the embedded BigQuery: parsed once, and nobody can spoil what another one looks at."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from infra.runtime.settings import PROJECT_ROOT

PREPARED = """
import warnings
warnings.simplefilter("ignore")
import sqlglot
from bqemulator.catalog import ddl_sync
from sqlglot import exp
from infra.embedded.bigquery import syntax
parsed, parse = [], syntax._parse
syntax._parse = lambda sql, **options: parsed.append(sql) or parse(sql, **options)
one_by_one = {sql: sqlglot.parse(sql, read="bigquery") for sql in ("select 1; select 2", "select 1;", "")}
syntax.parse_texts_once()
syntax.copy_trees_faster()
TABLE = "create table d.t as select a.x from d.a as a -- why"
"""
CASES = {
    "a text is parsed once": """
        for _ in range(3):
            sqlglot.parse_one(TABLE, read="bigquery")
            assert sqlglot.transpile(TABLE, read="bigquery", write="duckdb")
            assert ddl_sync._detect_plain_create_table(TABLE).name == "t"
        assert parsed == [TABLE]
    """,
    "a tree is nobody else's": """
        mine = sqlglot.parse_one(TABLE, read="bigquery")
        text = mine.sql(dialect="bigquery")
        mine.find(exp.Select).set("expressions", [exp.Star()])
        mine.find(exp.Identifier).meta["line"] = 77
        mine.comments = ["spoilt"]
        other = sqlglot.parse_one(TABLE, read="bigquery")
        assert other.sql(dialect="bigquery") == text
        assert other.find(exp.Identifier).meta["line"] == 1
    """,
    "who only reads is not given copies": """
        assert ddl_sync._detect_plain_create_table(TABLE) is ddl_sync._detect_plain_create_table(TABLE)
        assert sqlglot.parse_one(TABLE, read="bigquery") is not sqlglot.parse_one(TABLE, read="bigquery")
    """,
    "copies have places, marks, comments and types": """
        tree = sqlglot.parse_one("select /* why */ cast(x as numeric) as y", read="bigquery")
        marked = tree.find(exp.Cast)
        marked.meta["ballast_node"] = 3
        marked.type = exp.DataType.build("numeric", dialect="bigquery")
        copied = tree.copy().find(exp.Cast)
        assert copied is not marked and copied.meta == marked.meta and copied.type == marked.type
        assert copied.meta is not marked.meta and copied.type is not marked.type
        assert tree.copy().sql(dialect="bigquery") == tree.sql(dialect="bigquery")
    """,
    "scripts and other dialects are as they were": """
        for sql, wanted in one_by_one.items():
            assert sqlglot.parse(sql, read="bigquery") == wanted
        assert isinstance(sqlglot.parse_one("select 1; select 2", read="bigquery"), exp.Block)
        assert sqlglot.parse_one('select "x"', read="duckdb").find(exp.Column).name == "x"
        assert syntax.shared_tree("select 1; select 2") is None and syntax.shared_tree("selec from (") is None
    """,
    "what is wrong is said each time": """
        for _ in range(2):
            for ask in (sqlglot.parse_one, sqlglot.parse, sqlglot.transpile):
                try:
                    ask("select (", read="bigquery")
                except sqlglot.errors.ParseError:
                    continue
                raise AssertionError(ask)
    """,
}


@pytest.fixture(scope="module")
def outcome() -> subprocess.CompletedProcess[str]:
    """All cases in one process of their own: the repairs change sqlglot for good."""
    cases = "\n".join(
        f"parsed.clear(); syntax.shared_trees.cache_clear()\ntry:\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        f"    print({name!r})\nexcept Exception as error:\n    print(repr(error))"
        for name, body in CASES.items()
    )
    return subprocess.run(
        [sys.executable, "-c", PREPARED + cases],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("case", CASES)
def test_syntax_trees__are_shared_safely(outcome: subprocess.CompletedProcess[str], case: str) -> None:
    assert case in outcome.stdout.splitlines(), outcome.stdout + outcome.stderr
