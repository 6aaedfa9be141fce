"""Parts that the sections of the page of the risk models have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from streamlit_app.components import formats, markup, scope, states
from streamlit_app.reads import Reading

NOT_YET = "No figure yet. It is made by the risk_daily_job."


def title(words: str, reading: Reading[Any]) -> str:
    """The title of a chart, which says so where its figures could not be read anew."""
    return (
        words if reading.problem is None else f"{words} (old figures, read at {formats.time_of_day(reading.read_at)})"
    )


def open_account(key: str) -> None:
    """Make the account that was chosen in a component the subject of the page."""
    scope.go_to(st.session_state[key].account)


def card(reading: Reading[Any], title: str, table: str, body_of: Callable[[Any], str], more: str = "") -> str:
    """A card of rows; without any, why there are none, and with old ones since when."""
    if reading.value is None:
        return markup.card(markup.head(title), states.part_problem_html(reading.problem, table))
    if not reading.value:
        return markup.card(markup.head(title), f'<p class="muted">{NOT_YET}</p>')
    simulated = markup.simulated_tag(any(getattr(each, "is_simulated", False) for each in reading.value))
    old = "" if reading.problem is None else _old_tag(reading)
    return markup.card(markup.head(title, old, simulated, more=more), body_of(reading.value))


def _old_tag(reading: Reading[Any]) -> str:
    return markup.tag("warn", f"could not be read anew since {formats.time_of_day(reading.read_at)}")
