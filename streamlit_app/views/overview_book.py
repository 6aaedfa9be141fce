"""The live part of the overview for the whole book."""

from __future__ import annotations

from collections.abc import Sequence

from assets.risk.queries import BookSummary, LiquidationPrice, MarginHealth
from streamlit_app import data
from streamlit_app.components import formats, freshness, headline, markup, states, tables
from streamlit_app.components.gauge import Gauge, GaugeState
from streamlit_app.data import BookReadings
from streamlit_app.reads import ProblemKind, Reading
from streamlit_app.views import parts

NEAREST_TITLE = "Nearest to margin call"


def render() -> None:
    """Show the book."""
    readings = data.book()
    summary = readings.summary
    is_empty = summary.value is not None and summary.value.accounts == 0
    if summary.value is None or _is_not_built(summary) or (is_empty and summary.problem is not None):
        parts.show_problem(summary)
        return
    if is_empty:
        parts.show_state(states.NO_ACCOUNTS)
        return
    _figures(readings, summary.value)


def _figures(readings: BookReadings, book: BookSummary) -> None:
    nearest, exposures = readings.nearest, readings.exposures
    accounts = nearest.value or []
    triggers = data.triggers_of([account.account_id for account in accounts])
    events = data.margin_events(None)
    fresh = freshness.freshness_of(
        (readings.summary, nearest, exposures),
        data.system_clock().now(),
        book.oldest_price_age_seconds,
        book.is_simulated,
        book.late_events_pending,
    )
    shown = _gauge(book, accounts)
    statuses = headline.statuses_html(book)
    sections = {
        "totals": headline.totals_html(headline.totals_of_book(book)),
        "gauge": parts.gauge_and_breakdown(shown, _gauge_note(book), exposures, book.is_simulated, statuses),
        "nearest": _nearest_card(nearest, triggers),
        "assets": parts.assets_card(exposures),
        "events": parts.events_card(events, is_for_account=False),
    }
    parts.show_live(sections, fresh)


def _gauge(book: BookSummary, accounts: Sequence[MarginHealth]) -> Gauge:
    state = GaugeState.PRICED if book.is_complete and book.health_pct is not None else GaugeState.UNPRICED
    if book.borrow_usd <= 0 and book.is_complete:
        state = GaugeState.NO_DEBT
    return Gauge(book.health_pct, state, parts.zones_for(*accounts))


def _gauge_note(book: BookSummary) -> str:
    if not book.is_complete:
        unpriced = formats.count(book.unpriced, "account is", "accounts are")
        return (
            f"{unpriced} unpriced, so the health of the book is unknown; the last value rests on old or missing prices."
        )
    return "All collateral against all debt. Accounts are called one by one, each by its own health."


def _nearest_card(nearest: Reading[list[MarginHealth]], triggers: Reading[list[LiquidationPrice]]) -> str:
    accounts = nearest.value
    if accounts is None:
        return markup.card(markup.head(NEAREST_TITLE), states.part_problem_html(nearest.problem, "risk.margin_health"))
    by_account: dict[str, list[LiquidationPrice]] = {}
    for price in triggers.value or []:
        by_account.setdefault(price.account_id, []).append(price)
    title = markup.head(
        NEAREST_TITLE,
        markup.simulated_tag(any(account.is_simulated for account in accounts)),
        more="Unpriced accounts first, then the lowest health",
    )
    return markup.card(title, tables.accounts_html(accounts, by_account))


def _is_not_built(summary: Reading[BookSummary]) -> bool:
    return summary.problem is not None and summary.problem.kind is ProblemKind.NOT_BUILT
