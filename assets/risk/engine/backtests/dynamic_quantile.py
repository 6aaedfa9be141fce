"""Can today's exception be predicted from yesterday's exceptions or from the forecast itself?

Source: Engle & Manganelli (2004), CAViaR: Conditional Autoregressive Value at Risk by Regression Quantiles, Journal of
Business & Economic Statistics 22(4), out-of-sample version.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.risk.engine.backtests.outcomes import SIMULATIONS, Outcome, simulated_p_value
from assets.risk.engine.backtests.special import Floats, Hits, Ints, chi_square_tail

LAGS = 4
_RANK_TOLERANCE = 1e-9


def dynamic_quantile(
    hits: Hits,
    var: Floats,
    probability: float,
    generator: np.random.Generator | None = None,
    simulations: int = SIMULATIONS,
) -> Outcome:
    """Regress hit - p on a constant, its four lags and the forecast; the explained sum of squares over p(1 - p).

    ~ chi-square(rank of the design), which is 6 unless regressors repeat one another, such as a VaR that never moves.
    Rows are the n - 4 days whose lags are known. The chi-square rejects too often where exceptions are few: 17% instead
    of 5% in 500 days of 99% forecasts. With a generator `exact_p_value` is that of the Monte Carlo test with the
    forecasts as they are and independent exceptions of probability p.
    """
    rows = hits.size - LAGS
    if rows <= LAGS + 2:
        return Outcome(reason=f"a regression with {LAGS + 2} coefficients needs more than {2 * LAGS + 2} days")
    if not hits.any():
        return Outcome(reason="there is no exception, so that nothing can be regressed on lagged ones")
    centred = hits - probability
    past = [centred[LAGS - lag : hits.size - lag] for lag in range(1, LAGS + 1)]
    forecast = _standardised(var[LAGS:])
    design = np.column_stack([np.ones(rows), *past, forecast])
    explained, ranks = _explained((design.T @ design)[None], (design.T @ centred[LAGS:])[None])
    statistic, rank = float(explained[0]) / (probability * (1 - probability)), int(ranks[0])
    exact = None
    if generator is not None and simulations > 0:
        series = random_series(hits.size, probability, simulations, generator)
        exact = simulated_p_value(statistic, statistics_of(series, forecast, probability))
    return Outcome(statistic, chi_square_tail(statistic, rank), exact, rank)


@dataclass(frozen=True)
class SparseSeries:
    """Exceptions of several series of equal length: exception i lies on day `day[i]`, from 0, of series `series[i]`.

    In ascending order of series, then day.
    """

    series: Ints
    day: Ints
    count: int
    observations: int


def random_series(observations: int, probability: float, count: int, generator: np.random.Generator) -> SparseSeries:
    """Independent exceptions: geometric gaps through one long series that is cut into `count` pieces."""
    total = observations * count
    expected = total * probability
    # Twelve deviations more than expected, so that the gaps always reach the end.
    gaps = generator.geometric(probability, size=int(expected + 12 * np.sqrt(expected) + 12))
    positions = np.cumsum(gaps) - 1
    positions = positions[positions < total]
    return SparseSeries(positions // observations, positions % observations, count, observations)


def statistics_of(sparse: SparseSeries, forecast: Floats, probability: float) -> Floats:
    """The statistic of each series, from the few products that its exceptions leave in the normal equations.

    `forecast` has mean zero over the rows. Lags enter as 0 and 1 instead of less p, which spans the same space.
    """
    rows = sparse.observations - LAGS
    in_rows = np.concatenate([np.zeros(LAGS), np.ones(rows), np.zeros(LAGS)])
    padded = np.concatenate([np.zeros(LAGS), forecast, np.zeros(LAGS)])
    # moments[:, i, j] for hits today (0), at the four lags (1-4), the constant (5) and the forecast (6).
    moments = np.zeros((sparse.count, LAGS + 3, LAGS + 3))
    for lag in range(LAGS + 1):
        moments[:, lag, lag] = _sums(sparse, sparse.series, in_rows[sparse.day + lag])
        moments[:, lag, LAGS + 1] = moments[:, lag, lag]
        moments[:, lag, LAGS + 2] = _sums(sparse, sparse.series, padded[sparse.day + lag])
    for distance in range(1, LAGS + 1):
        series, day = _pairs(sparse, distance)
        for lag in range(LAGS + 1 - distance):
            moments[:, lag, lag + distance] = _sums(sparse, series, in_rows[day + lag])
    moments[:, LAGS + 1, LAGS + 1] = rows
    moments[:, LAGS + 2, LAGS + 2] = forecast @ forecast
    upper = np.triu(moments, 1)
    moments = moments + upper.transpose(0, 2, 1)
    target = moments[:, 0, 1:] - probability * moments[:, LAGS + 1, 1:]
    explained, _ = _explained(moments[:, 1:, 1:], target)
    return explained / (probability * (1 - probability))


def _pairs(sparse: SparseSeries, distance: int) -> tuple[Ints, Ints]:
    """Series and day of each exception that another one precedes by exactly that many days."""
    day, series = sparse.day, sparse.series
    later = [
        np.flatnonzero((day[step:] - day[:-step] == distance) & (series[step:] == series[:-step])) + step
        for step in range(1, distance + 1)
    ]
    index = np.concatenate(later)
    return series[index], day[index]


def _sums(sparse: SparseSeries, series: Ints, values: Floats) -> Floats:
    """Sum of the values of each series."""
    return np.asarray(np.bincount(series, weights=values, minlength=sparse.count), dtype=np.float64)


def _explained(gram: Floats, target: Floats) -> tuple[Floats, Ints]:
    """Explained sum of squares t' G^+ t of regressions with these normal equations, and their ranks."""
    scale = np.sqrt(np.einsum("ijj->ij", gram))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(gram / (scale[:, :, None] * scale[:, None, :]))
    projected = np.einsum("ijk,ij->ik", vectors, target / scale)
    known = values > _RANK_TOLERANCE * values[:, -1:]
    parts = np.where(known, projected**2 / np.where(known, values, 1.0), 0.0)
    return np.asarray(parts.sum(axis=1), dtype=np.float64), np.count_nonzero(known, axis=1)


def _standardised(values: Floats) -> Floats:
    """Zero mean and unit deviation, so that the rank does not depend on the unit; zeros for a constant."""
    centred = values - values.mean()
    deviation = float(centred.std())
    if deviation <= _RANK_TOLERANCE * float(np.abs(values).max()):
        return np.zeros_like(values)
    return np.asarray(centred / deviation, dtype=np.float64)
