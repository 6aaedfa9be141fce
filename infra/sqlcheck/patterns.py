"""Constructs that are told by their tokens: a table of regular expressions over the skeleton."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from infra.sqlcheck.model import Problem, Query, Severity


@dataclass(frozen=True)
class Pattern:
    """`regex` over the skeleton, what is wrong with it, and what to write instead."""

    regex: str
    message: str
    hint: str
    severity: Severity = Severity.ERROR


def problems(query: Query, patterns: Iterable[Pattern]) -> Iterator[Problem]:
    """A problem for each place of each pattern."""
    for pattern in patterns:
        for line, _ in query.skeleton.matches(pattern.regex):
            yield Problem(line, pattern.message, pattern.hint, pattern.severity)
