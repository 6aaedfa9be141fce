"""The slow part of the overview: Value at Risk and Expected Shortfall."""

from __future__ import annotations

from assets.risk.queries import ValueAtRisk
from streamlit_app import data
from streamlit_app.components import live, markup, states, tables
from streamlit_app.reads import Reading

TITLE = "Value at Risk and Expected Shortfall"


def render(account_id: str | None) -> None:
    """Show the latest estimates; nothing while the live part has no figures either."""
    if not data.has_book():
        return
    estimates = data.value_at_risk(account_id)
    live.show("slow", {"var": _card(estimates, account_id)}, is_old=estimates.problem is not None)


def _card(estimates: Reading[list[ValueAtRisk]], account_id: str | None) -> str:
    table = "risk.book_var" if account_id is None else "risk.portfolio_var"
    if estimates.value is None:
        return markup.card(markup.head(TITLE), states.part_problem_html(estimates.problem, table))
    if not estimates.value:
        body = '<p class="muted">No estimate yet: it is made by the risk_daily_job.</p>'
        return markup.card(markup.head(TITLE), body)
    simulated = markup.simulated_tag(any(estimate.is_simulated for estimate in estimates.value))
    as_of = f"as of {estimates.value[0].as_of_date.isoformat()}"
    title = markup.head(TITLE, simulated, more=f"Losses, in USD, {as_of}")
    return markup.card(title, tables.var_html(estimates.value))
