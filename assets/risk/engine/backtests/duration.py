"""Does the wait for the next exception depend on how long one has waited already?

Source: Christoffersen & Pelletier (2004), Backtesting Value-at-Risk: A Duration-Based Approach, Journal of Financial
Econometrics 2(1). Waits are Weibull with density a^b b d^(b-1) exp(-(a d)^b); b = 1 is the exponential without memory,
b < 1 means clusters, b > 1 exceptions that keep their distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.risk.engine.backtests.outcomes import SIMULATIONS, Outcome, simulated_p_value
from assets.risk.engine.backtests.special import Floats, Hits, Ints, chi_square_tail
from assets.risk.engine.backtests.weibull import Spells, fit_shapes, profile_likelihood, spells_of


@dataclass(frozen=True)
class DurationOutcome(Outcome):
    """The likelihood ratio against b = 1, with the fitted shape b."""

    shape: float | None = None


def duration_test(
    hits: Hits, generator: np.random.Generator | None = None, simulations: int = SIMULATIONS
) -> DurationOutcome:
    """LR of Weibull against exponential waits ~ chi-square(1).

    Waits are whole days, which the exponential only approximates, so that the chi-square rejects too often: 20% instead
    of 5% in ten years of 95% forecasts. With a generator `exact_p_value` is that of the Monte Carlo test among random
    orderings of as many exceptions, which is exact whatever their probability (Dufour 2006, Journal of Econometrics).
    """
    exceptions = int(np.count_nonzero(hits))
    if exceptions < 2:
        return DurationOutcome(reason=f"a wait between exceptions needs two of them, there are {exceptions}")
    observed = spells_of(np.flatnonzero(hits)[None, :] + 1, hits.size)
    if observed.degenerate[0]:
        return DurationOutcome(reason="all waits between exceptions are equally long, so that the fit has no optimum")
    shape = fit_shapes(observed)
    statistic = float(_ratios(observed, shape)[0])
    exact = None
    if generator is not None and simulations > 0:
        null = spells_of(random_days(hits.size, exceptions, simulations, generator), hits.size)
        # Orderings that have no statistic are left out, as the observed one is known to have one.
        null = null.chosen(~null.degenerate)
        exact = simulated_p_value(statistic, _ratios(null, fit_shapes(null)))
    return DurationOutcome(statistic, chi_square_tail(statistic, 1), exact, 1, shape=float(shape[0]))


def random_days(observations: int, exceptions: int, samples: int, generator: np.random.Generator) -> Ints:
    """Ascending days (samples, exceptions), counted from 1: each row a uniformly random subset of the days."""
    if 2 * exceptions > observations:
        quiet = random_days(observations, observations - exceptions, samples, generator) - 1
        exceptional = np.ones((samples, observations), dtype=np.bool_)
        exceptional[np.arange(samples)[:, None], quiet] = False
        return np.nonzero(exceptional)[1].reshape(samples, exceptions) + 1
    days = np.sort(generator.integers(1, observations + 1, size=(samples, exceptions), dtype=np.int32), axis=1)
    while True:
        # Days drawn twice are drawn anew; no day is favoured, so that each subset stays equally likely.
        rows, columns = np.nonzero(days[:, 1:] == days[:, :-1])
        if rows.size == 0:
            return days.astype(np.int64)
        days[rows, columns] = generator.integers(1, observations + 1, size=rows.size, dtype=np.int32)
        touched = np.unique(rows)
        days[touched] = np.sort(days[touched], axis=1)


def _ratios(spells: Spells, shapes: Floats) -> Floats:
    """Likelihood ratio of each series against b = 1."""
    ratio = 2 * (profile_likelihood(spells, shapes) - profile_likelihood(spells, np.ones(shapes.shape)))
    return np.maximum(ratio, 0.0)
