"""The page *Alerts*: what became of each alert, whether channels keep their targets, and the trail of one alert."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import streamlit as st

from streamlit_app import data
from streamlit_app.components import actions, alert_words, charts, formats, ledger, live, states
from streamlit_app.reads import Problem, ProblemKind
from streamlit_app.views import address, alerts_page, parts, topic_text
from streamlit_app.views.alerts_page import MAX_ID_LENGTH, WINDOW, WINDOWS, LedgerChoice

LIVE_KEY, FIGURES_KEY = "alerts", "alert_latency_figures"
REFRESH_S = 60
CHART_HEIGHT = 300
SEVERITIES = ("liquidation", "margin_call", "early_warning", "unpriced", "recovered", "critical", "warning", "info")
WINDOW_WORDS = {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days"}
_CHOICE = "ledger_choice"
_ACCOUNT, _SEVERITY, _CHANNEL, _STATE = "ledger_account", "ledger_severity", "ledger_channel", "ledger_state"
_WINDOW, _FIND, _PERCENTILE = "ledger_window", "ledger_find", "ledger_percentile"
_WIDGETS = (_ACCOUNT, _SEVERITY, _CHANNEL, _STATE, _WINDOW)


def render() -> None:
    """The filters and the live page of what they say, or the trail of one alert."""
    with parts.head("Alerts"):
        st.text_input(
            "Trail of notification or provider's id",
            key=_FIND,
            max_chars=MAX_ID_LENGTH,
            on_change=lambda: act(ledger.TRAIL, st.session_state[_FIND]),
        )
    choice = _choice()
    actions.show(LIVE_KEY, alerts_page.alerts_page(choice), topic=choice.topic(), on_act=act)
    if not choice.alert:
        st.fragment(partial(_latency, choice), run_every=REFRESH_S)()


def act(name: str, value: str) -> None:
    """What a button of the live part asks for; only from callbacks."""
    match name:
        case "page":
            st.session_state[_CHOICE] = replace(_kept(), page=topic_text.page_of(value))
        case ledger.TRAIL:
            st.session_state[_CHOICE] = replace(_kept(), alert=topic_text.plain(value, MAX_ID_LENGTH))


def _latency(choice: LedgerChoice) -> None:
    """Latencies by channel and hour as a chart, with the same figures as a table."""
    reading = alerts_page.latencies(choice)
    title = "Seconds from detection to the provider's acceptance"
    if reading.value is None:
        problem = reading.problem or Problem(ProblemKind.AWAY, "")
        live.show(FIGURES_KEY, {"latency": states.part_problem_html(problem, alerts_page.MART)}, is_static=True)
        return
    if not reading.value:
        st.subheader(title, anchor=False)
        st.write("No margin or compliance alert was accepted in this time.")
        return
    chosen = st.radio("Percentile", list(ledger.PERCENTILES), index=1, key=_PERCENTILE, horizontal=True) or "p95"
    now = data.system_clock().now()
    # The first hour may have begun before.
    since = choice.since(now).replace(minute=0)
    charts.echarts(
        "alert_latency",
        ledger.latency_option(reading.value, chosen, since, now),
        title=f"{title}, {chosen}, by hour",
        height=CHART_HEIGHT,
        summary=ledger.latency_summary(reading.value, chosen),
    )
    age = formats.age(reading.age_s(now))
    old = "; they could not be read anew" if reading.problem is not None else ""
    st.write(f"Figures of {formats.time_of_day(reading.read_at)}, {age} old{old}. Margin and compliance alerts only.")
    with st.expander("The figures as a table"):
        live.show(
            FIGURES_KEY,
            {"figures": ledger.latencies_html(reading.value)},
            is_old=reading.problem is not None,
            is_static=True,
        )


def _kept() -> LedgerChoice:
    kept = st.session_state.get(_CHOICE)
    return kept if isinstance(kept, LedgerChoice) else LedgerChoice()


def _choice() -> LedgerChoice:
    """The filters as buttons and widgets stand now; an address that was followed or loaded sets them."""
    address.follow(_CHOICE, alerts_page.choice_of, _WIDGETS)
    choice = _kept()
    if not choice.alert:
        choice = _widgets(choice)
    return address.keep(_CHOICE, choice)


def _widgets(kept: LedgerChoice) -> LedgerChoice:
    # Widgets forget their state while another page, or a trail, is shown.
    values = (kept.account_id, kept.severity, kept.channel, kept.state, kept.window)
    for key, value in zip(_WIDGETS, values, strict=True):
        st.session_state.setdefault(key, value)
    first, second, third, fourth, fifth = st.columns(5)
    account = first.text_input("Account id", key=_ACCOUNT, max_chars=topic_text.MAX_PLAIN, on_change=_first_page)
    with second:
        severity = _select("Severity", _SEVERITY, SEVERITIES, formats.SEVERITY_WORDS, "Any severity")
    with third:
        channel = _select("Channel", _CHANNEL, alert_words.CHANNEL_WORDS, alert_words.CHANNEL_WORDS, "Any channel")
    with fourth:
        state = _select("State", _STATE, alert_words.STATE_WORDS, alert_words.STATE_WORDS, "Any state")
    window = fifth.selectbox(
        "Planned", list(WINDOWS), key=_WINDOW, format_func=lambda each: WINDOW_WORDS[each], on_change=_first_page
    )
    return replace(
        kept,
        account_id=topic_text.plain(account),
        severity=severity,
        channel=channel,
        state=state,
        window=window or WINDOW,
    )


def _select(label: str, key: str, codes: Iterable[str], known: dict[str, str], anything: str) -> str:
    options = ["", *codes]
    if st.session_state[key] not in options:
        options.append(st.session_state[key])
    chosen = st.selectbox(
        label,
        options,
        key=key,
        format_func=lambda code: formats.words(code, known) if code else anything,
        on_change=_first_page,
    )
    return str(chosen or "")


def _first_page() -> None:
    st.session_state[_CHOICE] = replace(_kept(), page=1)
