"""The reads of the page of the risk models, through the one cache of the process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from assets.risk import queries, stress_queries, var_page_queries, var_queries
from assets.risk.engine.methods import STANDARD_WINDOW, Method
from assets.risk.queries import Reader
from streamlit_app import data
from streamlit_app.components.var_tables import HISTORY, STORED
from streamlit_app.reads import Read, Reading

# One page of chart: no more points than there are pixels.
HISTORY_DAYS = 500
MOST_PARTS = 200
BOOK, ACCOUNT, ASSET = "book", "account", "asset"


@dataclass(frozen=True)
class Choice:
    """What the page shows: of one account or of the book (None), at which confidence, horizon and window."""

    account_id: str | None
    confidence: Decimal = Decimal("0.99")
    horizon_days: int = 1
    window_observations: int = STANDARD_WINDOW
    method: str = Method.HISTORICAL
    backtest_kind: str = HISTORY
    part_kind: str = ASSET


@dataclass(frozen=True)
class Distribution:
    """Scenario P&L, and every estimate of the last build."""

    estimates: Reading[list[queries.ValueAtRisk]]
    scenarios: Reading[list[var_page_queries.ScenarioPnl]]


@dataclass(frozen=True)
class Backtested:
    """Verdicts of every method, and what happened by one of them; one of `stored` and `past` is read."""

    backtests: Reading[list[var_queries.VarBacktest]]
    exceptions: Reading[list[var_queries.VarException]]
    stored: Reading[list[var_page_queries.Forecast]]
    past: Reading[list[var_page_queries.DayPnl]]


def estimates(account_id: str | None) -> Read:
    """Every estimate of an account, or of the book (None)."""
    if account_id is None:
        return _slow(("book_var_estimates",), queries.book_var_estimates)
    return _slow(
        ("account_var_estimates", account_id), lambda source: queries.account_var_estimates(source, account_id)
    )


def backtests(account_id: str | None) -> Read:
    """The latest backtests of every method."""
    kind, subject = _subject(account_id)
    return _slow(
        ("backtests_of", kind, subject), lambda source: var_queries.var_backtests(source, kind, subject, method="")
    )


def opening(
    account_id: str | None,
) -> tuple[Reading[list[queries.ValueAtRisk]], Reading[list[var_queries.VarBacktest]]]:
    """What the head of the page rests on."""
    found, judged = together(estimates(account_id), backtests(account_id))
    return found, judged


def distribution(choice: Choice) -> Distribution:
    """The figures and the scenarios that they come from."""
    horizon, window = choice.horizon_days, choice.window_observations
    found, scenarios = together(
        estimates(choice.account_id),
        _slow(
            ("scenario_pnl", choice.account_id, horizon, window),
            lambda source: var_page_queries.scenario_pnl(source, choice.account_id, horizon, window),
        ),
    )
    return Distribution(found, scenarios)


def backtested(choice: Choice) -> Backtested:
    """Forecasts of one method against what followed."""
    account_id, method = choice.account_id, choice.method
    kind, subject = _subject(account_id)
    since = (data.system_clock().now() - timedelta(days=HISTORY_DAYS)).date()
    is_stored = choice.backtest_kind == STORED
    followed = (
        _slow(
            ("forecasts", account_id, choice.confidence, method, since),
            lambda source: var_page_queries.forecasts(source, account_id, choice.confidence, since, method),
        )
        if is_stored
        else _slow(("past_pnl", account_id, since), lambda source: var_page_queries.past_pnl(source, account_id, since))
    )
    judged, exceptions, days = together(
        backtests(account_id),
        _slow(
            ("exceptions", kind, subject, method),
            lambda source: var_queries.var_exceptions(source, kind, subject, method),
        ),
        followed,
    )
    unread: Reading[Any] = Reading(None, None)
    return Backtested(judged, exceptions, days if is_stored else unread, unread if is_stored else days)


def components(choice: Choice) -> Reading[list[var_queries.VarComponent]]:
    """Parts of the book by what they add; of an account what it adds itself."""
    account_id = choice.account_id
    if account_id is not None:
        return _one(("component_of", account_id), lambda source: var_page_queries.component_of(source, account_id))
    return _one(
        ("components", choice.part_kind, choice.confidence),
        lambda source: var_queries.var_components(source, choice.part_kind, choice.confidence, MOST_PARTS),
    )


def stress() -> Reading[list[stress_queries.StressResult]]:
    """What each scenario does to the book."""
    return _one(("stress_results",), stress_queries.stress_results)


def account_stress(account_id: str) -> Reading[list[stress_queries.StressedAccount]]:
    """What each scenario does to one account."""
    return _one(("account_stress", account_id), lambda source: var_page_queries.account_stress(source, account_id))


def stressed(scenario_id: str, status: str, skipped: int, rows: int) -> Reading[var_page_queries.StressedPage]:
    """One page of the accounts of a scenario."""
    return _one(
        ("stressed", scenario_id, status, skipped, rows),
        lambda source: var_page_queries.stressed_page(source, scenario_id, status, skipped, rows),
    )


def book_assets() -> Reading[list[str]]:
    """Assets of the book on the last day with closes."""
    return _one(("book_assets",), var_page_queries.book_assets)


def together(*reads: Read) -> list[Reading[Any]]:
    """These reads at the same time, in their order."""
    return data.shared().together(*reads)


def _subject(account_id: str | None) -> tuple[str, str]:
    return (BOOK, BOOK) if account_id is None else (ACCOUNT, account_id)


def _slow(key: tuple[Any, ...], run: Callable[[Reader], Any]) -> Read:
    return Read(key, run, data.SLOW_MAX_AGE)


def _one(key: tuple[Any, ...], run: Callable[[Reader], Any]) -> Reading[Any]:
    return together(_slow(key, run))[0]


def now() -> datetime:
    """The time by which ages are told (UTC)."""
    return data.system_clock().now()
