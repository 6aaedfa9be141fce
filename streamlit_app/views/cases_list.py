"""The queue of cases: filters, pages and numbers, read anew by themselves every two seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping

import streamlit as st

from compliance.authorization import Action
from infra.runtime.errors import BallastError
from streamlit_app import data
from streamlit_app.api_client import ApiProblem
from streamlit_app.components import cases_api, cases_fresh, cases_queue, live, markup
from streamlit_app.components import cases_words as words
from streamlit_app.components.cases_style import STYLE
from streamlit_app.views.cases_state import QueueState, queue_state
from streamlit_app.visitor import Visitor

KEY = "cases_queue_live"
EVERY_S = 2.0
ANY, OPEN_STATES = "", "not_closed"
ANYBODY, MINE, NOBODY = "anybody", "mine", "nobody"
_ASSIGNEE_WORDS = {ANYBODY: "Anybody", MINE: "Mine", NOBODY: "Nobody"}
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_OPENING = "cases_opening"
Filters = Mapping[str, str | bool | None]


def render(someone: Visitor) -> None:
    """Filters, and below them the live part."""
    filters = _filters(someone)
    state = queue_state()
    asked = tuple(sorted(filters.items()))
    if state.filters != asked:
        state.filters, state.cursors, state.read = asked, [None], None
    _live(someone, filters)


def _filters(someone: Visitor) -> Filters:
    with st.container(horizontal=True, vertical_alignment="bottom", key="cases_filters"):
        kind = _choice("Kind", {ANY: "Any", **words.KIND_WORDS}, "kind")
        state = _choice("State", {OPEN_STATES: "Not closed", **words.STATE_WORDS}, "state")
        priority = _choice("Priority", {ANY: "Any", **words.PRIORITY_WORDS}, "priority")
        assignee = _choice("Assignee", _ASSIGNEE_WORDS, "assignee")
        account = st.text_input("Account", key="cases_filter_account", max_chars=128, width=170).strip()
        said = st.text_input(
            "Words", key="cases_filter_words", max_chars=80, width=220, placeholder="title, case or subject id"
        ).strip()
        overdue = st.toggle("Overdue only", key="cases_filter_overdue")
    if account and not _ACCOUNT.fullmatch(account):
        st.warning("That is no id of an account; the filter is not used.")
        account = ""
    return {
        "kind": kind or None,
        "state": None if state == OPEN_STATES else state,
        "priority": priority or None,
        "assignee": someone.name if assignee == MINE else None,
        "is_unassigned": True if assignee == NOBODY else None,
        "account_id": account or None,
        "words": said or None,
        "is_breached": True if overdue else None,
    }


def _choice(label: str, known: Mapping[str, str], name: str) -> str:
    return st.selectbox(label, list(known), format_func=lambda code: known[code], key=f"cases_filter_{name}", width=150)


@st.fragment(run_every=EVERY_S)
def _live(someone: Visitor, filters: Filters) -> None:
    if st.session_state.pop(_OPENING, False):
        st.rerun(scope="app")
    state, now = queue_state(), data.system_clock().now()
    problem = _read(state, filters)
    if isinstance(problem, ApiProblem):
        # What the API refuses is shown to nobody, also not as it was.
        state.read = state.metrics = None
    sections = {
        "freshness": cases_fresh.line_html(state.read_at),
        "banner": STYLE + cases_fresh.banner_html(problem, state.read is not None),
    }
    if state.metrics is not None:
        sections["not_ready"] = cases_queue.not_ready_html(state.metrics)
        sections["numbers"] = cases_queue.numbers_html(state.metrics)
    if state.read is not None:
        is_filtered = any(value is not None for value in filters.values())
        table = cases_queue.queue_html(state.read.cases, now, someone.can(Action.READ_CASE), is_filtered)
        page = f"page {len(state.cursors)}, the one due first in front"
        sections["queue"] = markup.card(markup.head("Queue", more=page), table)
    live.show(
        KEY,
        sections,
        ages=cases_fresh.age_s(state.read_at, now),
        is_old=problem is not None,
        on_account=_open,
    )
    _pager(state)


def _read(state: QueueState, filters: Filters) -> BallastError | None:
    """Read anew; what cannot be read stays as it was."""
    try:
        calls = cases_api.open_cases()
        read, metrics = calls.queue(filters, state.cursors[-1]), calls.metrics()
    except BallastError as error:
        return error
    state.read, state.metrics, state.read_at = read, metrics, data.system_clock().now()
    return None


def _pager(state: QueueState) -> None:
    following = state.read.next_cursor if state.read is not None else None
    if following is None and len(state.cursors) == 1:
        return
    with st.container(horizontal=True):
        is_first = len(state.cursors) == 1
        st.button("Previous page", disabled=is_first, on_click=_back, args=(state,), key="cases_previous")
        st.button(
            "Next page",
            disabled=following is None,
            on_click=state.cursors.append,
            args=(following,),
            key="cases_next",
        )


def _back(state: QueueState) -> None:
    if len(state.cursors) > 1:
        state.cursors.pop()


def _open() -> None:
    case_id = st.session_state[KEY].account
    if case_id:
        st.query_params[cases_queue.PARAMETER] = case_id
        st.session_state[_OPENING] = True
