"""The alerts as a live page: rates, suppressions and the delivery ledger, or the trail of one alert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from assets.risk import alert_queries, alert_trail_queries
from assets.risk.alert_queries import Delivery, Latency, LedgerFilter
from assets.risk.alert_trail_queries import Step, TrailRow
from streamlit_app import data
from streamlit_app.components import actions, freshness, ledger, markup, states, trail
from streamlit_app.reads import Read, Reading
from streamlit_app.server.channels import LivePage
from streamlit_app.views import parts, topic_text

TOPIC = "alerts"
PAGE_ROWS = 50
SUPPRESSION_ROWS = 40
LEDGER_MAX_AGE = timedelta(seconds=2)
RATES_MAX_AGE = timedelta(seconds=10)
MAX_ID_LENGTH = 120
STEP_AGE = "ledger"
WINDOWS = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}
"""How far the page looks back, in hours."""
WINDOW = "24h"
MART = "risk.notification_deliveries"

Row = TypeVar("Row")


@dataclass(frozen=True)
class LedgerChoice:
    """What the page shows: filters, how far it looks back, the page from 1; with an `alert` its trail alone."""

    account_id: str = ""
    severity: str = ""
    channel: str = ""
    state: str = ""
    window: str = WINDOW
    page: int = 1
    alert: str = ""

    def values(self) -> dict[str, str]:
        """What differs from the whole ledger, for an address or a topic."""
        if self.alert:
            return {"alert": self.alert}
        named = {
            "account": self.account_id,
            "severity": self.severity,
            "channel": self.channel,
            "state": self.state,
            "window": "" if self.window == WINDOW else self.window,
            "page": str(self.page) if self.page > 1 else "",
        }
        return {name: value for name, value in named.items() if value}

    def topic(self) -> str:
        """The live topic of this choice."""
        return topic_text.topic(TOPIC, topic_text.written(self.values()))

    def since(self, now: datetime) -> datetime:
        """The begin of what is shown (UTC), by full minutes, so that equal reads have equal keys."""
        return now.replace(second=0, microsecond=0) - timedelta(hours=WINDOWS[self.window])


def choice_of(values: Mapping[str, str]) -> LedgerChoice:
    """The choice that a topic's or an address's values stand for; what cannot be read is as if it were not there."""
    window = values.get("window", "")
    return LedgerChoice(
        account_id=topic_text.plain(values.get("account")),
        severity=topic_text.code(values.get("severity")),
        channel=topic_text.code(values.get("channel")),
        state=topic_text.code(values.get("state")),
        window=window if window in WINDOWS else WINDOW,
        page=topic_text.page_of(values.get("page")),
        alert=topic_text.plain(values.get("alert"), MAX_ID_LENGTH),
    )


def live_page(argument: str | None = None) -> LivePage:
    """The page now, for the hub."""
    return alerts_page(choice_of(topic_text.read(argument)))


def alerts_page(choice: LedgerChoice) -> LivePage:
    """The ledger, or the trail of the alert that is chosen."""
    return trail_page(choice.alert) if choice.alert else ledger_page(choice)


def latencies(choice: LedgerChoice) -> Reading[list[Latency]]:
    """Latencies of the time that is chosen, at most `data.SLOW_MAX_AGE` old."""
    since = choice.since(data.system_clock().now())
    read = Read(
        ("alert_latencies", choice.window), lambda source: alert_queries.latencies(source, since), data.SLOW_MAX_AGE
    )
    found: Reading[list[Latency]] = data.shared().together(read)[0]
    return found


def ledger_page(choice: LedgerChoice) -> LivePage:
    """Rates, suppressions and a page of the ledger, or what stands in their place."""
    now = data.system_clock().now()
    since, skipped = choice.since(now), (choice.page - 1) * PAGE_ROWS
    wanted = LedgerFilter(since, choice.account_id, choice.severity, choice.channel, choice.state)
    rows, rates, suppressed, last_step = data.shared().together(
        Read(
            ("deliveries", choice),
            lambda source: alert_queries.deliveries(source, wanted, PAGE_ROWS + 1, skipped),
            LEDGER_MAX_AGE,
        ),
        Read(
            ("delivery_rates",),
            lambda source: alert_queries.delivery_rates(source, now - timedelta(hours=24)),
            RATES_MAX_AGE,
        ),
        Read(
            ("suppressions", choice.window),
            lambda source: alert_queries.suppressions(source, since, SUPPRESSION_ROWS),
            RATES_MAX_AGE,
        ),
        Read(("last_step", choice.window), lambda source: alert_queries.last_step_at(source, since), LEDGER_MAX_AGE),
    )
    if rows.value is None:
        return parts.problem_page(rows)
    fresh = freshness.freshness_of((rows, rates, suppressed), now, None, False, 0)
    sections = {
        "rates": _card("Delivery rates", rates, "risk.delivery_rates", ledger.rates_html, _NO_RATES, _RATES_NOTE),
        "ledger": _ledger_card(choice, rows.value, last_step),
        "suppressions": _card("Not sent, and why", suppressed, MART, ledger.suppressions_html, _NO_SUPPRESSION),
    }
    at = last_step.value
    ages = {} if at is None else {STEP_AGE: max(0.0, (now - at).total_seconds())}
    return parts.figures_page(sections, fresh, ages)


def trail_page(alert: str) -> LivePage:
    """The trail of the notification with this id or provider's id."""
    now = data.system_clock().now()
    found: Reading[list[TrailRow]] = data.shared().together(
        Read(("alert_trail", alert), lambda source: alert_trail_queries.trail(source, alert), RATES_MAX_AGE)
    )[0]
    if found.value is None:
        return parts.problem_page(found)
    back = actions.button(ledger.TRAIL, "", "Back to the ledger", kind="link", is_first=True)
    if not found.value:
        words = "No notification has this id. A new one is here some seconds after the ledger has it."
        return parts.state_page(f"{markup.banner('info', 'Not found.', words)}<p>{back}</p>")
    row = found.value[0]
    steps: Reading[list[Step]] = data.shared().together(
        Read(
            ("alert_steps", row.notification_id),
            lambda source: alert_trail_queries.steps(source, row.notification_id),
            LEDGER_MAX_AGE,
        )
    )[0]
    fresh = freshness.freshness_of((found, steps), now, None, any(each.is_simulated for each in found.value), 0)
    title = markup.head("From oracle round and settlement to delivery") + trail.head_html(row)
    limit = (
        markup.note(f"At most {alert_trail_queries.MAX_EVIDENCE} pieces of evidence: earlier settlements are left out.")
        if len(found.value) >= alert_trail_queries.MAX_EVIDENCE
        else ""
    )
    body = f'<div class="trail">{trail.timeline_html(found.value, steps.value)}</div>{limit}'
    return parts.figures_page({"back": f"<p>{back}</p>", "trail": markup.card(title, body)}, fresh, {})


