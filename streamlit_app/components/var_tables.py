"""The tables of the page of the risk models: estimators, exceptions, components, stressed accounts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from assets.risk.queries import ValueAtRisk
from assets.risk.stress_queries import StressedAccount
from assets.risk.var_page_queries import Forecast
from assets.risk.var_queries import VarBacktest, VarComponent, VarException
from streamlit_app.components import formats, markup, model_risk, tables
from streamlit_app.components.markup import Cell, Column, text

HISTORY = "history"
STORED = "stored_forecasts"
KIND_WORDS = {HISTORY: "Over history", STORED: "As forecast"}
PERIOD_WORDS = {"all_days": "all days", "last_250_days": "last 250 days"}
INTERVAL_WORDS = {
    "order_statistics": "order statistics",
    "bootstrap": "bootstrap",
    "chi_square": "chi-square",
    "simulation": "of the simulation only",
}
RULE_WORDS = {
    "one_day": "one-day returns",
    "overlapping_returns": "overlapping returns",
    "square_root_of_time": "one day times the square root of time",
}


def title_of(row: VarBacktest) -> str:
    """What a backtest judges, in words: `99%, last 250 days`."""
    confidence = formats.plain_percent(row.confidence * 100)
    return f"{confidence}, {PERIOD_WORDS.get(row.period, row.period)}"


def estimators_html(estimates: Sequence[ValueAtRisk], backtests: Sequence[VarBacktest]) -> str:
    """Each method's figures with their intervals, what they rest on, and what the backtests say of the method."""
    columns = (
        Column("Method"),
        Column("Value at Risk", True),
        Column("Expected Shortfall", True),
        Column("Rests on"),
        Column("Backtest over history"),
    )
    verdicts = {
        (row.method, row.confidence): row.verdict
        for row in backtests
        if row.backtest_kind == HISTORY and row.period == "all_days"
    }
    rows = [
        (
            text(
                formats.words(each.method, formats.METHOD_WORDS) + (" (fallback)" if each.is_fallback else ""),
                formats.words(each.estimator, formats.ESTIMATOR_WORDS),
            ),
            _figure(each.var_usd, each.var_lower_usd, each.var_upper_usd, each),
            _figure(each.es_usd, each.es_lower_usd, each.es_upper_usd, each),
            _basis(each),
            _verdict(verdicts.get((each.method, each.confidence)), each),
        )
        for each in estimates
    ]
    return markup.table("Estimates by method", columns, rows)


def exceptions_html(exceptions: Sequence[VarException]) -> str:
    """Days whose loss exceeded the forecast."""
    columns = (
        Column("Day"),
        Column("P&L", True),
        Column("VaR forecast", True),
        Column("Beyond VaR", True),
        Column("ES forecast", True),
    )
    rows = [
        (
            Cell(f"{each.exception_date.isoformat()} {markup.simulated_tag(each.is_simulated)}"),
            text(formats.usd(each.pnl_usd)),
            text(formats.usd(each.var_usd)),
            text(formats.usd(each.excess_usd)),
            text(formats.usd(each.es_usd)),
        )
        for each in exceptions
    ]
    return markup.table("Exceptions", columns, rows)


def forecasts_html(found: Sequence[Forecast]) -> str:
    """The forecasts of the last days with what followed."""
    columns = (Column("Forecast made for the day after"), Column("VaR", True), Column("ES", True), Column("P&L", True))
    rows = [
        (
            text(each.as_of_date.isoformat()),
            text(formats.usd(each.var_usd)),
            text(formats.usd(each.es_usd)),
            text("not known yet" if each.pnl_date is None else formats.usd(each.pnl_usd)),
        )
        for each in found
    ]
    return markup.table("Forecasts and what followed", columns, rows)


