"""The totals at the top of the page, and the accounts by status."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from html import escape

from assets.risk.queries import BookSummary, MarginHealth
from streamlit_app.components import formats, markup


@dataclass(frozen=True)
class Totals:
    """The four figures of the headline, and why they are not to be taken as current (`caveat`, empty if they are)."""

    collateral_usd: Decimal
    borrow_usd: Decimal
    health_pct: Decimal | None
    has_debt: bool
    caveat: str
    is_simulated: bool

    @property
    def equity_usd(self) -> Decimal:
        """Collateral less borrow."""
        return self.collateral_usd - self.borrow_usd


def totals_of_book(summary: BookSummary) -> Totals:
    """The headline of the whole book."""
    unpriced = formats.count(summary.unpriced, "unpriced account")
    return Totals(
        collateral_usd=summary.collateral_usd,
        borrow_usd=summary.borrow_usd,
        health_pct=summary.health_pct,
        has_debt=summary.borrow_usd > 0,
        caveat="" if summary.is_complete else unpriced,
        is_simulated=summary.is_simulated,
    )


def totals_of_account(account: MarginHealth) -> Totals:
    """The headline of one account."""
    return Totals(
        collateral_usd=account.collateral_usd,
        borrow_usd=account.borrow_usd,
        health_pct=account.health_pct,
        has_debt=account.has_borrow,
        caveat="at the last prices" if account.status == "unpriced" or account.unpriced_assets else "",
        is_simulated=account.is_simulated,
    )


def totals_html(totals: Totals) -> str:
    """The four cards."""
    caveat = markup.tag("unpriced", totals.caveat) if totals.caveat else ""
    cards = (
        ("Collateral", _amount(totals.collateral_usd), caveat),
        ("Borrow", _amount(totals.borrow_usd), caveat),
        ("Equity", _amount(totals.equity_usd), caveat),
        ("Margin health", *_health(totals)),
    )
    simulated = markup.simulated_tag(totals.is_simulated)
    items = "".join(
        f'<div class="card"><dt>{name}</dt><dd class="fades">{value}</dd>'
        f'<dd class="under">{under} {simulated}</dd></div>'
        for name, value, under in cards
    )
    return f'<dl class="totals">{items}</dl>'


def statuses_html(summary: BookSummary) -> str:
    """The accounts by status, as a bar and in words; the worst first."""
    by_status = {
        "liquidation": summary.liquidation,
        "margin_call": summary.margin_call,
        "unpriced": summary.unpriced,
        "healthy": summary.healthy,
        "no_debt": summary.no_debt,
    }
    bar = "".join(
        f'<i class="fill {status}" style="flex:{number}"></i>' for status, number in by_status.items() if number
    )
    items = "".join(
        f"<li>{markup.tag(status, formats.STATUS_WORDS[status])} <b>{number:,}</b></li>"
        for status, number in by_status.items()
    )
    title = markup.head("Accounts by status", more=formats.count(summary.accounts, "account"))
    return markup.card(title, f'<div class="meter" aria-hidden="true">{bar}</div><ul class="statuses">{items}</ul>')


def _health(totals: Totals) -> tuple[str, str]:
    if not totals.has_debt:
        return "No debt", ""
    shown = formats.health(totals.health_pct)
    if totals.caveat:
        last = "no last value" if totals.health_pct is None else f"last value {shown}"
        return "Unpriced", markup.tag("unpriced", last)
    return escape(shown), ""


def _amount(value: Decimal) -> str:
    number, unit = formats.usd(value).rsplit(" ", 1)
    return f'{escape(number)}<span class="unit">{escape(unit)}</span>'
