"""The whole backtest: its colour, its words, missing days and what it refuses."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.risk.engine.backtests import BacktestReport, Tail, Verdict, Zone, run_backtest
from assets.risk.engine.backtests.tails import expected_shortfall, upper_quantile
from assets.risk.engine.errors import RiskInputError

C99, C975, C95 = Decimal("0.99"), Decimal("0.975"), Decimal("0.95")
ISOLATED_11 = tuple(range(7, 250, 23))
CLUSTERED_12 = (*range(50, 54), *range(120, 124), *range(200, 204))


def backtest(observations: int, days: tuple[int, ...], confidence: Decimal, loss: float = 110.0) -> BacktestReport:
    """Losses on these days, counted from 0, against a VaR of 100 and an ES of 120 that never move."""
    pnl = np.full(observations, 3.0)
    pnl[list(days)] = -loss
    return run_backtest(pnl, np.full(observations, 100.0), np.full(observations, 120.0), confidence, seed=1)


def right_model(observations: int, confidence: Decimal, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P&L, VaR and ES of a model that is exactly right under wandering volatility."""
    generator = np.random.default_rng(seed)
    volatility = 1e4 * np.exp(np.cumsum(generator.normal(scale=0.03, size=observations)))
    probability = float(1 - confidence)
    var = volatility * upper_quantile(np.array([probability]), Tail.STUDENT_T4)
    es = volatility * expected_shortfall(probability, Tail.STUDENT_T4)
    return volatility * generator.standard_t(4, size=observations), var, es


def test_run_backtest__is_green_for_a_right_model_and_says_what_passed() -> None:
    report = run_backtest(*right_model(500, C99, 2), C99, seed=1)
    assert report.verdict is Verdict.GREEN
    assert report.verdict_reason == (
        f"{report.exceptions} exceptions in 500 days, 5 expected: coverage holds (green zone, Kupiec exact p"
        f" {report.unconditional_coverage.exact_p_value:.3f}), and no deciding test rejects"
    )


def test_run_backtest__is_red_in_the_red_zone_and_says_how_many() -> None:
    report = backtest(250, ISOLATED_11, C99)
    assert report.verdict is Verdict.RED
    assert report.verdict_reason.startswith(
        "11 exceptions in 250 days, 2.5 expected: red zone (a right model has this many or more with probability below"
        " 0.001): VaR is too small; too many exceptions for the confidence (Kupiec exact p below 0.001)"
    )
    assert report.traffic_light is not None
    assert report.traffic_light.zone is Zone.RED
    assert report.traffic_light.multipliers is not None
    assert report.traffic_light.multipliers.multiplier_frtb == Decimal("2.00")


def test_run_backtest__does_not_call_many_isolated_exceptions_clustered() -> None:
    reason = backtest(250, ISOLATED_11, C99).verdict_reason
    assert "depend on the day before" not in reason
    assert "cluster" not in reason


def test_run_backtest__is_amber_in_the_yellow_zone() -> None:
    report = backtest(250, (20, 77, 140, 181, 230), C99)
    assert report.verdict is Verdict.AMBER
    assert report.verdict_reason.startswith(
        "5 exceptions in 250 days, 2.5 expected: yellow zone (a right model has this many or more with probability"
        " 0.108): VaR may be too small; Kupiec does not reject (exact p "
    )


def test_run_backtest__shows_that_coverage_holds_while_exceptions_cluster() -> None:
    report = backtest(250, CLUSTERED_12, C95)
    assert report.verdict is Verdict.AMBER
    assert not report.unconditional_coverage.rejects()
    assert report.independence.rejects()
    assert report.dynamic_quantile.rejects()
    assert report.verdict_reason.startswith(
        "12 exceptions in 250 days, 12.5 expected: coverage holds (green zone, Kupiec exact p"
    )
    assert ", but exceptions depend on the day before" in report.verdict_reason
    assert "exceptions come in clusters" in report.verdict_reason


def test_run_backtest__is_amber_for_too_few_exceptions() -> None:
    report = backtest(1000, (), C99)
    assert report.verdict is Verdict.AMBER
    assert "too few exceptions" in report.verdict_reason
    assert report.duration.reason is not None
    assert report.dynamic_quantile.reason is not None


