"""Which live topics there are, and who makes their pages."""

from __future__ import annotations

from streamlit_app.server.channels import LivePage
from streamlit_app.server.live import Hub
from streamlit_app.views import (
    account_live,
    alerts_page,
    data_health,
    monitor_page,
    oracle,
    overview_account,
    overview_book,
)

HOME = "home"
"""The light page's share of the book's overview."""
_HOME_SECTIONS = ("freshness", "banner", "state", "totals", "gauge", "lately", "events")


def register_topics(hub: Hub) -> Hub:
    """The hub with every topic of the app."""
    hub.register(HOME, home_page)
    hub.register(overview_book.TOPIC, overview_book.live_page)
    hub.register(overview_account.TOPIC, overview_account.live_page)
    hub.register(account_live.TOPIC, account_live.live_page)
    hub.register(data_health.TOPIC, data_health.live_page)
    hub.register(oracle.TOPIC, oracle.live_page)
    hub.register(monitor_page.TOPIC, monitor_page.live_page)
    hub.register(alerts_page.TOPIC, alerts_page.live_page)
    return hub


def home_page(_argument: str | None = None) -> LivePage:
    """The light page now: the overview of the book without its longer tables and its estimates."""
    page = overview_book.book_page(overview_book.read_book(with_estimates=False))
    sections = {name: page.sections[name] for name in _HOME_SECTIONS if name in page.sections}
    ages = {name: age for name, age in page.ages.items() if not name.startswith("asset:")}
    return LivePage(sections, ages, page.is_old)
