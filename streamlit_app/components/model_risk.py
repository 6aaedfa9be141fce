"""What questions the model, in tables: verdicts of the backtests, stress scenarios, components."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from assets.risk.stress_queries import StressResult
from assets.risk.var_queries import VarBacktest, VarComponent
from streamlit_app.components import formats, markup
from streamlit_app.components.markup import Cell, Column, text

VERDICT_WORDS = {"green": "Holds", "amber": "Amber", "red": "Fails", "unknown": "Unknown"}
# Classes of the style sheet: what is unknown looks as what has no price does.
_VERDICT_CLASSES = {"green": "healthy", "amber": "margin_call", "red": "liquidation"}
_KIND_WORDS = {"history": "Over history", "stored_forecasts": "As forecast"}
_PERIOD_WORDS = {"all_days": "all days", "last_250_days": "last 250 days"}


def verdict_tag(verdict: str) -> str:
    """The label of a verdict; one that is not known looks unknown."""
    return markup.tag(_VERDICT_CLASSES.get(verdict, "unpriced"), formats.words(verdict, VERDICT_WORDS))


def worst_verdict(backtests: Sequence[VarBacktest]) -> str:
    """The verdict of the forecasts over history that asks most for attention; unknown without any."""
    found = {each.verdict for each in backtests if each.backtest_kind == "history"}
    return next((verdict for verdict in ("red", "amber", "unknown", "green") if verdict in found), "unknown")


def backtests_html(backtests: Sequence[VarBacktest]) -> str:
    """Each backtest with its verdict, the number of exceptions, and the verdict in words."""
    columns = (Column("Forecasts"), Column("Verdict"), Column("Exceptions", True), Column("In words"))
    rows = [
        (
            text(
                f"{formats.plain_percent(each.confidence * 100)}, {_PERIOD_WORDS.get(each.period, each.period)}",
                formats.words(each.backtest_kind, _KIND_WORDS),
            ),
            Cell(f"{verdict_tag(each.verdict)} {markup.simulated_tag(each.is_simulated)}"),
            _exceptions(each),
            text(each.verdict_reason),
        )
        for each in backtests
    ]
    return markup.table("Backtests", columns, rows)


def stress_html(results: Sequence[StressResult]) -> str:
    """Each scenario with its loss, margin calls, liquidations, collateral to sell and bad debt."""
    columns = (
        Column("Scenario"),
        Column("P&L", True),
        Column("Margin calls", True),
        Column("Liquidations", True),
        Column("To sell", True),
        Column("Bad debt", True),
    )
    rows = [
        (
            text(each.name, each.reason or _source(each)),
            text(formats.usd(each.pnl_usd)),
            text(_count(each.margin_call_accounts)),
            text(_count(each.liquidation_accounts)),
            text(formats.usd(each.collateral_to_sell_usd)),
            text(formats.usd(each.bad_debt_usd)),
        )
        for each in results
    ]
    return markup.table("Stress and liquidation-at-risk", columns, rows)


def components_html(components: Sequence[VarComponent]) -> str:
    """What each asset adds to the book's Value at Risk and Expected Shortfall."""
    columns = (
        Column("Asset"),
        Column("Exposure", True),
        Column("Of VaR", True),
        Column("Of ES", True),
        Column("Share of ES", True),
    )
    rows = [
        (
            text(each.part_id),
            text(formats.usd(each.exposure_usd)),
            text(formats.usd(each.component_var_usd), each.reason or ""),
            text(formats.usd(each.component_es_usd)),
            text(_share(each.component_es_usd, each.book_es_usd)),
        )
        for each in components
    ]
    return markup.table("Components", columns, rows)


def _exceptions(backtest: VarBacktest) -> Cell:
    if backtest.exceptions is None or backtest.expected_exceptions is None:
        return text(formats.UNKNOWN)
    expected = f"{backtest.expected_exceptions:.1f} expected"
    return text(f"{backtest.exceptions} of {formats.count(backtest.observations, 'day')}", expected)


def _count(accounts: int | None) -> str:
    return formats.UNKNOWN if accounts is None else f"{accounts:,}"


def _source(result: StressResult) -> str:
    return f"shocks: {result.shock_sources.replace(',', ', ')}" if result.shock_sources else ""


def _share(part: Decimal | None, whole: Decimal | None) -> str:
    if part is None or not whole:
        return formats.UNKNOWN
    return formats.percent(part / whole * 100)
