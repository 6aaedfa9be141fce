"""The overview of the whole book as a live page; the hub and the script make it alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from assets.risk.queries import BookSummary, LiquidationPrice, MarginEventRow, MarginHealth
from streamlit_app import data
from streamlit_app.components import formats, freshness, headline, markup, states, tables
from streamlit_app.components import lately as lately_parts
from streamlit_app.components.gauge import Gauge, GaugeState
from streamlit_app.data import BookReadings, LatelyReadings
from streamlit_app.reads import ProblemKind, Reading
from streamlit_app.server.channels import LivePage
from streamlit_app.views import lately, overview_slow, parts
from streamlit_app.views.overview_slow import Estimates

TOPIC = "book"
NEAREST_TITLE = "Nearest to margin call"


@dataclass(frozen=True)
class BookView:
    """Everything that the page of the book rests on; `now` is when it was read."""

    book: BookReadings
    triggers: Reading[list[LiquidationPrice]]
    events: Reading[list[MarginEventRow]]
    lately: LatelyReadings
    estimates: Estimates | None
    now: datetime


def read_book(*, with_estimates: bool = True) -> BookView:
    """What the page needs, through the shared reads."""
    readings = data.book()
    accounts = readings.nearest.value or []
    triggers = data.triggers_of([account.account_id for account in accounts])
    events, changed = data.margin_events(None), data.lately()
    estimates = overview_slow.read_estimates(None) if with_estimates else None
    return BookView(readings, triggers, events, changed, estimates, data.system_clock().now())


def live_page(_argument: str | None = None) -> LivePage:
    """The page now, for the hub."""
    return book_page(read_book())


def book_page(view: BookView) -> LivePage:
    """The page of the book, or what stands in place of its figures."""
    summary = view.book.summary
    is_empty = summary.value is not None and summary.value.accounts == 0
    if summary.value is None or _is_not_built(summary) or (is_empty and summary.problem is not None):
        return parts.problem_page(summary)
    if is_empty:
        return parts.state_page(states.NO_ACCOUNTS)
    return _figures(view, summary.value)


def _figures(view: BookView, book: BookSummary) -> LivePage:
    nearest, exposures, prices = view.book.nearest, view.book.exposures, view.lately.prices
    fresh = freshness.freshness_of(
        (view.book.summary, nearest, exposures, prices),
        view.now,
        book.oldest_price_age_seconds,
        book.is_simulated,
        book.late_events_pending,
    )
    shown = _gauge(book, nearest.value or [])
    statuses = headline.statuses_html(book)
    sections = {
        "totals": headline.totals_html(headline.totals_of_book(book)),
        "gauge": parts.gauge_and_breakdown(shown, _gauge_note(book), exposures, book.is_simulated, statuses),
        "lately": markup.pair(lately.prices_card(view.lately, view.now), lately.changes_card(view.lately)),
        "nearest": _nearest_card(nearest, view.triggers),
        "assets": parts.assets_card(exposures),
        "events": parts.events_card(view.events, is_for_account=False),
        **(overview_slow.sections(view.estimates) if view.estimates else {}),
    }
    ages = tables.asset_ages(exposures.value or [], exposures.age_s(view.now) or 0.0)
    ages |= lately_parts.price_ages(prices.value or [], prices.age_s(view.now) or 0.0)
    return parts.figures_page(sections, fresh, ages)


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
