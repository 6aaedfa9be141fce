"""The alerts of transaction monitoring with filters and pages, and what became of the hits of each rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import streamlit as st

from compliance.model import Decision, RuleOutcome, RuleSeverity
from compliance.policy.parameters import CATALOGUE
from streamlit_app import data
from streamlit_app.api_client import ApiProblem
from streamlit_app.components import aml_alerts, aml_api, aml_words, cases_words, formats, markup
from streamlit_app.components.aml_alerts import PARAMETER
from streamlit_app.views import asked

KEY, OUTCOMES_KEY = "aml_alerts_live", "aml_outcomes_live"
ANY = ""
DAYS = {1: "Last day", 7: "Last 7 days", 30: "Last 30 days", 90: "Last 90 days", 0: "Any time"}
OUTCOME_DAYS = {7: "Last 7 days", 30: "Last 30 days", 90: "Last 90 days", 365: "Last 365 days"}
_SHADOWS = {ANY: "Any", "false": "Deciding rules", "true": "Shadow rules"}
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
FILTER = "aml_filter_"
_CURSORS, _ASKED, _OPENING = "aml_cursors", "aml_filters_asked", "aml_opening"
Filters = Mapping[str, str | None]


def render_alerts() -> None:
    """Filters, and below them the page of alerts, read anew by itself."""
    filters = _filters()
    if st.session_state.get(_ASKED) != filters:
        st.session_state[_ASKED], st.session_state[_CURSORS] = filters, [None]
    _alerts(filters)


def render_outcomes() -> None:
    """The bars and the table by rule."""
    days = st.selectbox(
        "Alerts raised in", list(OUTCOME_DAYS), index=2, format_func=lambda code: OUTCOME_DAYS[code], width=180
    )
    _outcomes(days)


def keep_filters() -> None:
    """Let the filters stay as they are while the file of a transaction is shown."""
    # Streamlit forgets a widget that a run did not show, unless its value is set anew.
    for key in [str(key) for key in st.session_state if str(key).startswith(FILTER)]:
        st.session_state[key] = st.session_state[key]


def _filters() -> Filters:
    with st.container(horizontal=True, vertical_alignment="bottom", key="aml_filters"):
        rule = _choice("Rule", {ANY: "Any", **{each: aml_words.rule_words(each) for each in CATALOGUE}}, "rule", 210)
        outcome = _choice(
            "Answer",
            # Hits are what somebody opens the list for; what could not run is many times as much on a young book.
            {
                **{each: cases_words.RULE_OUTCOME_WORDS[each] for each in RuleOutcome if each != "no_hit"},
                ANY: "Any",
            },
            "outcome",
        )
        severity = _choice(
            "A hit weighs", {ANY: "Any", **{each: aml_words.SEVERITY_WORDS[each] for each in RuleSeverity}}, "severity"
        )
        decision = _choice(
            "Decision", {ANY: "Any", **{each: cases_words.DECISION_WORDS[each] for each in Decision}}, "decision", 190
        )
        shadow = _choice("Kind of rule", _SHADOWS, "shadow")
        days = st.selectbox(
            "Raised", list(DAYS), index=2, format_func=lambda code: DAYS[code], key=FILTER + "days", width=150
        )
        account = st.text_input("Account", key=FILTER + "account", max_chars=128, width=170).strip()
    if account and not _ACCOUNT.fullmatch(account):
        st.warning("That is no id of an account; the filter is not used.")
        account = ""
    return {
        "rule_id": rule or None,
        "outcome": outcome or None,
        "severity": severity or None,
        "decision": decision or None,
        "is_shadow": shadow or None,
        "account_id": account or None,
        "days": str(days) if days else None,
    }


def _choice(label: str, known: Mapping[str, str], name: str, width: int = 150) -> str:
    return st.selectbox(label, list(known), format_func=lambda code: known[code], key=FILTER + name, width=width)


@st.fragment(run_every=asked.EVERY_S)
def _alerts(filters: Filters) -> None:
    if st.session_state.pop(_OPENING, False):
        st.rerun(scope="app")
    now, cursors = data.system_clock().now(), st.session_state.get(_CURSORS) or [None]
    query = {name: value for name, value in filters.items() if name != "days"}
    query["since"] = _since(now, filters["days"])
    key = ("alerts", tuple(sorted(filters.items(), key=str)), cursors[-1])
    found = asked.ask(key, lambda: aml_api.open_monitoring().alerts(query, cursors[-1]))
    sections = {}
    if found.value is not None:
        is_filtered = any(value is not None for value in filters.values())
        more = f"Page {len(cursors)}, newest first"
        table = aml_alerts.alerts_html(found.value.alerts, now, is_filtered)
        sections["alerts"] = markup.card(markup.head("Alerts", more=more), table)
    asked.show(KEY, sections, found, on_account=_open)
    following = None if found.value is None else found.value.next_cursor
    _pager(cursors, following, is_refused=isinstance(found.problem, ApiProblem))


def _pager(cursors: list[str | None], following: str | None, *, is_refused: bool) -> None:
    if following is None and len(cursors) == 1:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        newer, older = cursors[:-1] or cursors, [*cursors, following]
        st.button("Newer alerts", disabled=len(cursors) == 1, on_click=_turn, args=(newer,), key="aml_previous")
        st.button(
            "Older alerts", disabled=following is None or is_refused, on_click=_turn, args=(older,), key="aml_next"
        )


def _turn(cursors: list[str | None]) -> None:
    st.session_state[_CURSORS] = cursors


@st.fragment(run_every=asked.EVERY_S)
def _outcomes(days: int) -> None:
    now = data.system_clock().now()
    since = (now - timedelta(days=days)).isoformat()
    found = asked.ask(("outcomes", days), lambda: aml_api.open_monitoring().summary(since), asked.SLOW)
    sections = {}
    if found.value is not None:
        summary = found.value
        more = f"{formats.moment(summary.since)} to {formats.moment(summary.until)}"
        policy = "No policy is in force." if summary.policy_version is None else f"Policy {summary.policy_version}."
        words = f"{aml_alerts.outcomes_summary(summary)} {policy}"
        bars = aml_alerts.outcomes_html(summary)
        sections = {
            "bars": markup.card(
                markup.head("What became of the hits of each rule", more=more), bars + markup.note(words)
            ),
            "table": markup.card(markup.head("Outcomes by rule"), aml_alerts.rules_table(summary)),
        }
    asked.show(OUTCOMES_KEY, sections, found)


def _since(now: datetime, days: str | None) -> str | None:
    return None if days is None else (now - timedelta(days=int(days))).isoformat()


def _open() -> None:
    """Open the file of the transaction whose link was followed; the whole page runs for it."""
    chosen = st.session_state[KEY].account
    if chosen:
        st.query_params[PARAMETER] = chosen
        st.session_state[_OPENING] = True
