"""The page *VaR and stress*: what may be lost, whether the model that says so holds, and what lies beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import streamlit as st

from assets.risk.engine.methods import Method
from assets.risk.queries import ValueAtRisk
from assets.risk.var_queries import VarBacktest
from streamlit_app import data
from streamlit_app.components import (
    charts,
    formats,
    freshness,
    live,
    markup,
    scope,
    states,
    var_charts,
    var_head,
    var_tables,
)
from streamlit_app.reads import Reading
from streamlit_app.views import parts, var_backtests, var_parts, var_reads, var_scenarios
from streamlit_app.views.var_reads import Choice
from streamlit_app.visitor import visitor

TITLE = "VaR and stress"
TOP, ESTIMATES, PARTS = "var_top", "var_estimates", "var_parts"
EVERY = timedelta(seconds=60)
STANDARD_CONFIDENCE = Decimal("0.99")
PART_WORDS = {var_reads.ASSET: "By asset", var_reads.ACCOUNT: "By account"}


def render() -> None:
    """The selector, and the page of what it says."""
    with parts.head(TITLE):
        account_id = scope.select(data.account_ids().value or [])
    body(account_id)


@st.fragment(run_every=EVERY)
def body(account_id: str | None) -> None:
    """Everything under the head; it looks again by itself, as a figure may be new or the warehouse back."""
    visitor()
    if (scope.selected() or None) != account_id:
        # An account was chosen inside: the selector stands outside.
        st.rerun()
    estimates, backtests = var_reads.opening(account_id)
    top = _top(account_id, estimates, backtests)
    if not estimates.value:
        live.show(TOP, top, ages={}, is_old=False, is_static=True)
        return
    now = var_reads.now()
    fresh = freshness.freshness_of((estimates, backtests), now, None, False, 0)
    live.show(
        TOP,
        top,
        ages=freshness.ages(fresh) | var_head.ages(estimates.value, now),
        is_old=fresh.is_old,
        is_static=True,
    )
    choice = _choose(account_id, estimates.value)
    _distribution(choice, backtests.value or [])
    var_backtests.render(choice)
    _components(choice)
    var_scenarios.render(account_id)


def _top(
    account_id: str | None, estimates: Reading[list[ValueAtRisk]], backtests: Reading[list[VarBacktest]]
) -> dict[str, str]:
    """What stands first: problems, whether the model holds, what the figures rest on."""
    if estimates.value is None:
        return {"state": states.problem_html(estimates.problem) if estimates.problem else states.CONNECTING}
    if not estimates.value:
        if account_id is None:
            return {"state": states.NOT_BUILT}
        words = "Check the id, or choose another account. Estimates are made once a day for accounts with a position."
        return {"state": markup.banner("info", f"{account_id} has no estimate.", words)}
    now = var_reads.now()
    fresh = freshness.freshness_of((estimates, backtests), now, None, False, 0)
    judged = [each for each in backtests.value or [] if each.method == Method.HISTORICAL]
    return {
        "banner": freshness.banner_html(fresh) if fresh.problem else "",
        "model": var_head.model_banner(None if backtests.value is None else judged, account_id is not None),
        "old": var_head.age_banner(estimates.value, now),
        "basis": var_head.basis_html(estimates.value, judged),
    }


def _choose(account_id: str | None, estimates: Sequence[ValueAtRisk]) -> Choice:
    """The confidence, horizon and window to look at, of those that were estimated."""
    confidences = sorted({each.confidence.normalize() for each in estimates})
    horizons = sorted({each.horizon_days for each in estimates})
    windows = sorted({each.window_observations for each in estimates})
    standard = Choice(account_id)
    with st.container(horizontal=True):
        confidence = st.selectbox(
            "Confidence",
            confidences,
            index=_place(confidences, STANDARD_CONFIDENCE),
            format_func=lambda each: formats.plain_percent(each * 100),
            key="var_confidence",
        )
        horizon = st.selectbox(
            "Horizon",
            horizons,
            index=_place(horizons, standard.horizon_days),
            format_func=lambda days: formats.count(days, "day"),
            key="var_horizon",
        )
        window = st.selectbox(
            "Window",
            windows,
            index=_place(windows, standard.window_observations),
            format_func=lambda days: formats.count(days, "day"),
            key="var_window",
        )
    return Choice(account_id, confidence, horizon, window)


def _distribution(choice: Choice, backtests: Sequence[VarBacktest]) -> None:
    """The scenarios and the figures that come from them, by every method."""
    found = var_reads.distribution(choice)
    shown = [
        each
        for each in found.estimates.value or []
        if each.confidence == choice.confidence
        and each.horizon_days == choice.horizon_days
        and each.window_observations == choice.window_observations
    ]
    shown.sort(key=lambda each: _order(each.method))
    confidence = formats.plain_percent(choice.confidence * 100)
    horizon = formats.count(choice.horizon_days, "day")
    standard = next((each for each in shown if each.method == Method.HISTORICAL), None)
    drawing = var_charts.distribution(found.scenarios.value or [], standard)
    if drawing is not None:
        title = f"P&L over {horizon} in each scenario of the last {formats.count(choice.window_observations, 'day')}"
        title = var_parts.title(title, found.scenarios)
        charts.echarts("distribution", drawing.option, title=title, height=340, summary=drawing.summary)
    else:
        why = states.part_problem_html(found.scenarios.problem, "intermediate.int_risk__scenarios")
        no_scenario = '<p class="muted">No scenario of these positions is known: a return or a close is missing.</p>'
        title = "P&L in each scenario"
        live.show(
            "var_no_scenario", {"distribution": markup.card(markup.head(title), why or no_scenario)}, is_static=True
        )
    card = var_parts.card(
        Reading(shown, found.estimates.read_at, found.estimates.problem),
        f"What may be lost over {horizon} at {confidence}, by method",
        "risk.book_var" if choice.account_id is None else "risk.portfolio_var",
        lambda rows: var_tables.estimators_html(rows, backtests),
        "Losses, in USD; under each figure its interval",
    )
    live.show(ESTIMATES, {"estimates": card}, is_old=found.estimates.problem is not None, is_static=True)


def _components(choice: Choice) -> None:
    """What adds to the book's risk; of an account its own share."""
    if choice.account_id is not None:
        found = var_reads.components(choice)
        card = var_parts.card(
            found,
            "What this account adds to the book",
            "risk.var_components",
            var_tables.own_component_html,
            "Historical simulation, 1 day",
        )
        live.show(PARTS, {"parts": card}, is_old=found.problem is not None, is_static=True)
        return
    kind = st.segmented_control(
        "What adds to the risk",
        list(PART_WORDS),
        default=var_reads.ASSET,
        format_func=PART_WORDS.__getitem__,
        key="var_part_kind",
    )
    kind = kind or var_reads.ASSET
    found = var_reads.components(Choice(None, choice.confidence, part_kind=kind))
    drawing = var_charts.components(found.value or [])
    confidence = formats.plain_percent(choice.confidence * 100)
    if drawing is not None:
        title = f"What adds to the book's Expected Shortfall, {PART_WORDS[kind].lower()}, 1 day at {confidence}"
        height = 70 + 26 * min(len(found.value or []), var_charts.SHOWN_PARTS)
        title = var_parts.title(title, found)
        charts.echarts(f"parts_{kind}", drawing.option, title=title, height=height, summary=drawing.summary)
    most = var_charts.SHOWN_PARTS
    card = var_parts.card(
        found,
        f"Components {PART_WORDS[kind].lower()}",
        "risk.var_components",
        lambda rows: var_tables.parts_html(rows[:most], kind == var_reads.ACCOUNT),
        f"The {most} that add most" if len(found.value or []) > most else "All parts; they sum to the book's figures",
    )
    live.show(
        PARTS,
        {"parts": card},
        is_old=found.problem is not None,
        is_static=True,
        on_account=lambda: var_parts.open_account(PARTS),
    )


def _place(options: Sequence[Any], wanted: Any) -> int:
    return options.index(wanted) if wanted in options else 0


def _order(method: str) -> int:
    known = list(Method)
    return known.index(Method(method)) if method in known else len(known)
