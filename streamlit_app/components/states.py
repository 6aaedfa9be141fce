"""What stands on the page where figures cannot: nothing built, nothing there, no answer."""

from __future__ import annotations

from html import escape

from streamlit_app.components import markup
from streamlit_app.reads import Problem, ProblemKind

NO_ACCOUNTS = markup.banner(
    "info",
    "No accounts yet.",
    "An account appears here with its first settlement, published to <code>settlement.events.v1</code>; "
    "<code>ballast up</code> publishes a simulated book.",
)
NOT_BUILT = markup.banner(
    "info",
    "The marts are not built yet:",
    "run the <code>risk_daily_job</code> in Dagster. This page shows them as soon as they are there.",
)
CONNECTING = markup.banner(
    "away",
    "Connecting\u2026",
    "BigQuery does not answer, and nothing was read before. The page tries again by itself.",
)


def no_account(account_id: str) -> str:
    """The account of the address has no position."""
    return markup.banner(
        "info",
        f"{account_id} has no position.",
        "Check the id, or choose another account above. It appears here with its first settlement.",
    )


def problem_html(problem: Problem) -> str:
    """What is shown in place of figures that were never read."""
    match problem.kind:
        case ProblemKind.AWAY:
            return CONNECTING
        case ProblemKind.NOT_BUILT:
            return NOT_BUILT
        case ProblemKind.REFUSED:
            return markup.banner("error", "BigQuery refused to answer.", escape(problem.message[:400]), role="alert")


def part_problem_html(problem: Problem | None, table: str) -> str:
    """Why a part of the page has no figures while others do."""
    if problem is None:
        return ""
    match problem.kind:
        case ProblemKind.AWAY:
            words = "Connecting\u2026 BigQuery does not answer."
        case ProblemKind.NOT_BUILT:
            words = f"{table} is not there yet: run the risk_daily_job in Dagster."
        case ProblemKind.REFUSED:
            words = f"BigQuery refused to read {table}: {problem.message[:300]}"
    return f'<p class="muted">{escape(words)}</p>'
