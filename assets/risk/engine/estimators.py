"""Value at Risk and Expected Shortfall from scenario P&L, for many portfolios at once.

P&L arrays have shape (portfolios, scenarios), USD, oldest scenario first; a row of NaN gives NaN. Each function returns
one `Tail` a confidence. Scenarios of equal loss are ordered by age, the older first, as in the SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.levels import INTERVAL_CONFIDENCE, checked_confidence, tail_count, tail_ranks

Floats = NDArray[np.float64]

EWMA_DECAY = 0.94
AGE_DECAY = 0.98


@dataclass(frozen=True)
class Tail:
    """Estimates at one confidence, one entry a portfolio, in USD; losses are positive.

    NaN where there is none; the bounds are those of the interval of VaR and of ES.
    """

    confidence: Decimal
    var: Floats
    es: Floats
    var_lower: Floats
    var_upper: Floats
    es_lower: Floats
    es_upper: Floats


def historical(pnl: Floats, confidences: Sequence[Decimal]) -> list[Tail]:
    """The k-th worst loss and the mean of the k worst, k = ceil(n * (1 - confidence)).

    The interval of VaR is that of `levels.tail_ranks`; that of ES takes a bootstrap.
    """
    portfolios, observations = _shape(pnl)
    ranks = [tail_ranks(observations, confidence) for confidence in confidences]
    worst = worst_losses(pnl, max((each.deepest for each in ranks), default=1))
    unknown = np.full(portfolios, np.nan)
    return [
        Tail(
            confidence,
            var=worst[:, each.tail - 1],
            # The mean of losses that are all alike may miss them by a rounding error.
            es=np.maximum(worst[:, : each.tail].mean(axis=1), worst[:, each.tail - 1]),
            var_lower=worst[:, each.lower - 1] if each.lower else unknown,
            var_upper=worst[:, each.upper - 1] if each.upper else unknown,
            es_lower=unknown,
            es_upper=unknown,
        )
        for confidence, each in zip(confidences, ranks, strict=True)
    ]


def worst_losses(pnl: Floats, count: int) -> Floats:
    """The `count` worst losses of each portfolio, from the worst on; shape (portfolios, count)."""
    if count < pnl.shape[1]:
        pnl = np.partition(pnl, count - 1, axis=1)[:, :count]
    return -np.sort(pnl, axis=1)


def age_weights(observations: int, decay: float = AGE_DECAY) -> Floats:
    """w_i = decay^(n-i) (1 - decay) / (1 - decay^n), i = 1 the oldest; they sum to one (Boudoukh et al. 1998)."""
    if not 0 < decay < 1:
        raise RiskInputError(f"decay {decay} must lie between 0 and 1, both excluded")
    weights = decay ** np.arange(observations - 1, -1, -1, dtype=np.float64)
    return np.asarray(weights * (1 - decay) / (1 - decay**observations))


def age_weighted(pnl: Floats, confidences: Sequence[Decimal], decay: float = AGE_DECAY) -> list[Tail]:
    """VaR is the first loss, from the worst on, at which the weights reach 1 - confidence; ES their weighted mean.

    Boudoukh, Richardson and Whitelaw, The best of both worlds, Risk 11 (1998). With equal weights it is `historical`.
    """
    portfolios, observations = _shape(pnl)
    weights = age_weights(observations, decay)
    order = np.argsort(pnl, axis=1, kind="stable")
    losses = -np.take_along_axis(pnl, order, axis=1)
    return _weighted(losses, weights[order], confidences, np.full(portfolios, np.nan))


def _weighted(losses: Floats, weights: Floats, confidences: Sequence[Decimal], unknown: Floats) -> list[Tail]:
    reached = np.cumsum(weights, axis=1)
    weighted = np.cumsum(weights * losses, axis=1)
    tails = []
    for confidence in confidences:
        share = float(1 - checked_confidence(confidence))
        # Less a rounding error, so that five weights of a fifth of a percent reach one percent.
        last = np.argmax(reached >= share * (1 - 1e-12), axis=1)[:, None]
        var = np.take_along_axis(losses, last, axis=1)[:, 0]
        es = (np.take_along_axis(weighted, last, axis=1) / np.take_along_axis(reached, last, axis=1))[:, 0]
        # The mean of losses that are all alike may miss them by a rounding error.
        tails.append(Tail(confidence, var, np.maximum(es, var), unknown, unknown, unknown, unknown))
    return tails


def ewma_variances(returns: Floats, decay: float = EWMA_DECAY) -> Floats:
    """Variance forecasts of each column, shape (observations + 1, columns): row i is made before return i is known.

    s_0 is the population variance, s_(i+1) = decay * s_i + (1 - decay) * r_i^2; the last row is the forecast for the
    day after (RiskMetrics 1996; seeded with the population variance).
    """
    observations = returns.shape[0]
    variances = np.empty((observations + 1, *returns.shape[1:]))
    variances[0] = returns.var(axis=0)
    for day in range(observations):
        variances[day + 1] = decay * variances[day] + (1 - decay) * returns[day] ** 2
    return variances


def volatility_scaled_returns(returns: Floats, decay: float = EWMA_DECAY) -> Floats:
    """return_i * sigma_now / sigma_i for each column (Hull and White, Journal of Risk 1, 1998).

    A column that never moved stays as it is, at zero.
    """
    variances = ewma_variances(returns, decay)
    past = np.where(variances[:-1] > 0, variances[:-1], 1.0)
    return np.asarray(returns * np.sqrt(variances[-1] / past))


def delta_normal(pnl: Floats, confidences: Sequence[Decimal]) -> list[Tail]:
    """Normal P&L with zero mean and the population variance of the scenarios' P&L.

    That variance is e'Ve of exposures e and the population covariance V of returns. The interval of sigma is that of
    a normal sample, n s^2 / chi2(n - 1).
    """
    _portfolios, observations = _shape(pnl)
    return _normal(pnl.std(axis=1), confidences, observations)


def ewma_delta_normal(pnl: Floats, confidences: Sequence[Decimal], decay: float = EWMA_DECAY) -> list[Tail]:
    """Normal P&L with zero mean and the EWMA of raw second moments, seeded with the population variance.

    The EWMA of P&L squares is e'Ve of the EWMA covariance V of returns. The interval takes the (1 + decay) /
    (1 - decay) observations that such weights are worth, at most as many as there are.
    """
    _portfolios, observations = _shape(pnl)
    sigma = np.sqrt(ewma_variances(pnl.T, decay)[-1])
    worth = min(observations, round((1 + decay) / (1 - decay)))
    return _normal(sigma, confidences, worth)


def _normal(sigma: Floats, confidences: Sequence[Decimal], observations: int) -> list[Tail]:
    half = float(1 - INTERVAL_CONFIDENCE) / 2
    low = high = float("nan")
    if observations > 1:
        low = float(np.sqrt(observations / chi2.isf(half, observations - 1)))
        high = float(np.sqrt(observations / chi2.isf(1 - half, observations - 1)))
    tails = []
    for confidence in confidences:
        z = float(norm.ppf(float(checked_confidence(confidence))))
        var, es = sigma * z, sigma * float(norm.pdf(z)) / float(1 - confidence)
        tails.append(Tail(confidence, var, es, var * low, var * high, es * low, es * high))
    return tails


def scaled_by_root_of_time(tails: Sequence[Tail], horizon_days: int) -> list[Tail]:
    """One-day estimates times the square root of the horizon: right for returns that are independent, else a rule."""
    factor = float(np.sqrt(horizon_days))
    return [
        Tail(
            tail.confidence,
            *(
                values * factor
                for values in (tail.var, tail.es, tail.var_lower, tail.var_upper, tail.es_lower, tail.es_upper)
            ),
        )
        for tail in tails
    ]


def bootstrap_intervals(
    pnl: Floats,
    confidences: Sequence[Decimal],
    draws: NDArray[np.int64],
    weights: Floats | None = None,
) -> list[tuple[Floats, Floats, Floats, Floats]]:
    """Percentile intervals (VaR lower, upper, ES lower, upper) for each confidence.

    `draws` has shape (replicates, observations): how often each scenario was drawn (`bootstrap.stationary_draws`). With
    `weights` (one a scenario) a replicate is age-weighted, else it is `historical`.
    """
    portfolios, observations = _shape(pnl)
    order = np.argsort(pnl, axis=1, kind="stable")
    losses = -np.take_along_axis(pnl, order, axis=1)
    found = np.empty((len(confidences), 2, len(draws), portfolios))
    unknown = np.full(portfolios, np.nan)
    # Deep enough for nearly every replicate, which draws about as many of the worst as there are.
    deep = min(observations, 2 * max(tail_count(observations, each) for each in confidences) + 40)
    for replicate, counts in enumerate(draws):
        if weights is not None:
            drawn = counts * weights
            tails = _weighted(losses, (drawn / drawn.sum())[order], confidences, unknown)
            for number, tail in enumerate(tails):
                found[number, 0, replicate], found[number, 1, replicate] = tail.var, tail.es
        elif not _count_tails(
            losses[:, :deep], counts[order[:, :deep]], observations, confidences, found[:, :, replicate]
        ):
            _count_tails(losses, counts[order], observations, confidences, found[:, :, replicate])
    half = 100 * float(1 - INTERVAL_CONFIDENCE) / 2
    bounds = np.percentile(found, [half, 100 - half], axis=2)
    return [(bounds[0, n, 0], bounds[1, n, 0], bounds[0, n, 1], bounds[1, n, 1]) for n in range(len(confidences))]


def _count_tails(
    losses: Floats, counts: NDArray[np.int64], observations: int, confidences: Sequence[Decimal], found: Floats
) -> bool:
    """Write VaR and ES of one replicate into `found`; False where the losses do not reach the end of a tail."""
    reached = np.cumsum(counts, axis=1)
    for number, confidence in enumerate(confidences):
        tail = tail_count(observations, confidence)
        if reached[:, -1].min(initial=tail) < tail:
            return False
        used = np.diff(np.minimum(reached, tail), axis=1, prepend=0)
        last = np.argmax(reached >= tail, axis=1)[:, None]
        found[number, 0] = np.take_along_axis(losses, last, axis=1)[:, 0]
        found[number, 1] = (used * losses).sum(axis=1) / tail
    return True


def _shape(pnl: Floats) -> tuple[int, int]:
    if pnl.ndim != 2:
        raise RiskInputError(f"P&L has {pnl.ndim} dimensions where portfolios x scenarios are expected")
    if pnl.shape[1] < 1:
        raise RiskInputError("an estimate needs at least one scenario")
    return pnl.shape[0], pnl.shape[1]
