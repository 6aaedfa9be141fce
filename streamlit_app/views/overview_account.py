"""The live part of the overview for one account."""

from __future__ import annotations

from collections.abc import Sequence

from assets.risk.queries import Exposure, LiquidationPrice, MarginHealth
from streamlit_app import data
from streamlit_app.components import formats, freshness, headline, markup, states, tables, triggers
from streamlit_app.components.gauge import Gauge, GaugeState
from streamlit_app.data import AccountReadings
from streamlit_app.reads import ProblemKind, Reading
from streamlit_app.views import parts

TRIGGERS_TITLE = "Margin-call and liquidation prices"


def render(account_id: str) -> None:
    """Show the account."""
    readings = data.account(account_id)
    health = readings.health
    if health.read_at is None or _is_not_built(health) or (health.value is None and health.problem is not None):
        parts.show_problem(health)
        return
    if health.value is None:
        parts.show_state(states.no_account(account_id))
        return
    _figures(readings, health.value)


def _figures(readings: AccountReadings, account: MarginHealth) -> None:
    exposures, prices = readings.exposures, readings.triggers
    events = data.margin_events(account.account_id)
    fresh = freshness.freshness_of(
        (readings.health, exposures, prices),
        data.system_clock().now(),
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
        "events": parts.events_card(events, is_for_account=True),
    }
    parts.show_live(sections, fresh)


def _head_html(account: MarginHealth) -> str:
    marks = [markup.tag("warn", "degraded price")] if account.has_degraded_price else []
    if account.has_negative_position:
        marks.append(markup.tag("warn", "position below zero: an event may be missing"))
    back = '<button type="button" class="link more" data-account="">Back to the whole book</button>'
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
