"""Whether the model holds: forecasts against what followed, the verdicts, the tests behind them, the exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from html import escape
from typing import Any

import streamlit as st

from assets.risk.engine.methods import Method
from assets.risk.var_queries import VarBacktest
from streamlit_app.components import (
    charts,
    formats,
    live,
    markup,
    model_risk,
    pager,
    states,
    var_charts,
    var_tables,
    var_tests,
)
from streamlit_app.components.var_tables import HISTORY, KIND_WORDS, STORED
from streamlit_app.reads import Reading
from streamlit_app.views import var_parts, var_reads
from streamlit_app.views.var_reads import Backtested, Choice

VERDICTS, DETAILS = "var_verdicts", "var_details"
STANDARD_CONFIDENCE = Decimal("0.99")
SHOWN_FORECASTS = 10
EXCEPTION_ROWS = 10


def render(choice: Choice) -> None:
    """The section; without any backtest, why there is none."""
    (judged,) = var_reads.together(var_reads.backtests(choice.account_id))
    rows: Sequence[VarBacktest] = judged.value or []
    if not rows:
        _nothing(choice, judged)
        return
    choice = _choose(choice, rows)
    found = var_reads.backtested(choice)
    _followed(choice, found)
    live.show(
        VERDICTS,
        {"verdicts": _verdicts_card(found.backtests, choice.method)},
        is_old=judged.problem is not None,
        is_static=True,
    )
    _details(choice, found)


def _nothing(choice: Choice, judged: Reading[list[VarBacktest]]) -> None:
    words = "No backtest yet. It is made by the risk_daily_job."
    if choice.account_id is not None:
        words = "This account is not backtested by itself; only the accounts with the largest exposure are."
    body = states.part_problem_html(judged.problem, "risk.var_backtests") or f'<p class="muted">{words}</p>'
    live.show(VERDICTS, {"verdicts": markup.card(markup.head("Does the model hold?"), body)}, is_static=True)


def _choose(choice: Choice, rows: Sequence[VarBacktest]) -> Choice:
    """The method and the kind of forecasts to look at, at a confidence that is backtested."""
    methods = sorted({each.method for each in rows}, key=lambda each: (each != Method.HISTORICAL, each))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.selectbox(
            "Forecasts by",
            methods,
            format_func=lambda each: formats.words(each, formats.METHOD_WORDS),
            key="var_method",
        )
        kind = st.segmented_control(
            "Forecasts",
            [HISTORY, STORED],
            default=HISTORY,
            format_func=KIND_WORDS.__getitem__,
            key="var_kind",
            help="Over history: made anew for each past day, with the positions of today. "
            "As forecast: what was published at the end of each day.",
        )
    confidences = {each.confidence.normalize() for each in rows}
    confidence = choice.confidence if choice.confidence in confidences else STANDARD_CONFIDENCE
    return replace(choice, method=method, backtest_kind=kind or HISTORY, confidence=confidence)


def _followed(choice: Choice, found: Backtested) -> None:
    """The P&L of each day with the exceptions marked."""
    exceptions = [
        each
        for each in found.exceptions.value or []
        if each.backtest_kind == choice.backtest_kind and each.confidence == choice.confidence
    ]
    confidence = formats.plain_percent(choice.confidence * 100)
    if choice.backtest_kind == STORED:
        drawing = var_charts.forecasts(found.stored.value or [], exceptions)
        title = f"Each day's VaR at {confidence} as it was published, and the P&L that followed"
        unread: Reading[Any] = found.stored
    else:
        drawing = var_charts.past(found.past.value or [], exceptions)
        title = f"P&L of past days on today's positions, and the days beyond VaR at {confidence}"
        unread = found.past
    if drawing is None:
        body = states.part_problem_html(unread.problem, "intermediate.int_risk__realised_pnl")
        body = body or '<p class="muted">No forecast and no P&L of a past day is known yet.</p>'
        live.show("var_no_history", {"followed": markup.card(markup.head(title), body)}, is_static=True)
        return
    title = var_parts.title(title, unread)
    charts.echarts(f"followed_{choice.backtest_kind}", drawing.option, title=title, height=340, summary=drawing.summary)


def _verdicts_card(backtests: Reading[list[VarBacktest]], method: str) -> str:
    rows = [each for each in backtests.value or [] if each.method == method]
    title = "Does the model hold?"
    shown = Reading(rows, backtests.read_at, backtests.problem)
    more = formats.words(method, formats.METHOD_WORDS)
    return var_parts.card(shown, title, "risk.var_backtests", model_risk.backtests_html, more)


def _details(choice: Choice, found: Backtested) -> None:
    """The tests of each period, and the figures of the chart."""
    tests = [
        each
        for each in found.backtests.value or []
        if each.method == choice.method
        and each.backtest_kind == choice.backtest_kind
        and each.confidence == choice.confidence
    ]
    sections = {
        f"tests_{each.period}": markup.card(
            markup.head(
                f"Every test: {var_tables.title_of(each)}",
                model_risk.verdict_tag(each.verdict),
                markup.simulated_tag(each.is_simulated),
                more=formats.words(each.backtest_kind, KIND_WORDS),
            ),
            f'<p style="margin-bottom:0.7rem">{escape(each.verdict_reason)}</p>{var_tests.tests_html(each)}',
        )
        for each in tests
    }
    exceptions = [
        each
        for each in found.exceptions.value or []
        if each.backtest_kind == choice.backtest_kind and each.confidence == choice.confidence
    ]
    key = f"exceptions_{choice.backtest_kind}_{choice.method}_{choice.confidence}"
    start = pager.skipped(key, len(exceptions), EXCEPTION_ROWS)
    page = exceptions[start : start + EXCEPTION_ROWS]
    confidence = formats.plain_percent(choice.confidence * 100)
    problem = states.part_problem_html(found.exceptions.problem, "risk.var_exceptions")
    body = var_tables.exceptions_html(page) if page else problem or '<p class="muted">None.</p>'
    sections["exceptions"] = markup.card(
        markup.head(f"Days whose loss exceeded VaR at {confidence}", more="Newest first"), body
    )
    if choice.backtest_kind == STORED and found.stored.value:
        last = list(reversed(found.stored.value))[:SHOWN_FORECASTS]
        sections["forecasts"] = markup.card(
            markup.head("The last forecasts and what followed"), var_tables.forecasts_html(last)
        )
    live.show(DETAILS, sections, is_static=True)
    pager.controls(key, len(exceptions), "exception", EXCEPTION_ROWS)
