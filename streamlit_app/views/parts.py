"""Parts that pages have in common: the head of a page, and the cards of the overviews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from assets.risk.queries import MarginEventRow, MarginHealth
from streamlit_app import data
from streamlit_app.components import formats, freshness, gauge, live, markup, scope, states, tables
from streamlit_app.components.breakdown import Position, breakdown_html, shares
from streamlit_app.components.freshness import Freshness
from streamlit_app.components.gauge import Gauge, Zone
from streamlit_app.reads import Problem, ProblemKind, Reading
from streamlit_app.server.channels import LivePage
from streamlit_app.visitor import visitor

# One component holds the whole live part: each component has a style sheet of its own.
LIVE_KEY = "live"
HOME = "/"
SIGN_OUT = "/sign-out"
ROLE_WORDS = {"viewer": "Viewer", "analyst": "Analyst", "officer": "Officer", "admin": "Administrator"}


def head(title: str) -> DeltaGenerator:
    """The head of a page: its title, who is signed in, the way out; returns the place for the page's own controls."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    left.title(title, anchor=False)
    someone = visitor()
    role = formats.words(someone.role.value, ROLE_WORDS)
    right.html(
        f'<div class="who"><span>{escape(someone.name)}, {escape(role)}</span>'
        f'<a href="{HOME}" target="_self">Light page</a><a href="{SIGN_OUT}" target="_self">Sign out</a></div>'
    )
    return right.container(horizontal=True, vertical_alignment="bottom")


def state_page(html: str) -> LivePage:
    """What stands in place of all figures."""
    return LivePage({"state": html})


def problem_page(reading: Reading[Any]) -> LivePage:
    """Why there are no figures."""
    return state_page(states.problem_html(reading.problem or Problem(ProblemKind.AWAY, "")))


def figures_page(sections: Mapping[str, str], fresh: Freshness, ages: Mapping[str, float | None]) -> LivePage:
    """The sections under their freshness, with further ages that they show."""
    top = {"freshness": freshness.line_html(fresh), "banner": freshness.banner_html(fresh)}
    return LivePage(top | dict(sections), freshness.ages(fresh) | dict(ages), fresh.is_old)


def show_live(page: LivePage, topic: str) -> None:
    """The page as it is now, which the stream of `topic` keeps current; an account chosen in it becomes the scope."""
    live.show(
        LIVE_KEY,
        page.sections,
        ages=page.ages,
        is_old=page.is_old,
        topic=topic,
        on_account=lambda: scope.go_to(st.session_state[LIVE_KEY].account),
    )


def gauge_and_breakdown(shown: Gauge, note: str, exposures: Reading[Any], is_simulated: bool, below: str = "") -> str:
    """The gauge beside the breakdown; `below` is a card under the breakdown."""
    title = markup.head("Margin health", markup.simulated_tag(is_simulated))
    body = f'{gauge.gauge_svg(shown)}{gauge.legend(shown.zones)}<div class="centre">{markup.note(note)}</div>'
    return markup.pair(markup.card(title, body), _breakdown_card(exposures) + below)


def assets_card(exposures: Reading[Any]) -> str:
    """The table by asset."""
    positions: Sequence[Position] = exposures.value or []
    body = states.part_problem_html(exposures.problem, "risk.account_exposures")
    if exposures.value is not None:
        body = tables.assets_html(positions) if positions else '<p class="muted">No position.</p>'
    return markup.card(markup.head("Assets held and owed", _simulated(positions)), body)


def events_card(events: Reading[list[MarginEventRow]], is_for_account: bool) -> str:
    """The last margin events."""
    rows = events.value or []
    if events.value is None:
        body = states.part_problem_html(events.problem, "risk.margin_events")
    elif rows:
        body = tables.events_html(rows, is_for_account)
    else:
        body = f'<p class="muted">None in the last {data.EVENT_DAYS} days.</p>'
    more = f"At most {data.EVENT_ROWS} of the last {data.EVENT_DAYS} days" if rows else ""
    return markup.card(markup.head("Last margin events", more=more), body)


def zones_for(*accounts: MarginHealth) -> tuple[Zone, ...]:
    """The zones of the thresholds that most of the accounts have; none without accounts."""
    thresholds = Counter((each.liquidation_threshold_pct, each.margin_call_threshold_pct) for each in accounts)
    return gauge.zones_of(*thresholds.most_common(1)[0][0]) if thresholds else ()


def _breakdown_card(exposures: Reading[Any]) -> str:
    positions: Sequence[Position] = exposures.value or []
    title = markup.head("Collateral by asset", _simulated(positions))
    if exposures.value is None:
        return markup.card(title, states.part_problem_html(exposures.problem, "risk.account_exposures"))
    return markup.card(title, breakdown_html(shares(positions)))


def _simulated(positions: Sequence[Position]) -> str:
    return markup.simulated_tag(any(position.is_simulated for position in positions))
