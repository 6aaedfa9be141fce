"""What the demo prints: the book, its top accounts, the margin call and its trail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.table import Table

from assets.risk.engine.methods import STANDARD_WINDOW
from assets.risk.queries import AssetExposure, BookSummary, LiquidationPrice, MarginHealth, ValueAtRisk
from assets.risk.stress_queries import StressResult
from assets.risk.var_queries import VarBacktest
from infra.embedded.demo.ledger import Told

VAR_CONFIDENCE = Decimal("0.99")
ES_CONFIDENCE = Decimal("0.975")


def usd(value: Decimal | None) -> str:
    """USD with thousands separators and cents; a dash where there is no figure."""
    return "-" if value is None else f"{value:,.2f}"


def percent(value: Decimal | None) -> str:
    """Percent with two decimals; a dash where there is no figure."""
    return "-" if value is None else f"{value:,.2f} %"


def price(value: Decimal | None) -> str:
    """A price: two decimals from 10 USD up, six below."""
    return "-" if value is None else f"{value:,.2f}" if value >= 10 else f"{value:,.6f}"


def _table(title: str, columns: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False)
    for name, justify in columns.items():
        table.add_column(name, justify="right" if justify == "r" else "left", no_wrap=True)
    return table


def at_confidence(estimates: Sequence[ValueAtRisk], confidence: Decimal) -> ValueAtRisk | None:
    """The estimate at one confidence."""
    return next((e for e in estimates if e.confidence == confidence), None)


def book_table(summary: BookSummary, estimates: Sequence[ValueAtRisk], mark: str) -> Table:
    """Totals of the book with VaR and ES, estimator and window."""
    table = _table(f"The book{mark}", {"": "l", "value": "r", "remark": "l"})
    by_status = (
        f"{summary.healthy} healthy, {summary.margin_call} margin call, {summary.liquidation} liquidation, "
        f"{summary.unpriced} unpriced, {summary.no_debt} no debt"
    )
    table.add_row("accounts", f"{summary.accounts:,}", by_status)
    table.add_row("collateral", usd(summary.collateral_usd), "USD")
    table.add_row("borrow", usd(summary.borrow_usd), "USD")
    table.add_row("margin health", percent(summary.health_pct), "(collateral - borrow) / borrow")
    var, es = at_confidence(estimates, VAR_CONFIDENCE), at_confidence(estimates, ES_CONFIDENCE)
    for name, estimate, value in (
        ("1-day 99% VaR", var, var.var_usd if var else None),
        ("1-day 97.5% ES", es, es.es_usd if es else None),
    ):
        table.add_row(name, usd(value), _estimator(estimate))
    return table


def _estimator(estimate: ValueAtRisk | None) -> str:
    if estimate is None:
        return "not computed"
    if estimate.var_usd is None:
        return f"none: {estimate.reason}"
    if estimate.is_fallback:
        return f"USD, fallback {estimate.method}: {estimate.reason}"
    return (
        f"USD, {estimate.method}, {estimate.estimator} (k = {estimate.tail_observations}), "
        f"{estimate.observations} scenarios to {estimate.as_of_date}"
    )


def methods_table(estimates: Sequence[ValueAtRisk], mark: str) -> Table:
    """The book's one-day figures at 99% by every method, on the window that the headline takes."""
    columns = {"method": "l", "99% VaR": "r", "its 95% interval": "l", "99% ES": "r", "its 95% interval ": "l"}
    table = _table(f"Value at Risk of the book by method, one day, USD{mark}", columns)
    for each in estimates:
        question = (each.confidence, each.horizon_days, each.window_observations)
        if question != (VAR_CONFIDENCE, 1, STANDARD_WINDOW):
            continue
        table.add_row(
            each.method,
            usd(each.var_usd),
            _bounds(each.var_lower_usd, each.var_upper_usd) if each.reason is None else each.reason,
            usd(each.es_usd),
            _bounds(each.es_lower_usd, each.es_upper_usd),
        )
    return table


def _bounds(lower: Decimal | None, upper: Decimal | None) -> str:
    return "" if lower is None and upper is None else f"{usd(lower)} to {usd(upper)}"


def backtests_table(backtests: Sequence[VarBacktest], mark: str) -> Table:
    """Whether the model holds, in words."""
    table = _table(f"Does the model hold?{mark}", {"forecasts": "l", "verdict": "l"})
    table.add_column("in words", overflow="fold")
    for each in backtests:
        words = f"{each.confidence * 100:.1f}%, {each.backtest_kind}, {each.period}".replace("_", " ")
        table.add_row(words, each.verdict, each.verdict_reason)
    return table


