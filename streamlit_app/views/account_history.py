"""The history of an account's health on its page: a chart, its words, and its points as a table."""

from __future__ import annotations

import streamlit as st

from streamlit_app import account_data, data
from streamlit_app.account_data import HistoryRange
from streamlit_app.components import charts, formats, health_history, live, markup, pager, states

TITLE = "History of health"
REFRESH_S = 60
RANGE_KEY = "account_history_range"
_RANGES = {each.label: each for each in HistoryRange}


@st.fragment(run_every=REFRESH_S)
def show(account_id: str) -> None:
    """The history in the chosen range; read anew each `REFRESH_S` seconds."""
    label = st.segmented_control(
        "Range of the history", list(_RANGES), default=HistoryRange.WEEK.label, key=RANGE_KEY, required=True
    )
    shown = _RANGES.get(str(label), HistoryRange.WEEK)
    account = data.account(account_id).health.value
    found = account_data.history(account_id, shown)
    trail = found.trail.value
    if account is None or trail is None:
        problem = states.part_problem_html(found.trail.problem, "risk.margin_health_history")
        _say(problem or '<p class="muted">The account could not be read.</p>')
        return
    if not trail:
        _say(f'<p class="muted">No snapshot in the last {shown.label}. Each intraday build makes one.</p>')
        return
    events = found.events.value or []
    until = data.system_clock().now()
    words = health_history.summary(trail, events, shown.label, shown.bucket)
    if found.events.value is None:
        words += " The margin events could not be read."
    if any(each.is_simulated for each in trail):
        words += " The prices are simulated."
    option = health_history.option(trail, events, account, shown.bucket, found.since, until)
    charts.echarts("account_history", option, title=TITLE, height=340, summary=words)
    if found.trail.problem is not None:
        st.warning(f"Could not be read anew since {formats.time_of_day(found.trail.read_at)}: these points are old.")
    _table(account_id, shown)


def _table(account_id: str, shown: HistoryRange) -> None:
    trail = account_data.history(account_id, shown).trail.value or []
    with st.expander("The points of the chart as a table"):
        key = f"account_history_{shown.name.lower()}_{account_id}"
        start = pager.skipped(key, len(trail))
        newest_first = trail[::-1][start : start + pager.PAGE_ROWS]
        live.show("account_history_table", {"points": health_history.table(newest_first)}, is_static=True)
        pager.controls(key, len(trail), "point")


def _say(html: str) -> None:
    live.show("account_history_state", {"state": markup.card(markup.head(TITLE), html)}, is_static=True)
