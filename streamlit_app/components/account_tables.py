"""Tables of one account's page as markup: thresholds, settlements, alerts with their notifications, estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from urllib.parse import urlencode

from assets.risk.account_queries import ChannelDelivery, OwnThresholds, Settlement
from assets.risk.queries import MarginEventRow, MarginHealth, ValueAtRisk
from streamlit_app.components import alert_words, formats, markup
from streamlit_app.components.lately import FLOW_WORDS
from streamlit_app.components.markup import Cell, Column, text
from streamlit_app.components.scope import APP_ROOT, PARAMETER

ACCOUNT_PATH = "account"
ALERTS_PATH = "alerts"
KIND_WORDS = {kind: words.rstrip("s") for kind, words in FLOW_WORDS.items()}
_SHOWN_HASH = 10


def page_address(account_id: str) -> str:
    """The address of the page of an account; of its choice for an empty id."""
    return APP_ROOT + ACCOUNT_PATH + (f"?{urlencode({PARAMETER: account_id})}" if account_id else "")


def alerts_address(account_id: str) -> str:
    """The address of the page of alerts, for one account."""
    return f"{APP_ROOT}{ALERTS_PATH}?{urlencode({PARAMETER: account_id})}"


def nearest_html(account_ids: Sequence[str]) -> str:
    """Links to the pages of accounts."""
    items = "".join(
        f'<li><a class="link" href="{escape(page_address(each))}" data-account="{escape(each)}">{escape(each)}</a></li>'
        for each in account_ids
    )
    return f'<ul class="lines">{items}</ul>'


def thresholds_html(account: MarginHealth, own: OwnThresholds | None, is_known: bool) -> str:
    """The thresholds in force, and of each whether somebody set it for this account; who and when below."""
    columns = (Column("Threshold"), Column("In force", True), Column("Set"), Column("What follows"))
    rows = []
    for name, value, set_one, follows in (
        (
            "Early warning",
            account.early_warning_threshold_pct,
            own and own.early_warning_pct,
            "A warning is sent below",
        ),
        ("Margin call", account.margin_call_threshold_pct, own and own.margin_call_pct, "A margin call is due below"),
        ("Liquidation", account.liquidation_threshold_pct, own and own.liquidation_pct, "Collateral is sold below"),
        (
            "Recovery margin",
            account.recovery_margin_pct,
            own and own.recovery_margin_pct,
            "So far above its threshold health must rise to end an episode",
        ),
    ):
        where = ("Default" if set_one is None else "For this account") if is_known else "Not read"
        rows.append((text(name), text(_threshold(name, value)), text(where), text(follows)))
    return markup.table("Thresholds in force", columns, rows) + _who(own, is_known)


def settlements_html(rows: Sequence[Settlement]) -> str:
    """A page of settlements, the last settled first."""
    columns = (
        Column("Settled (UTC)"),
        Column("Kind"),
        Column("Side"),
        Column("Quantity", True),
        Column("Chain"),
        Column("Transaction"),
        Column("Arrived (UTC)"),
    )
    return markup.table("Settlements", columns, [_settlement(each) for each in rows])


def alerts_html(events: Sequence[MarginEventRow], deliveries: Mapping[str, Sequence[ChannelDelivery]] | None) -> str:
    """Margin events, newest first, each with its notifications by channel; `deliveries` None: they were not read."""
    columns = (
        Column("Detected (UTC)"),
        Column("Event"),
        Column("Health", True),
        Column("Notifications"),
        Column("Collateral and borrow", True),
    )
    rows = [
        (
            text(formats.moment(event.detected_at)),
            Cell(
                f"{markup.tag(event.severity, formats.words(event.severity, formats.SEVERITY_WORDS))} "
                f"{markup.simulated_tag(event.is_simulated)}"
            ),
            text(formats.health(event.health_pct), _below(event.threshold_pct)),
            _notifications(None if deliveries is None else deliveries.get(event.margin_event_id, ())),
            text(formats.usd(event.collateral_usd), f"borrow {formats.usd(event.borrow_usd)}"),
        )
        for event in events
    ]
    return markup.table("Alerts of the account", columns, rows)


def by_event(deliveries: Sequence[ChannelDelivery]) -> dict[str, list[ChannelDelivery]]:
    """Deliveries by the event that they tell of."""
    found: dict[str, list[ChannelDelivery]] = {}
    for each in deliveries:
        found.setdefault(each.margin_event_id, []).append(each)
    return found


def estimates_html(estimates: Sequence[ValueAtRisk]) -> str:
    """Every estimate, in USD, with its interval, the observations it rests on and why it has no figure."""
    columns = (
        Column("Method"),
        Column("Horizon and window"),
        Column("Confidence", True),
        Column("Value at Risk", True),
        Column("Expected Shortfall", True),
    )
    rows = [
        (
            text(
                formats.words(each.method, formats.METHOD_WORDS) + (" (fallback)" if each.is_fallback else ""),
                formats.words(each.estimator, formats.ESTIMATOR_WORDS),
            ),
            text(
                f"{formats.count(each.horizon_days, 'day')}, {each.horizon_rule.replace('_', ' ')}",
                f"{each.observations:,} of {formats.count(each.window_observations, 'day')} observed",
            ),
            text(formats.plain_percent(each.confidence * 100)),
            _figure(each.var_usd, formats.interval(each.var_lower_usd, each.var_upper_usd), each.reason),
            _figure(each.es_usd, formats.interval(each.es_lower_usd, each.es_upper_usd), each.reason),
        )
        for each in estimates
    ]
    return markup.table("Estimates by every method", columns, rows)


def _figure(value: Decimal | None, interval: str, reason: str | None) -> Cell:
    return text("No figure", reason or "no reason given") if value is None else text(formats.usd(value), interval)


def _threshold(name: str, value: Decimal | None) -> str:
    if value is None:
        return "None"
    words = formats.plain_percent(value)
    return f"{words.removesuffix('%')} points" if name == "Recovery margin" else words


def _who(own: OwnThresholds | None, is_known: bool) -> str:
    if not is_known:
        return markup.note("Who set them could not be read.")
    if own is None:
        return markup.note("Nobody set any for this account: all are the defaults of the installation.")
    why = f" Reason: {own.reason}" if own.reason else ""
    return markup.note(f"Set by {own.set_by} at {formats.moment(own.set_at)}.{why}")


def _settlement(each: Settlement) -> tuple[Cell, ...]:
    late = f" {markup.tag('warn', 'late')}" if each.is_late else ""
    transaction = each.tx_hash or ""
    shown = (
        transaction if len(transaction) <= _SHOWN_HASH + 6 else f"{transaction[:_SHOWN_HASH]}\u2026{transaction[-4:]}"
    )
    return (
        text(formats.moment(each.occurred_at)),
        text(formats.words(each.kind, KIND_WORDS)),
        text("Collateral" if each.side == "collateral" else "Borrow"),
        text(_signed(each.signed_quantity, each.asset)),
        text((each.chain or formats.UNKNOWN).capitalize()),
        Cell(f'<code title="{escape(transaction)}">{escape(shown)}</code>' if transaction else formats.UNKNOWN),
        Cell(escape(formats.moment(each.ingested_at)) + late),
    )


def _signed(quantity: Decimal, asset: str) -> str:
    words = formats.quantity(quantity, asset)
    return f"+{words}" if quantity > 0 else words


def _below(threshold: Decimal | None) -> str:
    return "" if threshold is None else f"threshold {formats.plain_percent(threshold)}"


def _notifications(found: Sequence[ChannelDelivery] | None) -> Cell:
    if found is None:
        return text("Not read")
    if not found:
        return text("None known")
    return Cell(" ".join(_notification(each) for each in found))


def _notification(each: ChannelDelivery) -> str:
    number = f" \u00d7{each.notifications:,}" if each.notifications > 1 else ""
    after = "" if each.seconds_to_accept is None else f" after {formats.age(float(each.seconds_to_accept))}"
    return alert_words.state_tag(each.state, f"{alert_words.channel(each.channel)}{number}: ", more=after)
