"""One asset on the oracle's page: its price over time with the quality marked, its sources' spread, each price."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from streamlit_app import data
from streamlit_app.components import charts, live, markup, oracle_charts, oracle_tables, states
from streamlit_app.views import oracle_reads, var_parts
from streamlit_app.views.oracle_reads import HISTORY_ROWS
from streamlit_app.visitor import visitor

EVERY = timedelta(seconds=60)
TABLE_KEY, EMPTY_KEY = "oracle_history", "oracle_no_chart"
PRICES_TABLE, TICKS_TABLE = "raw.market_prices", "raw.price_ticks"
# The span that is looked back, and the spans of time that one point stands for.
RANGES = {
    "Last 24 hours": (timedelta(hours=24), timedelta(minutes=5)),
    "Last 7 days": (timedelta(days=7), timedelta(minutes=30)),
}
_PLACES = "oracle_history_places"


@st.fragment(run_every=EVERY)
def render() -> None:
    """The choice of asset and range, two charts, and a table; it looks again each minute."""
    visitor()
    feeds = oracle_reads.feed_table()
    limits = feeds.value.assets if feeds.value else {}
    if not limits:
        why = feeds.problem.message if feeds.problem else "not read yet"
        live.show(
            EMPTY_KEY, {"no_asset": markup.card(markup.head("One asset"), markup.note(why[:300]))}, is_static=True
        )
        return
    with st.container(horizontal=True):
        asset = st.selectbox("Asset", sorted(limits), key="oracle_asset", on_change=_first_page)
        range_name = st.selectbox("Over", list(RANGES), key="oracle_range", on_change=_first_page)
    span, bucket = RANGES[range_name]
    found = oracle_reads.asset(asset, span, bucket)
    path = oracle_charts.price_path(asset, found.path.value or [], bucket)
    spreads = oracle_charts.spreads(found.spreads.value or [], limits[asset].max_spread_bp)
    over = range_name.lower()
    empty = {}
    for name, drawing, title, reading, table in (
        ("path", path, f"Price of {asset}, {over}", found.path, PRICES_TABLE),
        ("spread", spreads, f"How far the sources of {asset} lie apart, {over}", found.spreads, TICKS_TABLE),
    ):
        if drawing is not None:
            title = var_parts.title(title, reading)
            charts.echarts(f"oracle_{name}", drawing.option, title=title, height=300, summary=drawing.summary)
        else:
            why = states.part_problem_html(reading.problem, table)
            empty[name] = markup.card(markup.head(title), why or f'<p class="muted">Nothing to show in the {over}.</p>')
    if empty:
        live.show(EMPTY_KEY, empty, is_static=True)
    _history(asset, span)


def _history(asset: str, span: timedelta) -> None:
    """The published prices, a page at a time."""
    places: list[tuple[datetime, str]] = st.session_state.setdefault(_PLACES, [])
    now = data.system_clock().now().replace(second=0, microsecond=0) + timedelta(minutes=1)
    until, price_id = places[-1] if places else (now, "")
    found = oracle_reads.history(asset, now - span, until, price_id)
    rows = found.value or []
    title = f"Prices of {asset} as they were published"
    body = states.part_problem_html(found.problem, PRICES_TABLE)
    if rows:
        body = oracle_tables.history_html(rows[:HISTORY_ROWS])
    elif not body:
        body = '<p class="muted">None in this time.</p>'
    card = markup.card(markup.head(title, more="Newest first"), body)
    live.show(TABLE_KEY, {"history": card}, is_old=found.problem is not None, is_static=True)
    if len(rows) > HISTORY_ROWS or places:
        last = rows[:HISTORY_ROWS][-1] if rows else None
        with st.container(horizontal=True):
            st.button("Newer", key="oracle_newer", disabled=not places, on_click=_newer)
            st.button(
                "Older",
                key="oracle_older",
                disabled=len(rows) <= HISTORY_ROWS,
                on_click=_older,
                args=(last.published_at, last.price_id) if last is not None else (now, ""),
            )


def _older(published_at: datetime, price_id: str) -> None:
    st.session_state[_PLACES] = [*st.session_state.get(_PLACES, []), (published_at, price_id)]


def _newer() -> None:
    st.session_state[_PLACES] = st.session_state.get(_PLACES, [])[:-1]


def _first_page() -> None:
    st.session_state[_PLACES] = []
