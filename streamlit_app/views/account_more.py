"""What stands below on an account's page: every estimate, and the settlements, page by page."""

from __future__ import annotations

from typing import Any

import streamlit as st

from assets.risk import account_queries
from streamlit_app import account_data
from streamlit_app.components import account_tables, formats, live, markup, pager, states
from streamlit_app.reads import Reading

SETTLEMENTS_TITLE = "Settlements"
REFRESH_S = 30


@st.fragment(run_every=REFRESH_S)
def estimates(account_id: str) -> None:
    """Value at Risk and Expected Shortfall by every method, horizon and window, folded, page by page."""
    with st.expander("Value at Risk by every method and horizon"):
        found, key = account_data.all_estimates(account_id), f"account_estimates_{account_id}"
        rows = found.value or []
        if found.value is None:
            body = states.part_problem_html(found.problem, "risk.portfolio_var")
        elif not rows:
            body = '<p class="muted">No figure yet. It is made by the risk_daily_job.</p>'
        else:
            start = pager.skipped(key, len(rows))
            simulated = markup.simulated_tag(any(each.is_simulated for each in rows))
            words = f"Losses in USD, as of {rows[0].as_of_date.isoformat()}, price set {rows[0].price_set_id}."
            table = account_tables.estimates_html(rows[start : start + pager.PAGE_ROWS])
            body = f"{_old(found)}<p>{markup.text(words).html} {simulated}</p>{table}"
        live.show("account_estimates", {"estimates": body}, is_static=True)
        pager.controls(key, len(rows), "estimate")


@st.fragment(run_every=REFRESH_S)
def settlements(account_id: str) -> None:
    """What settled, the last first; read anew each `REFRESH_S` seconds."""
    key, size = f"account_settlements_{account_id}", account_data.SETTLEMENTS_PAGE
    page = pager.skipped(key) // size
    found = account_data.settlements(account_id, page)
    if page > 0 and found.value is not None and not found.value:
        # There are fewer pages by now.
        found = account_data.settlements(account_id, 0)
    total = found.value[0].matching if found.value else 0
    days = account_queries.SETTLEMENTS_WITHIN.days
    if found.value is None:
        body = states.part_problem_html(found.problem, "staging.stg_settlements__events")
    elif not found.value:
        body = f'<p class="muted">None arrived in the last {days} days.</p>'
    else:
        body = account_tables.settlements_html(found.value)
    more = f"Of the last {days} days; read at {formats.time_of_day(found.read_at)}" if found.read_at else ""
    card = markup.card(markup.head(SETTLEMENTS_TITLE, _old(found), more=more), body)
    live.show("account_settlements_table", {"settlements": card}, is_static=True)
    pager.controls(key, total, "settlement", size)


def _old(found: Reading[Any]) -> str:
    if found.problem is None or found.read_at is None:
        return ""
    return markup.tag("warn", f"could not be read anew since {formats.time_of_day(found.read_at)}")