def parts_html(components: Sequence[VarComponent], are_accounts: bool) -> str:
    """What each part adds to the book's figures; accounts can be opened."""
    columns = (
        Column("Account" if are_accounts else "Asset"),
        Column("Exposure", True),
        Column("Of VaR", True),
        Column("Of ES", True),
        Column("Without it VaR is lower by", True),
        Column("VaR alone", True),
    )
    rows = [
        (
            Cell(markup.account_link(each.part_id)) if are_accounts else text(each.part_id),
            text(formats.usd(each.exposure_usd)),
            text(formats.usd(each.component_var_usd), each.reason or ""),
            text(formats.usd(each.component_es_usd), _share(each)),
            text(formats.usd(each.incremental_var_usd)),
            text(formats.usd(each.standalone_var_usd)),
        )
        for each in components
    ]
    return markup.table("Components", columns, rows, is_clickable=are_accounts)


def own_component_html(components: Sequence[VarComponent]) -> str:
    """What one account adds to the book, by confidence."""
    columns = (
        Column("Confidence"),
        Column("Adds to VaR", True),
        Column("Adds to ES", True),
        Column("VaR alone", True),
        Column("VaR of the book", True),
    )
    rows = [
        (
            text(formats.plain_percent(each.confidence * 100)),
            text(formats.usd(each.component_var_usd), each.reason or ""),
            text(formats.usd(each.component_es_usd), _share(each)),
            text(formats.usd(each.standalone_var_usd)),
            text(formats.usd(each.book_var_usd)),
        )
        for each in components
    ]
    return markup.table("What the account adds to the book", columns, rows)


def stressed_html(accounts: Sequence[StressedAccount], name_of: Callable[[str], str] | None = None) -> str:
    """What a scenario does to accounts; with `name_of`, what the scenarios do to one account."""
    columns = (
        Column("Scenario" if name_of else "Account"),
        Column("P&L", True),
        Column("Health before", True),
        Column("Health after", True),
        Column("Status after"),
        Column("To sell", True),
        Column("Bad debt", True),
    )
    rows = [
        (
            text(name_of(each.scenario_id), each.reason or "")
            if name_of
            else Cell(markup.account_link(each.account_id), each.reason or ""),
            text(formats.usd(each.pnl_usd)),
            text(_health(each.health_before_pct, each.status_before)),
            text(_health(each.health_after_pct, each.status_after)),
            Cell(f"{tables.status_tag(each.status_after)} {markup.simulated_tag(each.is_simulated)}"),
            text(formats.usd(each.collateral_to_sell_usd)),
            text(formats.usd(each.bad_debt_usd)),
        )
        for each in accounts
    ]
    return markup.table("Stressed accounts", columns, rows, is_clickable=name_of is None)


def _figure(usd: Decimal | None, lower: Decimal | None, upper: Decimal | None, estimate: ValueAtRisk) -> Cell:
    if usd is None:
        return text("No figure", estimate.reason or "no reason given")
    return text(formats.usd(usd), formats.interval(lower, upper))


def _basis(estimate: ValueAtRisk) -> Cell:
    days = f"{estimate.observations:,} of {formats.count(estimate.window_observations, 'day')}"
    rule = formats.words(estimate.horizon_rule, RULE_WORDS)
    interval = formats.words(estimate.interval_method, INTERVAL_WORDS)
    reason = f"; {estimate.reason}" if estimate.is_fallback and estimate.reason else ""
    return text(f"{days}, {rule}", f"interval: {interval}{reason}")


def _verdict(verdict: str | None, estimate: ValueAtRisk) -> Cell:
    """The backtests judge one-day figures of the standard window; others inherit the verdict of their method."""
    if verdict is None:
        return text("not backtested")
    return Cell(model_risk.verdict_tag(verdict), "" if estimate.horizon_days == 1 else "of its one-day figure")


def _share(component: VarComponent) -> str:
    if component.component_es_usd is None or not component.book_es_usd:
        return ""
    return f"{formats.percent(component.component_es_usd / component.book_es_usd * 100)} of the book's"


def _health(value: Decimal | None, status: str) -> str:
    return "No debt" if status == "no_debt" else formats.health(value)
