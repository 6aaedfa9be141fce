"""Is the Expected Shortfall large enough for the losses beyond Value at Risk?

Sources: McNeil & Frey (2000), Estimation of Tail-Related Risk Measures for Heteroscedastic Financial Time Series,
Journal of Empirical Finance 7; Acerbi & Szekely (2014), Back-Testing Expected Shortfall, Risk; MAR32 for the proxy.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import ArrayLike

from assets.risk.engine.backtests.coverage import unconditional_coverage
from assets.risk.engine.backtests.inputs import aligned
from assets.risk.engine.backtests.outcomes import SIGNIFICANCE, SIMULATIONS, Outcome, simulated_p_value
from assets.risk.engine.backtests.special import Floats
from assets.risk.engine.backtests.tails import Tail, simulated_z2
from assets.risk.engine.backtests.traffic_light import STANDARD_OBSERVATIONS, DeskCounter, desk_limit
from assets.risk.engine.backtests.transitions import exceptions_of
from assets.risk.engine.errors import RiskInputError

Z2_CRITICAL_5_PERCENT = -0.70
Z2_CRITICAL_1_IN_10000 = -1.8
_Z2_CONFIDENCE = Decimal("0.975")
_NO_SCALE = "a loss beyond VaR fell on a day whose Expected Shortfall forecast is zero"
PROXY_CONFIDENCES = (Decimal("0.975"), Decimal("0.99"))


@dataclass(frozen=True)
class ResidualOutcome(Outcome):
    """The studentised mean of the residuals, with the mean itself: 0.1 says that losses exceed ES by 10% of ES."""

    mean_residual: float | None = None
    residuals: int = 0


@dataclass(frozen=True)
class Z2Outcome:
    """Acerbi and Szekely's second statistic: 0 expected, negative where ES is understated or exceptions too many.

    The fixed critical values are the paper's for 250 days at 97.5%: 5% and 0.01% for normal P&L, and -0.76 and -2.4
    would be those for Student-t(4). Elsewhere they are a convention, which `critical_values_apply` says: at 99% in 250
    days -0.70 blames 13 to 15% of the right models. `p_value` is simulated for this length and confidence with exact
    forecasts, independent days without drift and P&L whose tail is that of `p_value_tail`: one assumption among
    others, never a property of the forecasts.
    """

    statistic: float | None
    critical_values_apply: bool
    p_value: float | None = None
    p_value_tail: Tail | None = None
    reason: str | None = None

    @property
    def below_5_percent(self) -> bool:
        """Below the critical value -0.70."""
        return self.statistic is not None and self.statistic < Z2_CRITICAL_5_PERCENT

    def rejects(self) -> bool:
        """Whether ES is found understated at 5%: by the paper's value where it applies, else by the simulation."""
        if self.critical_values_apply or self.p_value is None:
            return self.below_5_percent
        return self.p_value < SIGNIFICANCE

    @property
    def below_1_in_10000(self) -> bool:
        """Below the critical value -1.8."""
        return self.statistic is not None and self.statistic < Z2_CRITICAL_1_IN_10000


@dataclass(frozen=True)
class ProxyLevel:
    """Coverage of one Value at Risk of the proxy."""

    coverage: Outcome
    exceptions: int
    observations: int
    desk: DeskCounter | None


