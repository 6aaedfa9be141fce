"""The delivery ledger as markup: success rates against targets, latencies, suppressions, and the notifications."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from assets.risk.alert_queries import Delivery, DeliveryRate, Latency, Suppression
from streamlit_app.components import actions, alert_words, charts, formats, markup
from streamlit_app.components.markup import Cell, Column, text
from streamlit_app.components.theme import ASSET_COLOURS

TRAIL = "trail"
# Told apart by colour, dash and symbol.
LOOKS = {
    "email": (ASSET_COLOURS["BTC"], "solid", "circle"),
    "sms": (ASSET_COLOURS["ETH"], "dashed", "triangle"),
    "webhook": (ASSET_COLOURS["SOL"], "dotted", "rect"),
    "pagerduty": (ASSET_COLOURS["XRP"], "solid", "diamond"),
}
_OTHER_LOOK = ("#888888", "dashed", "pin")
PERCENTILES = {"p50": "Half took at most", "p95": "95% took at most", "p99": "99% took at most"}


def rates_html(rates: Sequence[DeliveryRate]) -> str:
    """Each channel's share over the last 24 hours against its target, this hour, and the hours before."""
    by_channel: dict[str, list[DeliveryRate]] = {}
    for rate in rates:
        by_channel.setdefault(rate.channel, []).append(rate)
    columns = (
        Column("Channel"),
        Column("Last 24 hours", True),
        Column("Target", True),
        Column("Status"),
        Column("Arrived of ended", True),
        Column("Failed", True),
        Column("Not ended", True),
        Column("This hour", True),
        Column("By hour"),
    )
    rows = []
    for channel, found in by_channel.items():
        day = next((rate for rate in found if rate.window_hours == 24), None)
        hours = [rate for rate in found if rate.window_hours == 1]
        running = next((rate for rate in hours if rate.is_running), None)
        rows.append(
            (
                text(alert_words.channel(channel)),
                text(_rate(day)),
                text(formats.UNKNOWN if day is None else "None" if day.target_pct is None else _pct(day.target_pct)),
                Cell(_status(day)),
                text(formats.UNKNOWN if day is None else f"{day.succeeded:,} of {day.ended:,}"),
                text(formats.UNKNOWN if day is None else f"{day.failed:,}"),
                text(formats.UNKNOWN if day is None else f"{day.pending:,}"),
                text(_rate(running), "" if running is None else f"{running.succeeded:,} of {running.ended:,}"),
                Cell(_hours(channel, hours)),
            )
        )
    return markup.table("Delivery rates", columns, rows)


def suppressions_html(found: Sequence[Suppression]) -> str:
    """Why alerts were not sent, most frequent first."""
    columns = (
        Column("Reason"),
        Column("Channel"),
        Column("Severity"),
        Column("Notifications", True),
        Column("Last"),
    )
    rows = [
        (
            text(_reason(each.reason)),
            text(alert_words.channel(each.channel)),
            Cell(alert_words.severity_tag(each.severity) or "None"),
            text(f"{each.notifications:,}"),
            text(formats.moment(each.last_at)),
        )
        for each in found
    ]
    return markup.table("Alerts that were not sent", columns, rows)


def deliveries_html(found: Sequence[Delivery]) -> str:
    """The notifications, newest first, each with the way to its trail."""
    columns = (
        Column("Planned"),
        Column("Alert"),
        Column("Account"),
        Column("Channel"),
        Column("State"),
        Column("Accepted after", True),
        Column("Requests", True),
        Column("Trail"),
    )
    rows = [
        (
            text(formats.moment(each.planned_at)),
            Cell(
                alert_words.severity_tag(each.severity) or "No severity",
                formats.words(each.kind or "unknown", alert_words.KIND_WORDS),
            ),
            Cell(actions.account_link(each.account_id)) if each.account_id else text("None", "of no account"),
            text(alert_words.channel(each.channel)),
            Cell(alert_words.state_tag(each.state), each.last_detail or ""),
            text(seconds(each.seconds_to_accept) if each.seconds_to_accept is not None else "Not accepted"),
            text(f"{each.attempts:,}"),
            Cell(
                actions.button(
                    TRAIL,
                    each.notification_id,
                    "Trail",
                    kind="link",
                    label=f"Trail of {alert_words.channel(each.channel)}, {formats.moment(each.planned_at)}",
                )
            ),
        )
        for each in found
    ]
    return markup.table("Delivery ledger", columns, rows)