_NO_RATES = "Nothing was planned yet."
_RATES_NOTE = (
    "Of the notifications that were planned in the window and have ended, the share that a provider accepted or"
    " delivered. Tests, verifications and what was not sent do not count."
)
_NO_SUPPRESSION = "Nothing was held back in this time."


def _card(
    title: str,
    reading: Reading[list[Row]],
    table: str,
    body: Callable[[Sequence[Row]], str],
    nothing: str,
    note: str = "",
) -> str:
    if reading.value is None:
        return markup.card(markup.head(title), states.part_problem_html(reading.problem, table))
    if not reading.value:
        return markup.card(markup.head(title), f'<p class="muted">{nothing}</p>')
    return markup.card(markup.head(title), body(reading.value) + markup.note(note))


def _ledger_card(choice: LedgerChoice, rows: list[Delivery], last_step: Reading[Any]) -> str:
    at = (
        f"Newest step of the ledger here: {markup.age_span(STEP_AGE)} ago."
        if last_step.value is not None
        else "No step of the ledger is here from this time."
    )
    title, line = markup.head("Delivery ledger"), f'<p class="muted small">{at}</p>'
    shown = rows[:PAGE_ROWS]
    first = (choice.page - 1) * PAGE_ROWS + 1
    place = f"{first:,} to {first + len(shown) - 1:,}, newest first" if shown else "None"
    pager = actions.pager(choice.page, len(rows) > PAGE_ROWS, place)
    if not shown:
        words = "Nothing stands on this page any more." if choice.page > 1 else "No notification fits these filters."
        return markup.card(title, f'{line}<p class="muted">{words}</p>{pager if choice.page > 1 else ""}')
    return markup.card(title, line + ledger.deliveries_html(shown) + pager)
