"""Responses of what questions the model: backtests and stress tests; USD, times UTC."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from api.risk.schemas import NoEstimates, Simulated, Usd
from api.wire import ExactDecimal, UtcTime, View

PValue = Annotated[float | None, Field(description="p-value; null where the data could not carry the test")]


class SubjectKind(StrEnum):
    """What is backtested."""

    BOOK = "book"
    ACCOUNT = "account"
    ASSET = "asset"


class Verdict(StrEnum):
    """What to make of a model; `unknown` is too little to say, never green."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    UNKNOWN = "unknown"


class BacktestView(View):
    """Forecasts of one subject, method and confidence, held against what followed."""

    subject_kind: SubjectKind
    subject_id: str
    backtest_kind: str = Field(description="stored_forecasts, or history: forecasts made anew for each past day")
    period: str = Field(description="all_days or last_250_days")
    as_of_date: date = Field(description="last day with a P&L (UTC)")
    method: str = Field(examples=["historical_simulation"])
    estimator: str = Field(examples=["kth_worst_loss"])
    confidence: ExactDecimal = Field(description="as a fraction", examples=["0.99"])
    horizon_days: int
    window_observations: int = Field(description="scenarios behind each forecast")
    observations: int = Field(description="days with a forecast and a P&L")
    missing: int = Field(description="days that lack one of them")
    exceptions: int | None = Field(description="days whose loss exceeded the forecast; null without a day")
    expected_exceptions: ExactDecimal | None
    kupiec_p_value: PValue
    kupiec_exact_p_value: PValue
    independence_p_value: PValue
    independence_exact_p_value: PValue
    conditional_p_value: PValue
    conditional_exact_p_value: PValue
    duration_p_value: PValue
    duration_exact_p_value: PValue
    dynamic_quantile_p_value: PValue
    dynamic_quantile_exact_p_value: PValue
    mcneil_frey_p_value: PValue
    acerbi_szekely_z2: float | None = Field(description="below zero: Expected Shortfall is understated")
    acerbi_szekely_p_value: PValue
    zone: str | None = Field(description="green, yellow or red by the binomial distribution")
    multiplier_1996: ExactDecimal | None = Field(description="Basel 1996; for 250 days at 99% only")
    multiplier_frtb: ExactDecimal | None = Field(description="FRTB; for 250 days at 99% only")
    verdict: Verdict
    verdict_reason: str = Field(description="the verdict in words")
    notes: str | None = Field(description="tests that could not be computed, and why")
    price_set_id: str = Field(description="closes that it rests on")
    is_simulated: Simulated
    seed: int | None = Field(description="seed of simulated p-values")
    code_version: str
    computed_at: UtcTime


class BacktestsView(View):
    """The latest backtests."""

    backtests: list[BacktestView]
    reason: NoEstimates | None = Field(description="why there is none; null where there are some")


class ScenarioView(View):
    """What one scenario does to the book; totals of the accounts that are known, null where none is."""

    scenario_id: str = Field(examples=["covid_2020_03"])
    scenario_version: int
    kind: str = Field(description="historical, hypothetical or ladder")
    name: str
    as_of_date: date = Field(description="day of positions and closes (UTC)")
    accounts: int
    unknown_accounts: int = Field(description="accounts that the totals leave out, as `reason` says")
    unpriced_accounts: int
    pnl_usd: Usd | None = Field(description="change of collateral less debt; a loss is negative")
    margin_call_accounts: int | None = Field(description="below their margin call after the shock, not in liquidation")
    new_margin_call_accounts: int | None
    liquidation_accounts: int | None
    new_liquidation_accounts: int | None
    collateral_to_sell_usd: Usd | None = Field(description="sold to bring accounts in liquidation back to the target")
    bad_debt_usd: Usd | None = Field(description="debt beyond its collateral")
    top_loss_account_ids: str | None = Field(description="the largest losers, comma-separated")
    shock_sources: str | None = Field(description="closes, recorded, proxy or assumed, comma-separated")
    reason: str | None
    price_set_id: str
    is_simulated: Simulated
    code_version: str
    computed_at: UtcTime


class StressView(View):
    """All scenarios of the last build."""

    scenarios: list[ScenarioView]
    reason: NoEstimates | None = Field(description="why there is none; null where there are some")


class StressedAccountView(View):
    """What a scenario does to one account."""

    account_id: str
    loss_rank: int | None = Field(description="1 for the largest loss; null where unknown")
    pnl_usd: Usd | None
    collateral_before_usd: Usd | None
    borrow_before_usd: Usd | None
    collateral_after_usd: Usd | None
    borrow_after_usd: Usd | None
    health_before_pct: ExactDecimal | None
    health_after_pct: ExactDecimal | None
    status_before: str
    status_after: str
    collateral_to_sell_usd: Usd | None
    bad_debt_usd: Usd | None
    reason: str | None = Field(description="why a figure is unknown")
    is_simulated: Simulated


class StressedAccountsView(View):
    """Accounts of one scenario, the largest loss first."""

    scenario_id: str
    accounts: list[StressedAccountView]