def latencies_html(found: Sequence[Latency]) -> str:
    """The figures of the chart: of each channel over the whole time, then by hour, newest first."""
    columns = (
        Column("Channel"),
        Column("Accepted within"),
        Column("Alerts", True),
        *(Column(name, True) for name in PERCENTILES),
    )
    whole = [each for each in found if each.hour_at is None]
    hours = sorted((each for each in found if each.hour_at is not None), key=_newest_first, reverse=True)
    rows = [
        (
            text(alert_words.channel(each.channel)),
            text("The whole time" if each.hour_at is None else f"{each.hour_at:%Y-%m-%d %H:00} UTC"),
            text(f"{each.accepted:,}"),
            *(text(seconds(_percentile(each, name))) for name in PERCENTILES),
        )
        for each in (*whole, *hours)
    ]
    return markup.table("Seconds from detection to acceptance", columns, rows)


def latency_option(found: Sequence[Latency], percentile: str, since: datetime, until: datetime) -> dict[str, Any]:
    """The chart of one percentile by hour, a line for each channel, in seconds on a logarithmic axis."""
    hours = [each for each in found if each.hour_at is not None]
    series = []
    for channel in dict.fromkeys(each.channel for each in hours):
        colour, dash, symbol = LOOKS.get(channel, _OTHER_LOOK)
        series.append(
            {
                "name": alert_words.channel(channel),
                "type": "line",
                "symbol": symbol,
                "symbolSize": 8,
                "itemStyle": {"color": colour},
                "lineStyle": {"color": colour, "type": dash, "width": 2},
                "data": [
                    # A logarithmic axis has no zero.
                    [each.hour_at.isoformat(), max(float(_percentile(each, percentile)), 0.001)]
                    for each in hours
                    if each.channel == channel and each.hour_at is not None
                ],
            }
        )
    return {
        "tooltip": {"trigger": "axis"},
        "legend": {"top": 0},
        "grid": {"left": 60, "right": 20, "top": 40, "bottom": 30},
        "xAxis": {"type": "time", "min": since.isoformat(), "max": until.isoformat()},
        "yAxis": {"type": "log", "name": "seconds"},
        "useUTC": True,
        "series": series,
    }


def latency_summary(found: Sequence[Latency], percentile: str) -> str:
    """What the chart shows, in words."""
    words = [
        f"{alert_words.channel(each.channel)} {seconds(_percentile(each, percentile))}"
        f" of {formats.count(each.accepted, 'alert')}"
        for each in found
        if each.hour_at is None
    ]
    return f"{PERCENTILES[percentile]}, over the whole time: {'; '.join(words)}." if words else "No alert was accepted."


def seconds(value: Decimal | None) -> str:
    """A latency: `0.84 s`, from ten seconds on with one decimal."""
    if value is None:
        return formats.UNKNOWN
    return f"{value:,.2f} s" if abs(value) < 10 else f"{value:,.1f} s"


def _reason(reason: str | None) -> str:
    return "No reason recorded" if reason is None else alert_words.REASON_WORDS.get(reason, reason)


def _newest_first(each: Latency) -> tuple[Any, str]:
    return each.hour_at, each.channel


def _percentile(each: Latency, name: str) -> Decimal:
    return {"p50": each.p50_seconds, "p95": each.p95_seconds, "p99": each.p99_seconds}[name]


def _pct(value: Decimal) -> str:
    # Rounded down: what is below a target never reads as the target.
    return formats.percent(value.quantize(Decimal("0.01"), rounding=ROUND_FLOOR), 2)


def _rate(rate: DeliveryRate | None) -> str:
    return formats.UNKNOWN.capitalize() if rate is None or rate.rate_pct is None else _pct(rate.rate_pct)


def _status(rate: DeliveryRate | None) -> str:
    status = "no_data" if rate is None else rate.status
    return markup.tag(status, formats.words(status, alert_words.RATE_WORDS))


def _hours(channel: str, hours: Sequence[DeliveryRate]) -> str:
    known = [float(rate.rate_pct) for rate in hours if rate.rate_pct is not None]
    if len(known) < 2:
        return '<span class="muted small">too few hours</span>'
    summary = f"{alert_words.channel(channel)} by hour: lowest {min(known):.2f}%, last {known[-1]:.2f}%"
    return charts.sparkline(known, summary)
