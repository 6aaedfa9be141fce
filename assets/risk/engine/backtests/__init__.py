"""Backtests of Value at Risk and Expected Shortfall: pure functions over arrays of P&L and forecasts.

Losses are positive in forecasts and P&L is positive for a gain; an exception is a day with -P&L > VaR. Start at
`run_backtest`; the single tests are here for callers that need one of them.
"""

from assets.risk.engine.backtests.coverage import (
    CoverageTests,
    IndependenceOutcome,
    conditional_coverage,
    coverage_tests,
    independence,
    time_until_first_failure,
    unconditional_coverage,
)
from assets.risk.engine.backtests.duration import DurationOutcome, duration_test
from assets.risk.engine.backtests.dynamic_quantile import dynamic_quantile
from assets.risk.engine.backtests.outcomes import Outcome
from assets.risk.engine.backtests.report import BacktestReport, run_backtest
from assets.risk.engine.backtests.shortfall import (
    ProxyLevel,
    ResidualOutcome,
    Z2Outcome,
    acerbi_szekely,
    desk_counter,
    proxy_level,
    residual_test,
)
from assets.risk.engine.backtests.tails import Tail
from assets.risk.engine.backtests.traffic_light import (
    DeskCounter,
    Multipliers,
    TrafficLight,
    Zone,
    desk_limit,
    multipliers_of,
    traffic_light,
    zone_of,
)
from assets.risk.engine.backtests.transitions import Transitions, count_transitions, exceptions_of
from assets.risk.engine.backtests.verdict import Verdict

__all__ = [
    "BacktestReport",
    "CoverageTests",
    "DeskCounter",
    "DurationOutcome",
    "IndependenceOutcome",
    "Multipliers",
    "Outcome",
    "ProxyLevel",
    "ResidualOutcome",
    "Tail",
    "TrafficLight",
    "Transitions",
    "Verdict",
    "Z2Outcome",
    "Zone",
    "acerbi_szekely",
    "conditional_coverage",
    "count_transitions",
    "coverage_tests",
    "desk_counter",
    "desk_limit",
    "duration_test",
    "dynamic_quantile",
    "exceptions_of",
    "independence",
    "multipliers_of",
    "proxy_level",
    "residual_test",
    "run_backtest",
    "time_until_first_failure",
    "traffic_light",
    "unconditional_coverage",
    "zone_of",
]
