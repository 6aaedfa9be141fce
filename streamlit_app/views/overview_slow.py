"""The slow part of the overview: Value at Risk and Expected Shortfall, and for the book what questions them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from assets.risk.queries import ValueAtRisk
from streamlit_app import data
from streamlit_app.components import live, markup, model_risk, states, tables
from streamlit_app.reads import Reading

TITLE = "Value at Risk and Expected Shortfall"
_NOT_YET = "It is made by the risk_daily_job."


class _Simulated(Protocol):
    @property
    def is_simulated(self) -> bool: ...


Row = TypeVar("Row", bound=_Simulated)


def render(account_id: str | None) -> None:
    """Show the latest estimates; nothing while the live part has no figures either."""
    if not data.has_book():
        return
    estimates = data.value_at_risk(account_id)
    table = "risk.book_var" if account_id is None else "risk.portfolio_var"
    sections = {"var": _card(estimates, TITLE, table, tables.var_html, _var_head)}
    is_old = estimates.problem is not None
    if account_id is None:
        found = data.model_of_book()
        sections |= _model(found)
        is_old = is_old or any(each.problem for each in (found.backtests, found.components, found.stress))
    live.show("slow", sections, is_old=is_old)


def _model(found: data.ModelReadings) -> dict[str, str]:
    """Whether the model holds, what adds to its figures, and what lies beyond it."""
    verdict = model_risk.worst_verdict(found.backtests.value or [])
    return {
        "backtests": _card(
            found.backtests,
            "Does the model hold?",
            "risk.var_backtests",
            model_risk.backtests_html,
            lambda _rows: (model_risk.verdict_tag(verdict), "Forecasts against what followed"),
        ),
        "components": _card(
            found.components,
            "What adds to the risk",
            "risk.var_components",
            model_risk.components_html,
            lambda rows: ("", f"Historical simulation, 1 day, {rows[0].confidence:.0%}"),
        ),
        "stress": _card(
            found.stress,
            "Stress and liquidation-at-risk",
            "risk.stress_results",
            model_risk.stress_html,
            lambda rows: ("", f"Positions and closes of {rows[0].as_of_date.isoformat()}"),
        ),
    }


def _var_head(estimates: Sequence[ValueAtRisk]) -> tuple[str, str]:
    return "", f"Losses, in USD, as of {estimates[0].as_of_date.isoformat()}"


def _card(
    reading: Reading[list[Row]],
    title: str,
    table: str,
    body: Callable[[Sequence[Row]], str],
    head: Callable[[Sequence[Row]], tuple[str, str]],
) -> str:
    """A card of rows; without any, why there are none. `head` gives a mark beside the title and words at its right."""
    if reading.value is None:
        return markup.card(markup.head(title), states.part_problem_html(reading.problem, table))
    if not reading.value:
        return markup.card(markup.head(title), f'<p class="muted">No figure yet. {_NOT_YET}</p>')
    simulated = markup.simulated_tag(any(each.is_simulated for each in reading.value))
    mark, more = head(reading.value)
    return markup.card(markup.head(title, mark, simulated, more=more), body(reading.value))