def test_run_backtest__is_amber_for_an_understated_es_alone() -> None:
    report = backtest(250, (40, 170), C99, loss=400.0)
    assert report.traffic_light is not None
    assert report.traffic_light.zone is Zone.GREEN
    assert report.z2.statistic == pytest.approx(1 - 2 * 400 / 120 / 2.5)
    assert report.verdict is Verdict.AMBER
    # At 99% the paper's critical value does not hold, so the simulation decides.
    assert "larger or more than Expected Shortfall allows (Z2 -1.67 has p 0.020 by simulation)" in report.verdict_reason


def test_run_backtest__judges_an_understated_es_by_the_paper_where_its_value_holds() -> None:
    report = backtest(250, (20, 60, 100, 140, 180, 220), C975, loss=400.0)
    assert report.z2.critical_values_apply
    assert report.z2.statistic is not None
    assert report.z2.statistic < -0.70
    assert f"(Z2 {report.z2.statistic:.2f} is below -0.70)" in report.verdict_reason


def test_run_backtest__names_tests_that_could_not_be_computed() -> None:
    report = backtest(250, (), C99)
    assert report.verdict is Verdict.GREEN
    assert report.verdict_reason.endswith("no deciding test rejects (not computed: duration, dynamic quantile)")


def test_run_backtest__says_one_exception_in_the_singular() -> None:
    assert backtest(250, (100,), C99).verdict_reason.startswith("1 exception in 250 days")


def test_run_backtest__remarks_what_has_no_weight_in_the_verdict() -> None:
    report = backtest(250, (0, 100), C99)
    assert report.time_until_first_failure.rejects()
    assert ". Without weight in the verdict: unusual wait for the first exception" in report.verdict_reason


def test_run_backtest__is_unknown_below_250_days() -> None:
    report = backtest(249, ISOLATED_11, C99)
    assert report.verdict is Verdict.UNKNOWN
    assert report.verdict_reason == "11 exceptions in 249 days, 2.5 expected: a verdict needs 250 days"
    assert report.unconditional_coverage.statistic is not None


def test_run_backtest__drops_rows_without_forecast_or_pnl_and_counts_them() -> None:
    pnl, var, es = right_model(300, C975, 5)
    gappy_pnl, gappy_var = pnl.copy(), var.copy()
    gappy_pnl[[3, 4]], gappy_var[[4, 90]] = np.nan, np.nan
    kept = np.setdiff1d(np.arange(300), [3, 4, 90])
    report = run_backtest(gappy_pnl, gappy_var, es, C975, seed=2)
    whole = run_backtest(pnl[kept], var[kept], es[kept], C975, seed=2)
    assert (report.missing, report.observations) == (3, 297)
    assert report.dynamic_quantile == whole.dynamic_quantile
    assert report.z2 == whole.z2


def test_run_backtest__leaves_days_without_es_out_of_the_es_tests_only() -> None:
    pnl, var, es = right_model(300, C975, 5)
    es[:40] = np.nan
    report = run_backtest(pnl, var, es, C975, seed=2)
    assert (report.observations, report.missing, report.es_missing) == (300, 0, 40)
    assert report.z2.statistic is not None


def test_run_backtest__works_without_es() -> None:
    pnl, var, _ = right_model(300, C975, 5)
    report = run_backtest(pnl, var, None, C975, seed=2)
    assert report.es_missing == 300
    assert report.z2.reason == report.es_residuals.reason == "there is no Expected Shortfall forecast"
    assert report.verdict is not Verdict.UNKNOWN


@pytest.mark.parametrize("rows", [0, 300])
def test_run_backtest__is_unknown_where_nothing_is_known(rows: int) -> None:
    unknown = np.full(rows, np.nan)
    report = run_backtest(unknown, unknown, unknown, C99, seed=1)
    assert report.verdict is Verdict.UNKNOWN
    assert report.verdict_reason.startswith("no day has both a forecast and P&L")
    assert (report.observations, report.missing, report.traffic_light) == (0, rows, None)
    assert report.unconditional_coverage.reason == "there are no observations"


@pytest.mark.parametrize("days", [(), (0,), (249,), tuple(range(250))], ids=["none", "only first", "only last", "all"])
def test_run_backtest__survives_extreme_series(days: tuple[int, ...]) -> None:
    report = backtest(250, days, C99)
    assert report.exceptions == len(days)
    assert report.verdict is (Verdict.RED if len(days) == 250 else Verdict.GREEN)


def test_run_backtest__reports_the_proxy_and_the_desk_counter() -> None:
    pnl, var, es = right_model(260, C975, 9)
    report = run_backtest(pnl, var, es, C975, seed=1, var_975=var, var_99=1.3 * var)
    assert report.proxy_975 is not None
    assert report.proxy_99 is not None
    assert report.proxy_975.exceptions == report.exceptions
    assert report.proxy_99.exceptions <= report.exceptions
    assert report.desk == report.proxy_975.desk
    assert run_backtest(pnl, var, es, C95, seed=1).desk is None


