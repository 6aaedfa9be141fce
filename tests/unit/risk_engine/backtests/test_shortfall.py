"""Expected Shortfall backtests: signs, critical values, null distributions and what they refuse to compute."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from assets.risk.engine.backtests import Tail, acerbi_szekely, proxy_level, residual_test
from assets.risk.engine.backtests.tails import expected_shortfall, simulated_z2, upper_quantile
from assets.risk.engine.errors import RiskInputError

C975 = Decimal("0.975")
DAILY_VOLATILITY_USD = 10_000 * 0.20 / 250**0.5


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def student_days(observations: int, seed: int) -> tuple[np.ndarray, float, float]:
    """P&L of Student-t(4) days with the exact VaR and ES at 97.5%."""
    pnl = generator(seed).standard_t(4, size=observations)
    quantile = float(upper_quantile(np.array([0.025]), Tail.STUDENT_T4)[0])
    return pnl, quantile, expected_shortfall(0.025, Tail.STUDENT_T4)


@pytest.mark.parametrize(
    ("probability", "var", "es", "student_var"),
    [(0.05, 208.1, 260.9, 190.7), (0.025, 247.9, 295.7, 248.3), (0.01, 294.3, 337.1, 335.1)],
)
def test_tails__have_the_reference_var_and_es(probability: float, var: float, es: float, student_var: float) -> None:
    normal, student = (
        float(upper_quantile(np.array([probability]), tail)[0]) for tail in (Tail.NORMAL, Tail.STUDENT_T4)
    )
    assert DAILY_VOLATILITY_USD * normal == pytest.approx(var, abs=0.06)
    assert DAILY_VOLATILITY_USD * expected_shortfall(probability, Tail.NORMAL) == pytest.approx(es, abs=0.06)
    assert DAILY_VOLATILITY_USD * student / 2**0.5 == pytest.approx(student_var, abs=0.06)


def test_upper_quantile__equals_scipy_for_student_t4() -> None:
    probabilities = np.array([1e-12, 1e-6, 0.001, 0.025, 0.05, 0.3, 0.499])
    assert upper_quantile(probabilities, Tail.STUDENT_T4) == pytest.approx(
        stats.t.isf(probabilities, 4), rel=1e-6, abs=1e-7
    )


@pytest.mark.parametrize("probability", [0.05, 0.025, 0.01])
def test_expected_shortfall__is_the_mean_of_the_quantiles_beyond(probability: float) -> None:
    grid = (np.arange(400_000) + 0.5) / 400_000 * probability
    for tail in Tail:
        assert expected_shortfall(probability, tail) == pytest.approx(upper_quantile(grid, tail).mean(), rel=2e-3)


def test_acerbi_szekely__follows_the_definition_of_the_paper() -> None:
    pnl, var, es = np.array([-30.0, 10.0, -5.0, -24.0]), np.full(4, 10.0), np.array([15.0, 12.0, 12.0, 16.0])
    outcome = acerbi_szekely(pnl, var, es, Decimal("0.75"))
    assert outcome.statistic == pytest.approx(1 - (30 / 15 + 24 / 16) / (4 * 0.25))
    assert outcome.p_value is None


def test_acerbi_szekely__is_one_without_exceptions() -> None:
    outcome = acerbi_szekely(np.ones(250), np.ones(250), np.ones(250), C975)
    assert outcome.statistic == 1.0
    assert not outcome.below_5_percent


@pytest.mark.parametrize(
    ("scale", "below_5_percent", "below_1_in_10000"), [(1.0, False, False), (0.55, True, False), (0.3, True, True)]
)
def test_acerbi_szekely__is_negative_for_an_understated_es(
    scale: float, below_5_percent: bool, below_1_in_10000: bool
) -> None:
    pnl, var, es = np.zeros(250), np.ones(250), np.full(250, 1.5)
    pnl[:6] = -1.5625
    outcome = acerbi_szekely(pnl, var * scale, es * scale, C975, generator())
    assert outcome.statistic == pytest.approx(1 - 1 / scale)
    assert (outcome.below_5_percent, outcome.below_1_in_10000) == (below_5_percent, below_1_in_10000)
    assert outcome.p_value is not None
    assert (outcome.p_value < 0.05) is below_5_percent
    assert outcome.p_value_tail is Tail.STUDENT_T4


def test_simulated_z2__has_the_critical_values_of_the_paper() -> None:
    null = simulated_z2(250, 0.025, 300_000, generator(), Tail.NORMAL)
    assert null.mean() == pytest.approx(0.0, abs=0.005)
    assert np.quantile(null, 0.05) == pytest.approx(-0.70, abs=0.01)
    assert np.quantile(null, 0.0001) == pytest.approx(-1.8, abs=0.1)


def test_simulated_z2__is_wider_for_a_fat_tail() -> None:
    null = simulated_z2(250, 0.025, 300_000, generator(), Tail.STUDENT_T4)
    assert null.mean() == pytest.approx(0.0, abs=0.005)
    assert np.quantile(null, 0.05) == pytest.approx(-0.76, abs=0.01)
    assert np.quantile(null, 0.0001) == pytest.approx(-2.4, abs=0.2)


def test_simulated_z2__equals_z2_of_simulated_days() -> None:
    values = []
    for seed in range(1500):
        pnl, var, es = student_days(250, seed)
        values.append(acerbi_szekely(pnl, np.full(250, var), np.full(250, es), C975).statistic)
    null = simulated_z2(250, 0.025, 50_000, generator(), Tail.STUDENT_T4)
    assert stats.ks_2samp(values, null).pvalue > 0.01


@pytest.mark.parametrize(
    ("observations", "confidence", "applies"), [(250, "0.975", True), (250, "0.99", False), (500, "0.975", False)]
)
def test_acerbi_szekely__says_where_the_critical_values_apply(
    observations: int, confidence: str, applies: bool
) -> None:
    days = np.ones(observations)
    assert acerbi_szekely(days, days, days, Decimal(confidence)).critical_values_apply is applies


def test_acerbi_szekely__refuses_a_loss_against_an_es_of_zero() -> None:
    pnl, zero = np.array([1.0, -1.0]), np.zeros(2)
    assert acerbi_szekely(pnl, zero, zero, C975, generator()).statistic is None
    assert acerbi_szekely(pnl, zero, zero, C975).reason == (
        "a loss beyond VaR fell on a day whose Expected Shortfall forecast is zero"
    )
    assert acerbi_szekely(-np.minimum(pnl, 0), zero, zero, C975).statistic == 1.0
    assert acerbi_szekely(np.zeros(0), np.zeros(0), np.zeros(0), C975).reason == "there are no observations"


def test_residual_test__passes_exact_forecasts_and_rejects_an_understated_es() -> None:
    pnl, var, es = student_days(4000, 5)
    right = residual_test(pnl, np.full(4000, var), np.full(4000, es), generator())
    wrong = residual_test(pnl, np.full(4000, var), np.full(4000, var * 1.01), generator())
    assert not right.rejects()
    assert right.mean_residual == pytest.approx(0.0, abs=0.15)
    assert wrong.rejects(0.01)
    assert wrong.mean_residual is not None
    assert wrong.mean_residual > 0.3


def test_residual_test__is_one_sided() -> None:
    pnl, var, es = student_days(2000, 6)
    outcome = residual_test(pnl, np.full(2000, var), np.full(2000, 3 * es), generator())
    assert outcome.statistic is not None
    assert outcome.statistic < 0
    assert outcome.p_value is not None
    assert outcome.p_value > 0.95


def test_residual_test__counts_relative_to_es() -> None:
    pnl, var = np.array([-30.0, -18.0, 5.0]), np.full(3, 10.0)
    outcome = residual_test(pnl, var, np.array([20.0, 20.0, 20.0]), generator())
    assert outcome.mean_residual == pytest.approx((0.5 - 0.1) / 2)
    assert outcome.statistic == pytest.approx(0.2 / (np.std([0.5, -0.1], ddof=1) / 2**0.5))
    assert outcome.residuals == 2


def test_residual_test__cannot_reject_on_two_exceptions() -> None:
    outcome = residual_test(np.array([-90.0, -91.0]), np.ones(2), np.ones(2), generator())
    assert outcome.p_value is not None
    assert outcome.p_value > 0.15


@pytest.mark.parametrize(
    ("pnl", "es", "reason"),
    [
        ([1.0, 1.0], 5.0, "needs two exceptions, there are 0"),
        ([-9.0, 1.0], 5.0, "needs two exceptions, there are 1"),
        ([-9.0, -9.0], 5.0, "all residuals are equal"),
        ([-9.0, -8.0], 0.0, "forecast is zero"),
    ],
)
def test_residual_test__gives_a_reason_instead_of_a_number(pnl: list[float], es: float, reason: str) -> None:
    outcome = residual_test(np.array(pnl), np.zeros(2), np.full(2, es), generator())
    assert outcome.statistic is None
    assert outcome.p_value is None
    assert outcome.reason is not None
    assert reason in outcome.reason


def test_residual_test__repeats_itself_with_one_seed() -> None:
    pnl, var, es = student_days(1000, 7)
    first, second = (residual_test(pnl, np.full(1000, var), np.full(1000, es), generator(3)) for _ in range(2))
    assert first == second


def test_proxy_level__counts_exceptions_against_the_desk_limit() -> None:
    pnl = np.where(np.arange(260) % 20 == 0, -5.0, 1.0)
    pnl[259] = np.nan
    level = proxy_level(pnl, np.full(260, 4.0), Decimal("0.99"))
    assert (level.exceptions, level.observations) == (13, 259)
    assert level.desk is not None
    assert (level.desk.exceptions, level.desk.limit, level.desk.observations) == (12, 12, 250)
    assert level.coverage.rejects(0.001)


def test_proxy_level__is_defined_at_two_confidences_only() -> None:
    with pytest.raises(RiskInputError, match=r"defined at 0\.975 and 0\.99, not at 0\.95"):
        proxy_level(np.ones(3), np.ones(3), Decimal("0.95"))
