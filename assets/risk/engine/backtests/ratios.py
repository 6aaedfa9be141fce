"""The likelihood ratios of the coverage tests, over arrays of counts and in logarithms throughout."""

from __future__ import annotations

import numpy as np

from assets.risk.engine.backtests.special import Floats, Ints, divergence


def coverage_ratio(exceptions: Ints, observations: int, probability: float) -> Floats:
    """Kupiec's LRuc: the observed rate of exceptions against the promised one, over n days."""
    others = observations - exceptions
    expected = np.full(exceptions.shape, observations * probability)
    ratio = divergence(exceptions, expected) + divergence(others, observations - expected)
    return np.asarray(np.maximum(2 * ratio, 0.0), dtype=np.float64)


def independence_ratio(n00: Ints, n01: Ints, n10: Ints, n11: Ints) -> Floats:
    """Christoffersen's LRind: one rate after quiet days and another after exceptions, against one common rate.

    Over n - 1 pairs of days. Zero where a state never occurs before another day, as then there is one rate only.
    """
    logs = _count_logs(int((n00 + n01 + n10 + n11).max(initial=0)))
    separate = logs[n00] + logs[n01] - logs[n00 + n01] + logs[n10] + logs[n11] - logs[n10 + n11]
    common = logs[n01 + n11] + logs[n00 + n10] - logs[n00 + n01 + n10 + n11]
    return np.asarray(np.maximum(2 * (separate - common), 0.0), dtype=np.float64)


def first_failure_ratio(days: Ints, probability: float) -> Floats:
    """Kupiec's TUFF ratio for a first exception on each of these days, counted from 1."""
    waiting = days - 1
    ratio = divergence(1.0, days * probability) + divergence(waiting, days * (1 - probability))
    return np.asarray(np.maximum(2 * ratio, 0.0), dtype=np.float64)


def _count_logs(largest: int) -> Floats:
    """k log k for k = 0 ... largest, with 0 log 0 = 0."""
    return divergence(np.arange(largest + 1), 1.0)
