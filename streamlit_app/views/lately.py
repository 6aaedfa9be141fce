"""The price panel and what changed in the last hour: parts of the book's overview and of the light page."""

from __future__ import annotations

from datetime import datetime

from streamlit_app.components import lately, markup, states
from streamlit_app.data import LatelyReadings

PRICES_TITLE = "Prices"
CHANGES_TITLE = "What changed in the last hour"
PRICES_TABLE = "intermediate.int_market__latest_prices"


def prices_card(readings: LatelyReadings, now: datetime) -> str:
    """Each asset's price, how it moved, whether it may be relied upon, and its age."""
    prices = readings.prices
    if prices.value is None:
        return markup.card(markup.head(PRICES_TITLE), states.part_problem_html(prices.problem, PRICES_TABLE))
    title = markup.head(PRICES_TITLE, markup.simulated_tag(any(each.is_simulated for each in prices.value)))
    if not prices.value:
        return markup.card(title, '<p class="muted">No price has arrived yet.</p>')
    # Old points would make an old move look like one of the last hour.
    points = (readings.points.value or []) if readings.points.problem is None else []
    return markup.card(title, lately.prices_html(prices.value, lately.moves(points, now)))


def changes_card(readings: LatelyReadings) -> str:
    """Accounts that changed status, margin events, and what settled."""
    changes, flows = readings.changes, readings.flows
    problems = [
        states.part_problem_html(reading.problem, table)
        for reading, table in ((changes, "risk.margin_events"), (flows, "raw.settlement_events"))
        if reading.value is None
    ]
    return markup.card(markup.head(CHANGES_TITLE), lately.changes_html(changes.value, flows.value, problems))