def stress_table(results: Sequence[StressResult], mark: str) -> Table:
    """What each scenario does to the book."""
    columns = {"scenario": "l", "P&L": "r", "calls": "r", "liquidations": "r", "to sell": "r", "bad debt": "r"}
    table = _table(f"Stress and liquidation-at-risk, USD{mark}", columns)
    for each in results:
        table.add_row(
            each.name,
            usd(each.pnl_usd),
            _number(each.margin_call_accounts),
            _number(each.liquidation_accounts),
            usd(each.collateral_to_sell_usd),
            usd(each.bad_debt_usd),
        )
    return table


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def exposures_table(exposures: Sequence[AssetExposure], mark: str) -> Table:
    """The book by asset."""
    table = _table(
        f"Exposure by asset{mark}",
        {
            "asset": "l",
            "side": "l",
            "quantity": "r",
            "price USD": "r",
            "exposure USD": "r",
            "accounts": "r",
            "price": "l",
        },
    )
    for e in exposures:
        quantity = f"{e.quantity.normalize():,f}"
        table.add_row(
            e.asset, e.side, quantity, price(e.price_usd), usd(e.exposure_usd), str(e.accounts), e.price_status
        )
    return table


def accounts_table(
    accounts: Sequence[MarginHealth],
    triggers: Sequence[LiquidationPrice],
    estimates: Sequence[ValueAtRisk],
    assets: Sequence[str],
    mark: str,
) -> Table:
    """Accounts with health, liquidation prices of `assets`, VaR and ES."""
    columns = {"account": "l", "collateral": "r", "borrow": "r", "health": "r", "status": "l"}
    columns |= {f"{asset} liq. price": "r" for asset in assets}
    table = _table(f"Accounts nearest to a margin call, USD{mark}", columns | {"99% VaR": "r", "97.5% ES": "r"})
    prices = {(t.account_id, t.asset): t for t in triggers if t.threshold == "liquidation"}
    for account in accounts:
        own = [e for e in estimates if e.account_id == account.account_id]
        var, es = at_confidence(own, VAR_CONFIDENCE), at_confidence(own, ES_CONFIDENCE)
        table.add_row(
            account.account_id,
            usd(account.collateral_usd),
            usd(account.borrow_usd),
            percent(account.health_pct),
            account.status,
            *(_trigger(prices.get((account.account_id, asset))) for asset in assets),
            usd(var.var_usd if var else None),
            usd(es.es_usd if es else None),
        )
    return table


def _trigger(trigger: LiquidationPrice | None) -> str:
    if trigger is None:
        return "not held"
    return price(trigger.trigger_price_usd) if trigger.reason is None else trigger.reason.replace("_", " ")


def told_table(told: Sequence[Told]) -> Table:
    """Who was told, by channel; `accepted` ended with the provider's word that it took the message."""
    counts = ("accepted", "delivered", "suppressed", "failed", "open")
    columns = {"channel": "l"} | dict.fromkeys(counts, "r")
    table = _table("Notifications", columns | {"p50 to acceptance": "r", "longest": "r"})
    for each in told:
        table.add_row(
            each.channel,
            *(f"{getattr(each, name):,}" for name in counts),
            _seconds(each.median_seconds),
            _seconds(each.longest_seconds),
        )
    return table


def _seconds(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def trail_table(rows: Sequence[Mapping[str, Any]], provider_message_id: str) -> Table:
    """Evidence behind one message, as `audit.alert_trail` gives it."""
    table = _table(
        f"Why: audit.alert_trail of {provider_message_id}",
        {"evidence": "l", "id": "l", "asset": "l", "what": "l", "amount": "r", "at (UTC)": "l"},
    )
    for row in rows:
        is_priced = row["price_usd"] is not None
        amount = price(row["price_usd"]) if is_priced else f"{row['signed_quantity'].normalize():+,f}"
        table.add_row(
            row["evidence_kind"],
            _evidence_id(row),
            row["asset"],
            row["movement"] or "USD for one unit",
            amount,
            f"{row['evidence_at']:%Y-%m-%d %H:%M:%S}",
        )
    return table


def _evidence_id(row: Mapping[str, Any]) -> str:
    """What a person would look up: the round or slot of a reading, our own id otherwise."""
    if row["evidence_kind"] == "reading":
        return str(row["evidence_source"])
    return str(row["evidence_id"])[:16]
