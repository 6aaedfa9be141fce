"""The estimates of the overview: Value at Risk and Expected Shortfall, and for the book what questions them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from assets.risk.queries import ValueAtRisk
from streamlit_app import data
from streamlit_app.components import formats, markup, model_risk, states, tables
from streamlit_app.reads import Reading

TITLE = "Value at Risk and Expected Shortfall"
_NOT_YET = "It is made by the risk_daily_job."


class _Simulated(Protocol):
    @property
    def is_simulated(self) -> bool: ...


Row = TypeVar("Row", bound=_Simulated)


@dataclass(frozen=True)
class Estimates:
    """The latest estimates; `model` is there for the book only."""

    value_at_risk: Reading[list[ValueAtRisk]]
    model: data.ModelReadings | None


def read_estimates(account_id: str | None) -> Estimates:
    """The estimates of an account, or of the book (None), at most `data.SLOW_MAX_AGE` old."""
    return Estimates(data.value_at_risk(account_id), data.model_of_book() if account_id is None else None)


def sections(found: Estimates) -> dict[str, str]:
    """The cards of the estimates by name."""
    table = "risk.book_var" if found.model else "risk.portfolio_var"
    shown = {"var": _card(found.value_at_risk, TITLE, table, tables.var_html, _var_head)}
    return shown | (_model(found.model) if found.model else {})


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
    if reading.problem is not None:
        mark += markup.tag("warn", f"could not be read anew since {formats.time_of_day(reading.read_at)}")
    return markup.card(markup.head(title, mark, simulated, more=more), body(reading.value))
