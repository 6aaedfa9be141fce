"""How fresh the case pages are, and why the API gives nothing, as markup."""

from __future__ import annotations

from datetime import datetime
from html import escape

from infra.runtime.errors import BallastError
from streamlit_app.api_client import ApiProblem
from streamlit_app.components import formats, markup

AGE = "read"
_SILENT = markup.banner(
    "away only-silent",
    "Connecting\u2026",
    'nothing new came for <span data-silence="yes"></span>; what stands below is old.',
)
_ENDED = markup.banner(
    "error only-ended",
    "You are signed out.",
    'Nothing on this page is current any more. <a class="link" href="/sign-in">Sign in</a>',
)


def line_html(read_at: datetime | None) -> str:
    """When the figures were read."""
    if read_at is None:
        return ""
    at = formats.time_of_day(read_at)
    return (
        f'<div class="fresh"><span><i class="dot"></i>Data as of <b>{at}</b>, {markup.age_span(AGE)} ago</span></div>'
    )


def banner_html(problem: BallastError | None, has_old: bool) -> str:
    """Why nothing new could be read; where nothing went wrong, the banner of a page that falls silent."""
    if problem is None:
        return _SILENT + _ENDED
    if isinstance(problem, ApiProblem):
        title = "You may not see this." if problem.status == 403 else "The API refused."
        return markup.banner("error", title, escape(problem.message[:400]), role="alert") + _ENDED
    old = f" What stands below was read {markup.age_span(AGE)} ago." if has_old else " Nothing was read before."
    words = f"{escape(problem.message[:300])}{old} The page tries again by itself."
    return markup.banner("away", "Connecting\u2026", words, role="alert") + _ENDED


def age_s(read_at: datetime | None, now: datetime) -> dict[str, float | None]:
    """The age that the browser counts on, in seconds."""
    return {AGE: None if read_at is None else max(0.0, (now - read_at).total_seconds())}
