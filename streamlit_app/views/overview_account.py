"""The overview of one account as a live page; the hub and the script make it alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from assets.risk.queries import Exposure, LiquidationPrice, MarginEventRow, MarginHealth
from streamlit_app import data
from streamlit_app.components import formats, freshness, headline, markup, states, tables, triggers
from streamlit_app.components.gauge import Gauge, GaugeState
from streamlit_app.data import AccountReadings
from streamlit_app.reads import ProblemKind, Reading
from streamlit_app.server.channels import LivePage
from streamlit_app.views import overview_slow, parts
from streamlit_app.views.overview_slow import Estimates

TOPIC = "account"
TRIGGERS_TITLE = "Margin-call and liquidation prices"


@dataclass(frozen=True)
class AccountView:
    """Everything that the page of an account rests on; `now` is when it was read."""

    account_id: str
    account: AccountReadings
    events: Reading[list[MarginEventRow]]
    estimates: Estimates
    now: datetime


def topic_of(account_id: str) -> str:
    """The live topic of the account."""
    return f"{TOPIC}:{account_id}"


def read_account(account_id: str) -> AccountView:
    """What the page needs, through the shared reads."""
    account, events = data.account(account_id), data.margin_events(account_id)
    estimates = overview_slow.read_estimates(account_id)
    return AccountView(account_id, account, events, estimates, data.system_clock().now())


def live_page(account_id: str | None) -> LivePage:
    """The page now, for the hub."""
    return account_page(read_account(account_id or ""))


def account_page(view: AccountView) -> LivePage:
    """The page of the account, or what stands in place of its figures."""
    health = view.account.health
    if health.read_at is None or _is_not_built(health) or (health.value is None and health.problem is not None):
        return parts.problem_page(health)
    if health.value is None:
        return parts.state_page(states.no_account(view.account_id))
    return _figures(view, health.value)


def _figures(view: AccountView, account: MarginHealth) -> LivePage:
    exposures, prices = view.account.exposures, view.account.triggers
    fresh = freshness.freshness_of(
        (view.account.health, exposures, prices),
        view.now,
        account.oldest_price_age_seconds,
        account.is_simulated,
        account.late_events_pending,
    )
    note = _gauge_note(account, exposures.value or [])
    sections = {
        "account_head": _head_html(account),
        "totals": headline.totals_html(headline.totals_of_account(account)),
        "gauge": parts.gauge_and_breakdown(_gauge(account), note, exposures, account.is_simulated),
        "triggers": _triggers_card(prices, account),
        "assets": parts.assets_card(exposures),
        "events": parts.events_card(view.events, is_for_account=True),
        **overview_slow.sections(view.estimates),
    }
    ages = tables.asset_ages(exposures.value or [], exposures.age_s(view.now) or 0.0)
    return parts.figures_page(sections, fresh, ages)


def _head_html(account: MarginHealth) -> str:
    marks = [markup.tag("warn", "degraded price")] if account.has_degraded_price else []
    if account.has_negative_position:
        marks.append(markup.tag("warn", "position below zero: an event may be missing"))
    back = markup.account_link("", "Back to the whole book", "link more")
    return (
        f'<div class="head"><h2>{markup.text(account.account_id).html}</h2>{tables.status_tag(account.status)}'
        f"{''.join(marks)}{back}</div>"
    )


def _gauge(account: MarginHealth) -> Gauge:
    state = GaugeState.PRICED if account.health_pct is not None else GaugeState.UNPRICED
    match account.status:
        case "no_debt":
            state = GaugeState.NO_DEBT
        case "unpriced":
            state = GaugeState.UNPRICED
    return Gauge(account.health_pct, state, parts.zones_for(account))


def _gauge_note(account: MarginHealth, positions: Sequence[Exposure]) -> str:
    if account.status == "unpriced":
        return f"Unpriced: {triggers.unpriced_words(account, positions)}. The last value is not current."
    if account.status == "no_debt":
        return "The account owes nothing, so there is no margin to measure."
    margin_call = formats.plain_percent(account.margin_call_threshold_pct)
    liquidation = formats.plain_percent(account.liquidation_threshold_pct)
    recovery = formats.plain_percent(account.margin_call_threshold_pct + account.recovery_margin_pct)
    return f"Margin call below {margin_call}, liquidation below {liquidation}; a call ends at {recovery}."


def _triggers_card(prices: Reading[list[LiquidationPrice]], account: MarginHealth) -> str:
    if prices.value is None:
        problem = states.part_problem_html(prices.problem, "risk.liquidation_prices")
        return markup.card(markup.head(TRIGGERS_TITLE), problem)
    title = markup.head(TRIGGERS_TITLE, markup.simulated_tag(any(price.is_simulated for price in prices.value)))
    if not prices.value:
        return markup.card(title, '<p class="muted">No position.</p>')
    caveat = markup.note("Each price is the one at which the threshold is reached while all other prices stay.")
    return markup.card(title, tables.triggers_html(prices.value, account) + caveat)


def _is_not_built(health: Reading[MarginHealth | None]) -> bool:
    return health.problem is not None and health.problem.kind is ProblemKind.NOT_BUILT
