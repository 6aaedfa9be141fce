"""The only contact with sqlglot's import and parser: text in, statements, tokens and a token skeleton out.

`Skeleton` is the text in one spelling: keywords and names in capitals, one space between tokens, string
literals emptied and quoted names kept in backticks, so that a regular expression can name a construct that
the parser is too lenient to refuse.
"""

from __future__ import annotations

import logging
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from infra.runtime.errors import BallastError

with warnings.catch_warnings():
    # bqemulator installs the retired extra sqlglot[rs], of which sqlglot complains at each import.
    warnings.filterwarnings("ignore", message=r"sqlglot(\[rs\]|rs) is deprecated")
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ParseError, SqlglotError, TokenError

__all__ = ["Skeleton", "SqlNode", "SqlParseError", "SqlToken", "exp", "line_of", "parse_sql"]

SqlNode: TypeAlias = exp.Expr
SqlToken: TypeAlias = Any
DIALECT = "bigquery"
_STRINGS = {"STRING", "RAW_STRING", "BYTE_STRING", "HEX_STRING", "BIT_STRING", "NATIONAL_STRING", "HEREDOC_STRING"}


class SqlParseError(BallastError):
    """The text is not BigQuery SQL to the parser; `line` counts from 1."""

    code = "sql_unparseable"

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Skeleton:
    """The normalised text, and for each token where it starts there and on which line it stood."""

    text: str
    starts: tuple[int, ...]
    lines: tuple[int, ...]

    def search(self, pattern: str) -> re.Match[str] | None:
        """The first place of `pattern`."""
        return re.search(pattern, self.text)

    def matches(self, pattern: str) -> Iterator[tuple[int, re.Match[str]]]:
        """Each place of `pattern` with its line."""
        for match in re.finditer(pattern, self.text):
            yield self.lines[bisect_right(self.starts, match.start()) - 1], match


def parse_sql(sql: str) -> tuple[tuple[SqlNode, ...], tuple[SqlToken, ...], Skeleton]:
    """Statements, tokens and skeleton of `sql`; raises `SqlParseError`."""
    dialect = sqlglot.Dialect.get_or_raise(DIALECT)
    try:
        tokens = tuple(dialect.tokenize(sql))
        with _quiet():
            trees = dialect.parse(sql)
    except TokenError as error:
        raise SqlParseError(_first_line(str(error)), 1) from None
    except ParseError as error:
        place = error.errors[0] if error.errors else {}
        message = f"{place.get('description', str(error))} near {place.get('highlight', '')!r}"
        raise SqlParseError(message, int(place.get("line") or 1)) from None
    except SqlglotError as error:
        raise SqlParseError(_first_line(str(error)), 1) from None
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        # The parser trips over some malformed calls, such as date_add() without arguments.
        raise SqlParseError(f"the parser could not read it ({type(error).__name__})", 1) from None
    return tuple(tree for tree in trees if tree is not None), tokens, _skeleton(sql, tokens)


def line_of(node: SqlNode) -> int:
    """The line of a node: its own, else the first one below it, else that of the nearest node above it."""
    below = [int(part.meta["line"]) for part in node.walk() if "line" in part.meta]
    if below:
        return min(below)
    parent = node.parent
    while parent is not None:
        if "line" in parent.meta:
            return int(parent.meta["line"])
        parent = parent.parent
    return 1


def _skeleton(sql: str, tokens: tuple[SqlToken, ...]) -> Skeleton:
    parts: list[str] = []
    starts: list[int] = []
    position = 0
    for token in tokens:
        text = _spelling(sql, token)
        starts.append(position)
        parts.append(text)
        position += len(text) + 1
    lines = tuple(token.line - str(token.text).count("\n") for token in tokens)
    return Skeleton(" ".join(parts), tuple(starts), lines)


def _spelling(sql: str, token: SqlToken) -> str:
    kind = token.token_type.name
    if kind in _STRINGS:
        return '""' if sql[token.start] == '"' else "''"
    if kind == "IDENTIFIER":
        return f"`{token.text}`"
    return str(token.text).upper()


def _first_line(text: str) -> str:
    return text.splitlines()[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the parser's remark that it keeps a statement as an opaque command."""
    logger = logging.getLogger("sqlglot")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
