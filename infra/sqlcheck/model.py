"""What the rules read (`Query`) and what they say (`Finding`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from infra.sqlcheck.parse import Skeleton, SqlNode, SqlToken, line_of


class Severity(StrEnum):
    """Whether a finding stops the build."""

    ERROR = "error"
    WARNING = "warning"


class Materialization(StrEnum):
    """What becomes of a statement; `SCRIPT` is SQL that nobody materializes."""

    TABLE = "table"
    VIEW = "view"
    INCREMENTAL = "incremental"
    MATERIALIZED_VIEW = "materialized_view"
    SNAPSHOT = "snapshot"
    EPHEMERAL = "ephemeral"
    TEST = "test"
    SCRIPT = "script"

    @classmethod
    def of(cls, text: str) -> Materialization:
        """The materialization that dbt calls `text`; one that is unknown counts as a script."""
        try:
            return cls(text)
        except ValueError:
            return cls.SCRIPT


@dataclass(frozen=True)
class Finding:
    """One thing to mend: `line` counts from 1 in the SQL that was checked; `hint` says what to write instead."""

    rule: str
    severity: Severity
    message: str
    line: int
    hint: str


@dataclass(frozen=True)
class Query:
    """One checked text: its statements, tokens and token skeleton, and what is known of its place.

    `layer` is the folder of a dbt model (`staging`, `intermediate`, `marts`), empty elsewhere.
    `bases` maps the relations that a model reads to their materialization, as far as it is known.
    """

    sql: str
    name: str
    materialization: Materialization
    layer: str
    bases: dict[str, str]
    statements: tuple[SqlNode, ...]
    tokens: tuple[SqlToken, ...]
    skeleton: Skeleton

    @property
    def is_mart(self) -> bool:
        """Whether others outside dbt read the result."""
        return self.layer == "marts"

    @property
    def defines_materialized_view(self) -> bool:
        """Whether the text is, or creates, a materialized view."""
        created = self.skeleton.search(r"\bCREATE (?:OR REPLACE )?MATERIALIZED VIEW\b")
        return self.materialization is Materialization.MATERIALIZED_VIEW or created is not None

    def nodes(self, *kinds: type[SqlNode]) -> Iterator[SqlNode]:
        """The nodes of these kinds in all statements."""
        for statement in self.statements:
            yield from statement.find_all(*kinds)


@dataclass(frozen=True)
class Problem:
    """What a rule yields: a place, what is wrong there and what to write instead."""

    line: int
    message: str
    hint: str
    severity: Severity = Severity.ERROR


def at(node: SqlNode, message: str, hint: str, severity: Severity = Severity.ERROR) -> Problem:
    """A problem at the line of `node`."""
    return Problem(line_of(node), message, hint, severity)


@dataclass(frozen=True)
class Rule:
    """A named check with a stable code; `find` is pure."""

    code: str
    title: str
    find: Callable[[Query], Iterable[Problem]] = field(repr=False)
