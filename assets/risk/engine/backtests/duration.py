"""Does the wait for the next exception depend on how long one has waited already?

Source: Christoffersen & Pelletier (2004), Backtesting Value-at-Risk: A Duration-Based Approach, Journal of Financial
Econometrics 2(1). Waits are Weibull with density a^b b d^(b-1) exp(-(a d)^b); b = 1 is the exponential without memory,
b < 1 means clusters, b > 1 exceptions that keep their distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from assets.risk.engine.backtests.outcomes import Outcome
from assets.risk.engine.backtests.special import Floats, Hits, chi_square_tail

_LOWEST_SHAPE, _HIGHEST_SHAPE = 1e-4, 1e4
_HALVINGS = 80


@dataclass(frozen=True)
class DurationOutcome(Outcome):
    """The likelihood ratio against b = 1, with the fitted shape b."""

    shape: float | None = None


@dataclass(frozen=True)
class Spells:
    """Waits in days: `completed` end in an exception, `censored` are those cut off by an end of the sample."""

    completed: Floats
    censored: Floats


def spells_of(hits: Hits) -> Spells:
    """Split a series with at least one exception into waits.

    A first day that is no exception opens a wait whose beginning is unknown, a last day that is none one whose end is.
    """
    days = np.flatnonzero(hits) + 1
    before = [] if hits[0] else [float(days[0])]
    after = [] if hits[-1] else [float(hits.size - days[-1])]
    return Spells(np.diff(days).astype(np.float64), np.array(before + after, dtype=np.float64))


def duration_test(hits: Hits) -> DurationOutcome:
    """LR of Weibull against exponential waits ~ chi-square(1)."""
    exceptions = int(np.count_nonzero(hits))
    if exceptions < 2:
        return DurationOutcome(reason=f"a wait between exceptions needs two of them, there are {exceptions}")
    spells = spells_of(hits)
    everything = np.concatenate([spells.completed, spells.censored])
    if spells.completed.min() == everything.max():
        return DurationOutcome(reason="all waits between exceptions are equally long, so that the fit has no optimum")
    shape = fit_shape(spells)
    statistic = max(2 * (profile_likelihood(spells, shape) - profile_likelihood(spells, 1.0)), 0.0)
    return DurationOutcome(statistic, chi_square_tail(statistic, 1), degrees_of_freedom=1, shape=shape)


def profile_likelihood(spells: Spells, shape: float) -> float:
    """Log-likelihood at this shape and the scale that is best for it: a^b = completed spells / sum(d^b)."""
    logs = np.log(np.concatenate([spells.completed, spells.censored]))
    longest = float(logs.max())
    completed = spells.completed.size
    log_sum = shape * longest + math.log(float(np.exp(shape * (logs - longest)).sum()))
    waited = float(np.log(spells.completed).sum())
    return completed * (math.log(completed) - log_sum + math.log(shape) - 1) + (shape - 1) * waited


def fit_shape(spells: Spells) -> float:
    """The shape of highest likelihood, by bisection: the score falls steadily, so there is one root and no local one."""
    logs = np.log(np.concatenate([spells.completed, spells.censored]))
    excess = logs - logs.max()
    mean_completed = float(np.log(spells.completed).mean() - logs.max())

    def score(shape: float) -> float:
        weights = np.exp(shape * excess)
        return 1 / shape + mean_completed - float(weights @ excess) / float(weights.sum())

    low, high = math.log(_LOWEST_SHAPE), math.log(_HIGHEST_SHAPE)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if score(math.exp(middle)) > 0 else (low, middle)
        if high - low < 1e-12:
            break
    return math.exp((low + high) / 2)