def residual_test(
    pnl: Floats, var: Floats, es: Floats, generator: np.random.Generator, samples: int = SIMULATIONS
) -> ResidualOutcome:
    """McNeil and Frey: on exception days (loss - ES) / ES has mean zero, against a mean above zero (ES too small).

    The scale is ES, as no volatility forecast is at hand. `p_value` is one-sided, from resampling the centred residuals
    and studentising each sample (Efron & Tibshirani 1993, 16.4).
    """
    hits = exceptions_of(pnl, var)
    count = int(np.count_nonzero(hits))
    if count < 2:
        return ResidualOutcome(
            reason=f"the spread of residuals needs two exceptions, there are {count}", residuals=count
        )
    if not (es[hits] > 0).all():
        return ResidualOutcome(reason=_NO_SCALE, residuals=count)
    residuals = (-pnl[hits] - es[hits]) / es[hits]
    mean, spread = float(residuals.mean()), float(residuals.std(ddof=1))
    if spread <= 1e-12 * max(float(np.abs(residuals).max()), 1.0):
        return ResidualOutcome(reason="all residuals are equal", mean_residual=mean, residuals=count)
    statistic = mean / (spread / count**0.5)
    drawn = (residuals - mean)[generator.integers(count, size=(samples, count))]
    return ResidualOutcome(
        statistic, simulated_p_value(statistic, _studentised_means(drawn)), mean_residual=mean, residuals=count
    )


def acerbi_szekely(
    pnl: Floats,
    var: Floats,
    es: Floats,
    confidence: Decimal,
    generator: np.random.Generator | None = None,
    simulations: int = SIMULATIONS,
    tail: Tail = Tail.STUDENT_T4,
) -> Z2Outcome:
    """Z2 = sum(P&L_t I_t / (n (1 - confidence) ES_t)) + 1 with I_t = 1 on exception days."""
    observations = pnl.size
    applies = observations == STANDARD_OBSERVATIONS and confidence == _Z2_CONFIDENCE
    if observations == 0:
        return Z2Outcome(None, applies, reason="there are no observations")
    hits = exceptions_of(pnl, var)
    if not (es[hits] > 0).all():
        return Z2Outcome(None, applies, reason=_NO_SCALE)
    probability = float(1 - confidence)
    statistic = float((pnl[hits] / es[hits]).sum()) / (observations * probability) + 1
    if generator is None or simulations < 1:
        return Z2Outcome(statistic, applies)
    null = simulated_z2(observations, probability, simulations, generator, tail)
    return Z2Outcome(statistic, applies, simulated_p_value(-statistic, -null), tail)


def proxy_level(pnl: ArrayLike, var: ArrayLike, confidence: Decimal) -> ProxyLevel:
    """How supervisors judge an ES at 97.5%: by the exceptions of VaR at 97.5% and at 99%, as ES itself is hard to test.

    Arrays as for `run_backtest`; days without P&L or forecast are left out.
    """
    if confidence not in PROXY_CONFIDENCES:
        raise RiskInputError(
            f"the proxy is defined at {' and '.join(map(str, PROXY_CONFIDENCES))}, not at {confidence}"
        )
    series = aligned(pnl, var, None, var_name=f"var_{str(confidence).removeprefix('0.')}")
    exceptions = int(np.count_nonzero(exceptions_of(series.pnl, series.var)))
    coverage = unconditional_coverage(exceptions, series.pnl.size, float(1 - confidence))
    return ProxyLevel(coverage, exceptions, series.pnl.size, desk_counter(series.pnl, series.var, confidence))


def desk_counter(pnl: Floats, var: Floats, confidence: Decimal) -> DeskCounter | None:
    """Exceptions in the last 250 observations; None where no limit is defined for that confidence."""
    limit = desk_limit(confidence)
    if limit is None:
        return None
    recent = exceptions_of(pnl[-STANDARD_OBSERVATIONS:], var[-STANDARD_OBSERVATIONS:])
    return DeskCounter(confidence, int(np.count_nonzero(recent)), limit, int(recent.size))


def _studentised_means(samples: Floats) -> Floats:
    """Mean over standard error of each row; infinite, with the sign of the mean, where a row repeats one value."""
    means = samples.mean(axis=1)
    errors = samples.std(axis=1, ddof=1) / samples.shape[1] ** 0.5
    flat = errors <= 1e-12 * np.maximum(np.abs(means), 1e-300)
    without_spread = np.where(means == 0, 0.0, np.copysign(np.inf, means))
    return np.asarray(np.where(flat, without_spread, means / np.where(flat, 1.0, errors)), dtype=np.float64)
