"""The margin monitor as markup: chips by status, the table of accounts, the newest alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from html import escape

from assets.risk.monitor_queries import HealthAt, StatusCount, cure_of, cure_target_pct
from assets.risk.queries import LiquidationPrice, MarginHealth
from streamlit_app.components import actions, charts, formats, markup, tables, triggers
from streamlit_app.components.markup import Cell, Column, text

# The worst first.
STATUSES = ("liquidation", "margin_call", "unpriced", "healthy", "no_debt")
_CENT = Decimal("0.01")


def chips_html(counts: Sequence[StatusCount], chosen: str) -> str:
    """The accounts by status as buttons that filter the table; the pressed one is the filter."""
    by_status = {count.status: count.accounts for count in counts}
    named = [("", "All", sum(by_status.values()))]
    # A status that this page does not know is shown too.
    for status in (*STATUSES, *sorted(set(by_status) - set(STATUSES))):
        named.append((status, formats.words(status, formats.STATUS_WORDS), by_status.get(status, 0)))
    chips = "".join(
        actions.button(
            "status",
            status,
            f"{_mark(status)}{escape(words)} <b>{number:,}</b>",
            is_pressed=status == chosen,
            label=f"{words}: {formats.count(number, 'account')}",
        )
        for status, words, number in named
    )
    return f'<div class="chips" role="group" aria-label="Accounts by status">{chips}</div>'


def accounts_html(
    accounts: Sequence[MarginHealth],
    prices: Mapping[str, Sequence[LiquidationPrice]],
    points: Mapping[str, Sequence[HealthAt]],
    now: datetime,
) -> str:
    """The accounts with what ends a margin call, how far liquidation is, and the last hour."""
    columns = (
        Column("Account"),
        Column("Status"),
        Column("Health", True),
        Column("Last hour"),
        Column("Borrow", True),
        Column("Collateral", True),
        Column("Deposit to cure", True),
        Column("Liquidation at"),
    )
    rows = [
        (
            Cell(actions.account_link(account.account_id)),
            Cell(f"{tables.status_tag(account.status)} {_degraded(account)}"),
            _health(account),
            _trend(account, points.get(account.account_id, ()), now),
            text(formats.usd(account.borrow_usd), _caveat(account)),
            text(formats.usd(account.collateral_usd), _caveat(account)),
            _cure(account),
            text(*liquidation_words(account, prices.get(account.account_id))),
        )
        for account in accounts
    ]
    return markup.table("Accounts", columns, rows)


def liquidation_words(account: MarginHealth, prices: Sequence[LiquidationPrice] | None) -> tuple[str, str]:
    """The price of one asset at which liquidation falls due, the smallest fall first, and how far it is."""
    if account.status == "no_debt":
        return "None", "no debt"
    if account.status == "unpriced":
        return formats.UNKNOWN.capitalize(), triggers.unpriced_words(account)
    if account.status == "liquidation":
        return "Passed", f"threshold {formats.plain_percent(account.liquidation_threshold_pct)}"
    own = [price for price in prices or () if price.threshold == "liquidation"]
    if not own:
        return formats.UNKNOWN.capitalize(), "trigger prices not read"
    found = triggers.next_trigger(account, own)
    if found is None:
        return "None", "no price of one asset alone does it"
    return f"{found.asset} {formats.price(found.trigger_price_usd)}", triggers.distance_words(found, account)


def _mark(status: str) -> str:
    return f'<i class="fill {escape(status)}" aria-hidden="true"></i>' if status else ""


def _degraded(account: MarginHealth) -> str:
    marks = [markup.tag("warn", "degraded price")] if account.has_degraded_price else []
    if account.has_negative_position:
        marks.append(markup.tag("warn", "position below zero"))
    return "".join(marks)


def _caveat(account: MarginHealth) -> str:
    return "at last prices" if account.status == "unpriced" else ""


def _health(account: MarginHealth) -> Cell:
    """Health, and its distance to the liquidation threshold in points."""
    if account.status == "no_debt":
        return text("No debt")
    shown = formats.health(account.health_pct)
    if account.status == "unpriced":
        return text(shown, "last value, not current" if account.health_pct is not None else "never valued")
    if account.health_pct is None:
        return text(shown)
    points = account.health_pct - account.liquidation_threshold_pct
    side = "above" if points >= 0 else "below"
    # Rounded down, as health is.
    return text(shown, f"{formats.health(abs(points))[:-1]} points {side} liquidation")


def _trend(account: MarginHealth, points: Sequence[HealthAt], now: datetime) -> Cell:
    known = [(point.snapshot_at, point.health_pct) for point in points if point.health_pct is not None]
    if account.status not in ("unpriced", "no_debt") and account.health_pct is not None:
        known.append((now, account.health_pct))
    if len(known) < 2:
        return Cell("", "no debt" if account.status == "no_debt" else "trend unknown: too few snapshots")
    (since, first), (_, last) = known[0], known[-1]
    moved = _points(last - first)
    summary = f"{account.account_id}: {moved} since {formats.time_of_day(since)}"
    line = charts.sparkline([float(health) for _, health in known], summary)
    ended = "; no current value" if account.status == "unpriced" else ""
    return Cell(f'<span class="moved">{line}</span>', f"{moved} since {since:%H:%M} UTC{ended}")


def _points(change: Decimal) -> str:
    size = f"{abs(change).quantize(_CENT):,f}"
    sign = "" if size == "0.00" else "+" if change > 0 else formats.MINUS
    return f"{sign}{size} points"


def _cure(account: MarginHealth) -> Cell:
    """USD to deposit, or else to repay, rounded up to the cent, so that what is asked for suffices."""
    if account.status == "no_debt":
        return text("None", "no debt")
    cure = cure_of(account)
    if cure is None:
        return text(formats.UNKNOWN.capitalize(), "the account's value is not known")
    target = formats.plain_percent(cure_target_pct(account))
    if cure.deposit_usd <= 0:
        return text("None", f"{target} is reached")
    repay = "repaying does not do it" if cure.repay_usd is None else f"or repay {formats.usd(_raised(cure.repay_usd))}"
    return text(formats.usd(_raised(cure.deposit_usd)), f"{repay}, to {target}")


def _raised(usd: Decimal) -> Decimal:
    return usd.quantize(_CENT, rounding=ROUND_CEILING)