def test_run_backtest__repeats_itself_with_one_seed_and_differs_with_another() -> None:
    series = right_model(500, C95, 4)
    first, second, other = (run_backtest(*series, C95, seed=seed) for seed in (6, 6, 7))
    assert first == second
    assert first.duration.exact_p_value != other.duration.exact_p_value
    assert first.unconditional_coverage == other.unconditional_coverage


@pytest.mark.parametrize(
    ("pnl", "var", "es", "confidence", "message"),
    [
        ([1.0, 2.0], [1.0], [1.0, 1.0], "0.99", "var has 1 rows and pnl 2"),
        ([1.0, 2.0], [1.0, 1.0], [1.0], "0.99", "es has 1 rows and pnl 2"),
        ([1.0], [1.0], [1.0], "0.5", "confidence 0.5 is not between"),
        ([1.0], [1.0], [1.0], "1", "confidence 1 is not between"),
        ([1.0], [1.0], [1.0], "NaN", "confidence NaN is not between"),
        ([1.0], [-1.0], [1.0], "0.99", "var is -1 at row 0; losses are positive"),
        ([1.0], [1.0], [-1.0], "0.99", "es is -1 at row 0; losses are positive"),
        ([1.0, 1.0], [1.0, 2.0], [1.0, 1.5], "0.99", "es is 1.5 at row 1, below its var of 2"),
        ([np.inf], [1.0], [1.0], "0.99", "pnl is infinite at row 0"),
        ([1.0, 1.0], [1.0, -np.inf], [1.0, 1.0], "0.99", "var is infinite at row 1"),
        ([[1.0]], [1.0], [1.0], "0.99", "pnl has 2 dimensions"),
        (["x"], [1.0], [1.0], "0.99", "pnl holds something that is not a number"),
    ],
)
def test_run_backtest__names_what_is_wrong_with_its_input(
    pnl: list[float], var: list[float], es: list[float], confidence: str, message: str
) -> None:
    with pytest.raises(RiskInputError, match=message):
        run_backtest(pnl, var, es, Decimal(confidence), seed=1)


def test_run_backtest__names_the_proxy_forecast_that_is_wrong() -> None:
    with pytest.raises(RiskInputError, match="var_975 has 1 rows and pnl 2"):
        run_backtest([1.0, 2.0], [1.0, 1.0], None, C99, seed=1, var_975=[1.0])


@pytest.mark.parametrize(("seed", "simulations", "message"), [(-1, 99, "seed is -1"), (1, 0, "simulations is 0")])
def test_run_backtest__refuses_settings_that_cannot_simulate(seed: int, simulations: int, message: str) -> None:
    with pytest.raises(RiskInputError, match=message):
        run_backtest([1.0], [1.0], None, C99, seed, simulations=simulations)


def test_run_backtest__accepts_decimals_as_they_come_from_the_warehouse() -> None:
    report = run_backtest([Decimal("-2.5"), Decimal(1), None], [Decimal(1)] * 3, [Decimal(2)] * 3, C99, seed=1)
    assert (report.exceptions, report.observations, report.missing) == (1, 2, 1)


@settings(max_examples=40)
@given(
    losses=st.lists(st.sampled_from([-1.0, 0.0, 99.0, 101.0, 150.0, 1e9, np.nan]), min_size=0, max_size=320),
    confidence=st.sampled_from([C95, C975, C99]),
)
def test_run_backtest__always_gives_a_colour_and_a_reason(losses: list[float], confidence: Decimal) -> None:
    pnl = -np.array(losses, dtype=float)
    report = run_backtest(pnl, np.full(pnl.size, 100.0), np.full(pnl.size, 110.0), confidence, seed=1, simulations=19)
    assert report.verdict_reason
    assert report.observations + report.missing == pnl.size
    assert (report.verdict is Verdict.UNKNOWN) is (report.observations < 250)
    outcomes = (
        report.unconditional_coverage,
        report.independence,
        report.conditional_coverage,
        report.time_until_first_failure,
        report.duration,
        report.dynamic_quantile,
        report.es_residuals,
    )
    for outcome in outcomes:
        assert (outcome.statistic is None) is (outcome.reason is not None)
        assert outcome.p_value is None or 0 <= outcome.p_value <= 1
