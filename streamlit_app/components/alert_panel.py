"""The newest margin alerts as markup: on which channels they went out, and who has seen them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from assets.risk.margin_alert_queries import ChannelState, MarginAlert
from streamlit_app.acknowledgements import Acknowledged
from streamlit_app.components import actions, alert_words, formats, markup
from streamlit_app.components.markup import Cell, Column, text

ALERT_AGE = "alert:"
ACKNOWLEDGE = "acknowledge"


def with_answers(alerts: Sequence[MarginAlert], known: Acknowledged) -> list[MarginAlert]:
    """The alerts with acknowledgements that the API confirmed and the warehouse does not have yet."""
    found = []
    for alert in alerts:
        answer = known.of(alert.margin_event_id)
        is_newer = answer is not None and (alert.acknowledged_at is None or answer.at < alert.acknowledged_at)
        if answer is not None and is_newer:
            alert = replace(alert, acknowledged_by=answer.by, acknowledged_at=answer.at)
        found.append(alert)
    return found


def alert_ages(alerts: Sequence[MarginAlert], now: datetime) -> dict[str, float | None]:
    """The ages in seconds that the panel shows, by the name that its elements ask for."""
    return {ALERT_AGE + alert.margin_event_id: max(0.0, (now - alert.detected_at).total_seconds()) for alert in alerts}


def alerts_html(alerts: Sequence[MarginAlert]) -> str:
    """The alerts, newest first, each with a button while nobody has acknowledged it."""
    columns = (
        Column("Account"),
        Column("Alert"),
        Column("Health", True),
        Column("Detected"),
        Column("Told by"),
        Column("Acknowledged"),
    )
    rows = [
        (
            Cell(actions.account_link(alert.account_id)),
            Cell(f"{alert_words.severity_tag(alert.severity)} {markup.simulated_tag(alert.is_simulated)}"),
            text(formats.health(alert.health_pct), _threshold(alert)),
            Cell(f"{markup.age_span(ALERT_AGE + alert.margin_event_id)} ago", formats.moment(alert.detected_at)),
            Cell(_channels(alert.channels)),
            _seen(alert),
        )
        for alert in alerts
    ]
    return markup.table("Newest margin alerts", columns, rows)


def _threshold(alert: MarginAlert) -> str:
    return "" if alert.threshold_pct is None else f"threshold {formats.plain_percent(alert.threshold_pct)}"


def _channels(channels: Sequence[ChannelState]) -> str:
    if not channels:
        return markup.tag("unknown", "Nothing on record yet", "No notification of it has reached the warehouse.")
    counts = Counter((each.channel, each.state) for each in channels)
    details = {(each.channel, each.state): each.detail for each in channels}
    tags = "".join(
        alert_words.state_tag(
            state,
            f"{alert_words.channel(channel)}: ",
            details[channel, state],
            f" \u00d7{number}" if number > 1 else "",
        )
        for (channel, state), number in counts.items()
    )
    return f'<div class="tags">{tags}</div>'


def _seen(alert: MarginAlert) -> Cell:
    if alert.acknowledged_by is not None:
        return Cell(alert_words.seen_html(alert.acknowledged_by, formats.moment(alert.acknowledged_at)))
    if alert.severity == "recovered":
        return text("Not needed", "it is over")
    if not alert.channels:
        return text("Nobody", "possible once a notification is on record")
    # Any notification of the event stands for it: the same one for everybody, so that only the first counts.
    words = f"Acknowledge {formats.words(alert.severity, formats.SEVERITY_WORDS)} of {alert.account_id}"
    button = actions.button(
        ACKNOWLEDGE,
        min(each.notification_id for each in alert.channels),
        "Acknowledge",
        kind=f"chip {actions.CHANGES}",
        label=words,
    )
    return Cell(f'<span>Nobody</span><div class="{actions.CHANGES}">{button}</div>')
