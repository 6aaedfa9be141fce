"""Several statements in one round trip to PostgreSQL, by psycopg's pipeline mode.

What is sent together runs at the server without waiting for this process in between: locks that the first statement
takes and the last one, the commit, gives back are held for as long as the server works, not for as long as a thread
here waits for its turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol, cast

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import Connection, Dialect, TextClause
from sqlalchemy.exc import DBAPIError

Row = dict[str, Any]


class Executes(Protocol):
    """What a statement without an answer needs: a connection, or a pipeline on one."""

    def execute(self, statement: TextClause, parameters: Mapping[str, Any], /) -> Any: ...


class Answer:
    """What a statement of a pipeline gives; reading it within the block sends what waits, and waits for it."""

    def __init__(self, cursor: psycopg.Cursor[Row]) -> None:
        self._cursor = cursor

    def first(self) -> Row | None:
        """The first row, by column."""
        return self._cursor.fetchone()

    def all(self) -> Sequence[Row]:
        """All rows, by column."""
        return self._cursor.fetchall()


class Pipeline:
    """Statements that are sent together, in their order, in the transaction of the connection."""

    def __init__(self, driver: psycopg.Connection[Any], dialect: Dialect) -> None:
        self._driver = driver
        self._dialect = dialect

    def execute(self, statement: TextClause, parameters: Mapping[str, Any], /) -> Answer:
        """Send the statement with what is sent next; its answer is read when it is asked for."""
        cursor = self._driver.cursor(row_factory=dict_row)
        cursor.execute(_as_driver_text(statement, self._dialect), parameters)
        return Answer(cursor)

    def commit(self) -> None:
        """End the transaction, in the same round trip as what waits; raises what a statement before it failed with."""
        self._driver.commit()


@contextmanager
def pipelined(connection: Connection) -> Iterator[Pipeline]:
    """A pipeline on this connection, whose statements are answered when the block ends.

    A block that fails, of itself or of a statement, undoes the transaction. Errors of statements are SQLAlchemy's, as
    those of `connection.execute`.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    try:
        with _undone_if_failed(driver), driver.pipeline():
            yield Pipeline(driver, connection.dialect)
    except psycopg.Error as error:
        is_gone = connection.dialect.is_disconnect(cast(Any, error), cast(Any, driver), None)
        if is_gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=is_gone
        ) from error


@contextmanager
def _undone_if_failed(driver: psycopg.Connection[Any]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if not driver.closed:
            driver.rollback()
        raise


@lru_cache(maxsize=256)
def _as_driver_text(statement: TextClause, dialect: Dialect) -> bytes:
    """The statement with the driver's placeholders."""
    return str(statement.compile(dialect=dialect)).encode()
