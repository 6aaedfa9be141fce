"""The margin monitor as a live page; the hub and the script make it alike from the filters in the topic's name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from assets.risk import margin_alert_queries, monitor_queries
from assets.risk.margin_alert_queries import MarginAlert
from assets.risk.monitor_queries import AccountFilter, HealthAt, Order, StatusCount
from assets.risk.queries import LiquidationPrice, MarginHealth
from streamlit_app import data
from streamlit_app.acknowledgements import acknowledged
from streamlit_app.components import actions, alert_panel, formats, freshness, markup, monitor, states
from streamlit_app.reads import ProblemKind, Read, Reading
from streamlit_app.server.channels import LivePage
from streamlit_app.views import parts, topic_text

TOPIC = "monitor"
PAGE_ROWS = 50
ALERT_ROWS = 6
ALERT_HOURS = 24
TREND = timedelta(hours=1)
TREND_MAX_AGE = timedelta(seconds=20)
ALERTS_MAX_AGE = timedelta(seconds=2)
MAX_BORROW_USD = Decimal(10**15)
ALERTS_TITLE = "Newest margin alerts"
ACCOUNTS_TITLE = "Accounts"
ORDER_WORDS = {
    Order.HEALTH: "Lowest health first",
    Order.EXPOSURE: "Largest borrow first",
    Order.CURE: "Largest cure first",
}


@dataclass(frozen=True)
class Choice:
    """What the table shows: filters, order, and the page from 1."""

    wanted: AccountFilter = field(default_factory=AccountFilter)
    order: Order = Order.HEALTH
    page: int = 1

    def values(self) -> dict[str, str]:
        """What differs from the whole table, for an address or a topic."""
        wanted = self.wanted
        named = {
            "status": wanted.status,
            "asset": wanted.asset,
            "borrow": f"{wanted.min_borrow_usd:f}" if wanted.min_borrow_usd > 0 else "",
            "id": wanted.text,
            "order": "" if self.order is Order.HEALTH else self.order.value,
            "page": str(self.page) if self.page > 1 else "",
        }
        return {name: value for name, value in named.items() if value}

    def topic(self) -> str:
        """The live topic of this choice."""
        return topic_text.topic(TOPIC, topic_text.written(self.values()))


@dataclass(frozen=True)
class MonitorView:
    """Everything that the page rests on; `now` is when it was read."""

    choice: Choice
    accounts: Reading[list[MarginHealth]]
    counts: Reading[list[StatusCount]]
    alerts: Reading[list[MarginAlert]]
    triggers: Reading[list[LiquidationPrice]]
    points: Reading[list[HealthAt]]
    now: datetime


def choice_of(values: Mapping[str, str]) -> Choice:
    """The choice that a topic's or an address's values stand for; what cannot be read is as if it were not there."""
    order = values.get("order", "")
    wanted = AccountFilter(
        status=topic_text.code(values.get("status")),
        asset=topic_text.code(values.get("asset")),
        min_borrow_usd=_usd(values.get("borrow", "")),
        text=topic_text.plain(values.get("id")),
    )
    return Choice(wanted, Order(order) if order in set(Order) else Order.HEALTH, topic_text.page_of(values.get("page")))


def read_monitor(choice: Choice) -> MonitorView:
    """What the page needs, through the shared reads."""
    wanted, order = choice.wanted, choice.order
    skipped = (choice.page - 1) * PAGE_ROWS
    now = data.system_clock().now()
    minute = now.replace(second=0, microsecond=0)
    alerts_since = minute.replace(minute=0) - timedelta(hours=ALERT_HOURS)
    key: tuple[Hashable, ...] = (wanted, order, skipped)
    accounts, counts, alerts = data.shared().together(
        Read(
            ("monitor_accounts", *key),
            lambda source: monitor_queries.accounts(source, wanted, order, PAGE_ROWS, skipped),
            data.LIVE_MAX_AGE,
        ),
        Read(
            ("monitor_counts", replace(wanted, status="")),
            lambda source: monitor_queries.status_counts(source, wanted),
            data.LIVE_MAX_AGE,
        ),
        Read(
            ("margin_alerts",),
            lambda source: margin_alert_queries.margin_alerts(source, alerts_since, ALERT_ROWS),
            ALERTS_MAX_AGE,
        ),
    )
    ids = tuple(account.account_id for account in accounts.value or ())
    # In the order of the ids, so that a change of places asks nothing anew.
    named = tuple(sorted(ids))
    triggers = data.triggers_of(named)
    points = data.shared().together(
        Read(
            ("health_points", *named),
            lambda source: monitor_queries.health_points(source, named, minute - TREND),
            TREND_MAX_AGE,
        )
    )[0]
    return MonitorView(choice, accounts, counts, alerts, triggers, cast(Reading[list[HealthAt]], points), now)


def live_page(argument: str | None = None) -> LivePage:
    """The page now, for the hub."""
    return monitor_page(read_monitor(choice_of(topic_text.read(argument))))


def monitor_page(view: MonitorView) -> LivePage:
    """The page, or what stands in place of its figures."""
    accounts, counts = view.accounts, view.counts
    if accounts.value is None or _is_not_built(accounts):
        return parts.problem_page(accounts)
    is_whole = view.choice.wanted == AccountFilter(status=view.choice.wanted.status)
    if counts.value is not None and not counts.value and is_whole and not accounts.value:
        return parts.problem_page(counts) if counts.problem is not None else parts.state_page(states.NO_ACCOUNTS)
    found = counts.value or []
    fresh = freshness.freshness_of(
        (accounts, counts),
        view.now,
        max((each.oldest_price_age_seconds or 0 for each in found), default=None),
        any(each.is_simulated for each in found),
        sum(each.late_events_pending for each in found),
    )
    alerts = alert_panel.with_answers(view.alerts.value or [], acknowledged())
    sections = {"alerts": _alerts_card(view.alerts, alerts), "accounts": _accounts_card(view, accounts.value)}
    return parts.figures_page(sections, fresh, alert_panel.alert_ages(alerts, view.now))


def _accounts_card(view: MonitorView, accounts: list[MarginHealth]) -> str:
    choice, counts = view.choice, view.counts
    title = markup.head(ACCOUNTS_TITLE, more=ORDER_WORDS[choice.order])
    chips = (
        states.part_problem_html(counts.problem, "risk.margin_health")
        if counts.value is None
        else monitor.chips_html(counts.value, choice.wanted.status)
    )
    problems = "".join(
        f"<p class='note'>{words}</p>"
        for reading, words in (
            (view.triggers, "Liquidation prices could not be read anew; those shown may be old."),
            (view.points, "The last hour could not be read anew; the trends shown may be old."),
        )
        if reading.problem is not None and accounts
    )
    if not accounts:
        words = "Nothing stands on this page any more." if choice.page > 1 else "No account fits these filters."
        return markup.card(title, f'{chips}<p class="muted">{words}</p>{_pager(view, accounts)}')
    by_account: dict[str, list[LiquidationPrice]] = {}
    for price in view.triggers.value or ():
        by_account.setdefault(price.account_id, []).append(price)
    trends: dict[str, list[HealthAt]] = {}
    for point in view.points.value or ():
        trends.setdefault(point.account_id, []).append(point)
    table = monitor.accounts_html(accounts, by_account, trends, view.now.replace(microsecond=0))
    note = markup.note(
        "To cure: USD to deposit, or else to repay, until health reaches the account's margin-call threshold and its"
        " recovery margin, where the call ends. Liquidation at: the one price that reaches it while all others stay."
    )
    return markup.card(title, chips + table + _pager(view, accounts) + note + problems)


def _pager(view: MonitorView, accounts: list[MarginHealth]) -> str:
    choice = view.choice
    total = None
    if view.counts.value is not None:
        chosen = choice.wanted.status
        total = sum(each.accounts for each in view.counts.value if not chosen or each.status == chosen)
    first = (choice.page - 1) * PAGE_ROWS + 1
    last = first + len(accounts) - 1
    place = f"{first:,} to {last:,}" if accounts else "None"
    of = "" if total is None else f" of {formats.count(total, 'account')}"
    has_more = len(accounts) == PAGE_ROWS and (total is None or total > last)
    return actions.pager(choice.page, has_more, f"{place}{of}")


def _alerts_card(reading: Reading[list[MarginAlert]], alerts: list[MarginAlert]) -> str:
    if reading.value is None:
        return markup.card(markup.head(ALERTS_TITLE), states.part_problem_html(reading.problem, "risk.margin_events"))
    if not alerts:
        return markup.card(markup.head(ALERTS_TITLE), f'<p class="muted">None in the last {ALERT_HOURS} hours.</p>')
    old = markup.tag("warn", f"not read anew since {formats.time_of_day(reading.read_at)}") if reading.problem else ""
    more = f"At most {ALERT_ROWS} of the last {ALERT_HOURS} hours"
    return markup.card(markup.head(ALERTS_TITLE, old, more=more), alert_panel.alerts_html(alerts))


def _is_not_built(reading: Reading[Any]) -> bool:
    return reading.problem is not None and reading.problem.kind is ProblemKind.NOT_BUILT


def _usd(value: str) -> Decimal:
    try:
        usd = Decimal(value)
    except InvalidOperation:
        return Decimal(0)
    return min(usd, MAX_BORROW_USD).quantize(Decimal(1)) if usd.is_finite() and usd > 0 else Decimal(0)
