"""The live part of one account's page; the hub and the script make it alike."""

from __future__ import annotations

from html import escape
from typing import Any

from assets.risk.account_queries import OwnThresholds
from assets.risk.queries import LiquidationPrice, MarginHealth
from streamlit_app import account_data, data
from streamlit_app.account_data import AlertReadings
from streamlit_app.components import account_tables, formats, markup, price_ruler, states, tables
from streamlit_app.reads import Reading
from streamlit_app.server.channels import LivePage
from streamlit_app.views import overview_account

TOPIC = "account_page"
ALERTS_TITLE = "Alerts and their notifications"
THRESHOLDS_TITLE = "Thresholds in force"
_CARD_END = "</div></section>"
VAR_WORDS = (
    "Value at Risk: the loss over the horizon that was exceeded on no more than the rest of the days; at 99%, on one "
    "day in a hundred. Expected Shortfall: the mean loss of those days. Both are of the positions at the end of the "
    "day named, not of this moment."
)


def topic_of(account_id: str) -> str:
    """The live topic of the account's page."""
    return f"{TOPIC}:{account_id}"


def live_page(account_id: str | None) -> LivePage:
    """The page now: the account's overview with rulers, thresholds and alerts; or what stands in place of figures."""
    view = overview_account.read_account(account_id or "")
    base = overview_account.account_page(view)
    account = view.account.health.value
    if account is None or "state" in base.sections:
        return base
    found = account_data.alerts(view.account_id)
    own = account_data.own_thresholds(view.account_id)
    own_sections = {
        "account_head": _head(account),
        "triggers": _triggers_card(view.account.triggers, account),
        "events": _alerts_card(found, view.account_id),
        "thresholds": _thresholds_card(own, account),
        "var": _with_note(base.sections["var"]),
    }
    order = (
        "freshness",
        "banner",
        "account_head",
        "totals",
        "gauge",
        "triggers",
        "assets",
        "var",
        "events",
        "thresholds",
    )
    merged = {**base.sections, **own_sections}
    return LivePage({name: merged[name] for name in order if name in merged}, base.ages, base.is_old)


def _head(account: MarginHealth) -> str:
    marks = [markup.tag("warn", "degraded price")] if account.has_degraded_price else []
    if account.has_negative_position:
        marks.append(markup.tag("warn", "position below zero: an event may be missing"))
    if account.is_confidence_unknown:
        marks.append(markup.tag("warn", "confidence of a price unknown"))
    last = f'<span class="more muted small">Last settlement {formats.moment(account.last_event_at)}</span>'
    head = markup.text(account.account_id).html
    return f'<div class="head"><h2>{head}</h2>{tables.status_tag(account.status)}{"".join(marks)}{last}</div>'


def _triggers_card(prices: Reading[list[LiquidationPrice]], account: MarginHealth) -> str:
    title = overview_account.TRIGGERS_TITLE
    if prices.value is None:
        return markup.card(markup.head(title), states.part_problem_html(prices.problem, "risk.liquidation_prices"))
    heading = markup.head(title, markup.simulated_tag(any(price.is_simulated for price in prices.value)))
    if not prices.value:
        return markup.card(heading, '<p class="muted">No position.</p>')
    rulers = price_ruler.rulers_of(prices.value, account)
    drawn = {ruler.asset for ruler in rulers}
    others = [price for price in prices.value if price.asset not in drawn]
    table = tables.triggers_html(others, account) if others else ""
    caveat = markup.note(
        "Each price is the one at which the threshold is reached while all other prices stay. Full: liquidation; "
        "striped: margin call; pale: above both. The ring is the price now."
    )
    return markup.card(heading, price_ruler.rulers_html(rulers, account) + table + caveat)


def _alerts_card(found: AlertReadings, account_id: str) -> str:
    address = escape(account_tables.alerts_address(account_id))
    link = f'<a class="link more" href="{address}" target="_self">Full trail in Alerts</a>'
    heading = markup.head(ALERTS_TITLE, _not_anew(found.events), _not_anew(found.deliveries))
    heading = f"{heading.removesuffix('</div>')}{link}</div>"
    if found.events.value is None:
        return markup.card(heading, states.part_problem_html(found.events.problem, "risk.margin_events"))
    days = account_data.ALERTS_WITHIN.days
    if not found.events.value:
        return markup.card(heading, f'<p class="muted">No margin event in the last {days} days.</p>')
    known = found.deliveries.value
    body = account_tables.alerts_html(found.events.value, None if known is None else account_tables.by_event(known))
    problem = (
        states.part_problem_html(found.deliveries.problem, "risk.notification_deliveries") if known is None else ""
    )
    note = markup.note(f"At most {account_data.ALERT_ROWS} of the last {days} days, newest first.")
    return markup.card(heading, body + problem + note)


def _thresholds_card(own: Reading[OwnThresholds | None], account: MarginHealth) -> str:
    is_known = own.read_at is not None
    return markup.card(
        markup.head(THRESHOLDS_TITLE, _not_anew(own)), account_tables.thresholds_html(account, own.value, is_known)
    )


def _not_anew(reading: Reading[Any]) -> str:
    """A mark of figures that are shown although they could not be read anew."""
    if reading.problem is None or reading.read_at is None:
        return ""
    return markup.tag("warn", f"could not be read anew since {formats.time_of_day(reading.read_at)}")


def _with_note(card: str) -> str:
    """The card of estimates with what they are below its table."""
    age = f"Read at most {int(data.SLOW_MAX_AGE.total_seconds())} s ago."
    body = card.removesuffix(_CARD_END)
    return f"{body}{markup.note(f'{VAR_WORDS} {age}')}{_CARD_END}"
