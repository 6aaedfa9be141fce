"""Statements of a pipeline run together, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from infra.runtime.pipelining import pipelined

COUNT = text("select count(*) as rows from pipelined_rows")
INSERT = text("insert into pipelined_rows (value) values (:value) returning value, 'a%b' as pattern")
PID = text("select pg_backend_pid() as pid")
SECRET = "the customer's secret"


@pytest.fixture
def table(session_engine: Engine) -> Iterator[Engine]:
    with session_engine.begin() as connection:
        connection.execute(text("create table pipelined_rows (value text check (length(value) < 30))"))
    yield session_engine
    with session_engine.begin() as connection:
        connection.execute(text("drop table pipelined_rows"))


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        found: int = connection.execute(COUNT).scalar_one()
    return found


def run(connection: Connection, *statements: Any) -> None:
    """All statements with a secret value, and the commit."""
    with pipelined(connection) as together:
        for statement in statements:
            together.execute(statement, {"value": SECRET})
        together.commit()


def test_pipelined__later_statements_see_earlier_ones_and_answers_are_read_within_or_after(table: Engine) -> None:
    with table.connect() as connection:
        with pipelined(connection) as together:
            inserted = together.execute(INSERT, {"value": "first"})
            seen = together.execute(COUNT, {})
            assert seen.first() == {"rows": 1}
            again = together.execute(INSERT, {"value": "second"})
            together.commit()
        assert inserted.all() == [{"value": "first", "pattern": "a%b"}]
        assert again.first() == {"value": "second", "pattern": "a%b"}
    assert count(table) == 2


def test_pipelined__without_commit_nothing_stays(table: Engine) -> None:
    with table.connect() as connection, pipelined(connection) as together:
        together.execute(INSERT, {"value": "first"})
    assert count(table) == 0


def test_pipelined__shares_the_transaction_of_its_connection(table: Engine) -> None:
    with table.connect() as connection:
        with pipelined(connection) as together:
            together.execute(INSERT, {"value": "first"})
        connection.execute(INSERT, {"value": "second"})
        with pipelined(connection) as together:
            together.commit()
    assert count(table) == 2


def test_pipelined__a_failed_statement_commits_nothing_and_tells_no_value(table: Engine) -> None:
    with table.connect() as connection:
        with pytest.raises(DBAPIError) as caught:
            run(connection, INSERT, text("select :value from nowhere"), INSERT)
        assert isinstance(caught.value, ProgrammingError)
        assert SECRET not in str(caught.value)
        assert connection.execute(COUNT).scalar_one() == 0
    assert count(table) == 0


def test_pipelined__an_error_of_the_caller_leaves_nothing(table: Engine) -> None:
    with table.connect() as connection:
        with pytest.raises(AttributeError):
            run(connection, INSERT, None)
        assert connection.execute(COUNT).scalar_one() == 0
    assert count(table) == 0


def test_pipelined__a_lost_server_is_sqlalchemys_error_and_the_connection_is_replaced(table: Engine) -> None:
    with table.connect() as connection:
        pid = connection.execute(PID).scalar_one()
        connection.rollback()
        with table.connect() as other:
            other.execute(text("select pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(OperationalError) as caught:
            run(connection, INSERT)
        assert caught.value.connection_invalidated
        assert connection.invalidated
    assert count(table) == 0
