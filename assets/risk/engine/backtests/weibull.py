"""Weibull waits, fitted for many series at once.

The scale has a closed form given the shape b, a^b = completed / sum(d^b), and the score of what is left falls steadily
in b, so that there is one root and no local optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.risk.engine.backtests.special import Floats, Hits, Ints

_LOWEST_LOG_SHAPE, _HIGHEST_LOG_SHAPE = -12.0, 12.0
# The likelihood is flat at its top: this error in log b moves a ratio by less than 1e-12.
_PRECISION = 1e-8
_FLAT = 1e-6
_MOST_STEPS = 100


@dataclass(frozen=True)
class Spells:
    """Waits of several series with equally many exceptions: row i belongs to series i.

    `logs` are log days, first those that end in an exception, then the two that the ends of the sample cut off;
    `present` is 0 for the cut-off ones that a series lacks, as it begins or ends with an exception.
    """

    logs: Floats
    present: Floats
    completed: int

    def chosen(self, series: Hits) -> Spells:
        """Only these series."""
        return Spells(self.logs[series], self.present[series], self.completed)

    @property
    def degenerate(self) -> Hits:
        """Series whose completed waits are all equal and none longer: the likelihood grows without bound in b."""
        completed = self.logs[:, : self.completed]
        longest = np.max(self.logs, axis=1, where=self.present > 0, initial=0.0)
        return np.asarray(completed.min(axis=1) >= longest, dtype=np.bool_)


def spells_of(days: Ints, observations: int) -> Spells:
    """Waits between exceptions on `days` (series, exceptions), ascending and counted from 1; two exceptions at least.

    A first day without exception opens a wait whose beginning is unknown, a last one without leaves one without end.
    """
    first, last = days[:, :1], observations - days[:, -1:]
    ends = np.hstack([np.where(first > 1, first, 0), last])
    waits = np.hstack([np.diff(days, axis=1), ends])
    present = (waits > 0).astype(np.float64)
    return Spells(np.log(np.maximum(waits, 1.0)), present, days.shape[1] - 1)


def fit_shapes(spells: Spells) -> Floats:
    """The shape of highest likelihood of each series, none of them degenerate.

    Newton's method on log b, inside a bracket that shrinks.
    """
    excess, _ = _from_longest(spells)
    mean = excess[:, : spells.completed].mean(axis=1)
    low = np.full(mean.shape, _LOWEST_LOG_SHAPE)
    high = np.full(mean.shape, _HIGHEST_LOG_SHAPE)
    point = np.zeros(mean.shape)
    for _ in range(_MOST_STEPS):
        shape = np.exp(point)
        weights = np.exp(shape[:, None] * excess)
        weights *= spells.present
        total = weights.sum(axis=1)
        weights *= excess
        first = weights.sum(axis=1) / total
        second = np.einsum("ij,ij->i", weights, excess) / total
        score = 1 + shape * (mean - first)
        slope = score - 1 - shape**2 * (second - first**2)
        low, high = np.where(score > 0, point, low), np.where(score > 0, high, point)
        steep = slope < -_FLAT
        step = point - score / np.where(steep, slope, -1.0)
        following = np.where(steep & (step >= low) & (step <= high), step, (low + high) / 2)
        moved = float(np.abs(following - point).max(initial=0.0))
        point = following
        if moved < _PRECISION:
            break
    return np.exp(point)


def profile_likelihood(spells: Spells, shapes: Floats) -> Floats:
    """Log-likelihood of each series at this shape and the scale that is best for it."""
    excess, longest = _from_longest(spells)
    sums = (spells.present * np.exp(shapes[:, None] * excess)).sum(axis=1)
    waited = spells.logs[:, : spells.completed].sum(axis=1)
    log_scale = np.log(spells.completed) - np.log(sums) - shapes * longest
    return np.asarray(spells.completed * (log_scale + np.log(shapes) - 1) + (shapes - 1) * waited, dtype=np.float64)


def _from_longest(spells: Spells) -> tuple[Floats, Floats]:
    """Log waits less the longest of their series, so that no power overflows, and that longest one."""
    longest = np.max(spells.logs, axis=1, where=spells.present > 0, initial=0.0)
    return np.minimum(spells.logs - longest[:, None], 0.0), longest
