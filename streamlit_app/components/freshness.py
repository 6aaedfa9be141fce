"""How fresh the page is: the line "data as of", and the banner while BigQuery is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from streamlit_app.components import formats, markup
from streamlit_app.reads import Problem, ProblemKind, Reading

DATA_AGE = "data"
PRICE_AGE = "price"

_SILENT = markup.banner(
    "away only-silent",
    "Connecting\u2026",
    'nothing new came for <span data-silence="yes"></span>; the figures below are old.',
)
_ENDED = markup.banner(
    "error only-ended",
    "You are signed out.",
    'Nothing on this page is current any more. <a class="link" href="/sign-in">Sign in</a>',
)


@dataclass(frozen=True)
class Freshness:
    """The state of all readings of a page together; the oldest counts."""

    read_at: datetime | None
    data_age_s: float | None
    problem: Problem | None
    price_age_s: int | None
    is_simulated: bool
    late_events: int

    @property
    def is_old(self) -> bool:
        """Whether any figure of the page could not be read anew."""
        return self.problem is not None


def freshness_of(
    readings: Sequence[Reading[Any]], now: datetime, price_age_s: int | None, is_simulated: bool, late_events: int
) -> Freshness:
    """The freshness of a page that rests on these readings."""
    read = [reading.read_at for reading in readings if reading.read_at is not None]
    oldest = min(read, default=None)
    # A part that was never read says so itself; here counts what is shown and may be old.
    problems = [found.problem for found in readings if found.problem is not None and found.value is not None]
    away = next((problem for problem in problems if problem.kind is ProblemKind.AWAY), None)
    data_age_s = None if oldest is None else max(0.0, (now - oldest).total_seconds())
    # While nothing new can be read the prices age with the figures.
    aged = None if price_age_s is None else price_age_s + int(data_age_s or 0)
    return Freshness(oldest, data_age_s, away or next(iter(problems), None), aged, is_simulated, late_events)


def ages(freshness: Freshness) -> dict[str, float | None]:
    """The ages that the browser counts on."""
    return {DATA_AGE: freshness.data_age_s, PRICE_AGE: freshness.price_age_s}


def line_html(freshness: Freshness) -> str:
    """The line under the title."""
    at = formats.time_of_day(freshness.read_at)
    parts = [f'<span><i class="dot"></i>Data as of <b>{at}</b>, {_age(DATA_AGE)} ago</span>']
    if freshness.price_age_s is not None:
        parts.append(f'<span class="muted">Oldest price {_age(PRICE_AGE)} old</span>')
    if freshness.late_events:
        late = formats.count(freshness.late_events, "late event")
        parts.append(f'<span class="muted">{late} waiting for the next compaction</span>')
    if freshness.is_simulated:
        parts.append(markup.simulated_tag(True) + '<span class="muted">with prices made up by the simulator</span>')
    return f'<div class="fresh">{"".join(parts)}</div>'


def banner_html(freshness: Freshness) -> str:
    """The banner while figures cannot be read anew, and the one that appears by itself when the app falls silent."""
    if freshness.problem is None:
        return _SILENT + _ENDED
    if freshness.problem.kind is not ProblemKind.AWAY:
        words = f"{escape(freshness.problem.message[:300])} Last data {_age(DATA_AGE)} old."
        return markup.banner("error", "BigQuery refused to answer.", words, role="alert") + _ENDED
    words = f"BigQuery does not answer; last data {_age(DATA_AGE)} old. The page tries again by itself."
    return markup.banner("away", "Connecting\u2026", words, role="alert") + _ENDED


def _age(name: str) -> str:
    return markup.age_span(name)
