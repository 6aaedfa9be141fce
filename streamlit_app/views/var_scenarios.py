"""What lies beyond the model: stress scenarios, what must be liquidated, and how far an asset must fall."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from assets.risk.stress_queries import StressResult
from streamlit_app.components import charts, formats, live, markup, model_risk, pager, states, var_charts, var_tables
from streamlit_app.reads import Reading
from streamlit_app.views import var_parts, var_reads, var_reverse

RESULTS, ACCOUNTS = "var_stress", "var_stressed"
TABLE = "risk.stress_results"
ACCOUNT_TABLE = "risk.stress_account_results"
ALL = ""
STATUSES = (ALL, "liquidation", "margin_call", "unpriced", "healthy", "no_debt")


def render(account_id: str | None) -> None:
    """The section for the book, or for one account."""
    results = var_reads.stress()
    names = {each.scenario_id: each.name for each in results.value or []}

    def name_of(scenario_id: str) -> str:
        return names.get(scenario_id, scenario_id)

    if account_id is not None:
        _account(account_id, name_of)
        return
    _book(results, name_of)
    if results.value:
        _drill_down(results.value, name_of)
    var_reverse.render(var_reads.book_assets().value or [])


def _account(account_id: str, name_of: Callable[[str], str]) -> None:
    """What each scenario does to one account."""
    found = var_reads.account_stress(account_id)
    drawing = var_charts.scenarios(found.value or [], name_of)
    if drawing is not None:
        title = var_parts.title("What each scenario does to this account", found)
        charts.echarts("account_stress", drawing.option, title=title, height=380, summary=drawing.summary)
    card = var_parts.card(
        found, "Stress scenarios of this account", ACCOUNT_TABLE, lambda rows: var_tables.stressed_html(rows, name_of)
    )
    live.show(RESULTS, {"stress": card}, is_old=found.problem is not None, is_static=True)


def _book(results: Reading[list[StressResult]], name_of: Callable[[str], str]) -> None:
    """What each scenario does to the book, and what the ladder liquidates."""
    rows = results.value or []
    losses, ladder = var_charts.scenarios(rows, name_of), var_charts.ladder(rows)
    if losses is not None:
        title = var_parts.title("What each scenario does to the accounts' equity", results)
        charts.echarts("scenarios", losses.option, title=title, height=380, summary=losses.summary)
    if ladder is not None:
        title = var_parts.title("Liquidation-at-risk: what each step of the ladder forces to be sold", results)
        charts.echarts("ladder", ladder.option, title=title, height=340, summary=ladder.summary)
    day = f"Positions and closes of {rows[0].as_of_date.isoformat()}" if rows else ""
    card = var_parts.card(results, "Stress and liquidation-at-risk", TABLE, model_risk.stress_html, day)
    live.show(RESULTS, {"stress": card}, is_old=results.problem is not None, is_static=True)


def _drill_down(results: list[StressResult], name_of: Callable[[str], str]) -> None:
    """The accounts of one scenario, a page at a time."""
    with st.container(horizontal=True):
        scenario = st.selectbox(
            "Accounts in the scenario",
            [each.scenario_id for each in results],
            format_func=name_of,
            key="stress_scenario",
        )
        status = st.selectbox(
            "Status after it",
            STATUSES,
            format_func=lambda code: formats.words(code, formats.STATUS_WORDS) if code else "Any",
            key="stress_status",
        )
    key = f"stressed_{scenario}_{status}"
    found = var_reads.stressed(scenario, status, pager.skipped(key), pager.PAGE_ROWS)
    title = f"Accounts in {name_of(scenario)}, the largest loss first"
    if found.value is None:
        card = markup.card(markup.head(title), states.part_problem_html(found.problem, ACCOUNT_TABLE))
        live.show(ACCOUNTS, {"stressed": card}, is_static=True)
        return
    rows = Reading(found.value.rows, found.read_at, found.problem)
    if not rows.value:
        nothing = '<p class="muted">No account has that status in this scenario.</p>'
        live.show(ACCOUNTS, {"stressed": markup.card(markup.head(title), nothing)}, is_static=True)
        return
    more = formats.count(found.value.accounts, "account")
    live.show(
        ACCOUNTS,
        {"stressed": var_parts.card(rows, title, ACCOUNT_TABLE, var_tables.stressed_html, more)},
        is_old=found.problem is not None,
        is_static=True,
        on_account=lambda: var_parts.open_account(ACCOUNTS),
    )
    pager.controls(key, found.value.accounts, "account")
