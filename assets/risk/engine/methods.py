"""The methods by name, and how each takes a horizon of more than a day."""

from __future__ import annotations

from enum import StrEnum

STANDARD_WINDOWS = (250, 500, 1000)
STANDARD_WINDOW = 500
STANDARD_HORIZONS = (1, 10)
# A covariance of fewer days says nothing; below that not even the fallback gives a figure.
FALLBACK_MIN_OBSERVATIONS = 60


class Method(StrEnum):
    """How Value at Risk is estimated."""

    HISTORICAL = "historical_simulation"
    AGE_WEIGHTED = "age_weighted"
    VOLATILITY_SCALED = "volatility_scaled"
    DELTA_NORMAL = "delta_normal"
    EWMA_DELTA_NORMAL = "ewma_delta_normal"
    T_COPULA = "student_t_copula"


class HorizonRule(StrEnum):
    """What a figure for more than a day rests on."""

    ONE_DAY = "one_day"
    OVERLAPPING = "overlapping_returns"
    SQUARE_ROOT = "square_root_of_time"


class IntervalMethod(StrEnum):
    """What the interval of a figure rests on."""

    ORDER_STATISTICS = "order_statistics"
    BOOTSTRAP = "bootstrap"
    CHI_SQUARE = "chi_square"
    # Of the simulated paths: it leaves out how far the fitted model may be off.
    SIMULATION = "simulation"


# Stands in where historical simulation has no figure: it needs fewer returns and follows what happened last.
FALLBACK = Method.EWMA_DELTA_NORMAL

ESTIMATORS = {
    Method.HISTORICAL: "kth_worst_loss",
    Method.AGE_WEIGHTED: "weighted_worst_losses",
    Method.VOLATILITY_SCALED: "kth_worst_loss",
    Method.DELTA_NORMAL: "normal_closed_form",
    Method.EWMA_DELTA_NORMAL: "normal_closed_form",
    Method.T_COPULA: "kth_worst_loss",
}
_OVERLAPPING = (Method.HISTORICAL, Method.AGE_WEIGHTED)
NORMAL = (Method.DELTA_NORMAL, Method.EWMA_DELTA_NORMAL)


def horizon_rule(method: Method, horizon_days: int) -> HorizonRule:
    """Historical and age-weighted simulation take overlapping returns; the others scale one day by the square root.

    Volatility scaled from overlapping returns would chase its own overlap, and the normal model is defined by it.
    """
    if horizon_days == 1:
        return HorizonRule.ONE_DAY
    return HorizonRule.OVERLAPPING if method in _OVERLAPPING else HorizonRule.SQUARE_ROOT
