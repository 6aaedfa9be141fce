"""Check forecasts against P&L before anything is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from assets.risk.engine.backtests.special import Floats, Hits
from assets.risk.engine.errors import RiskInputError

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Series:
    """P&L and forecasts of the days that have both, oldest first, in USD; `es` is NaN on days without ES forecast."""

    pnl: Floats
    var: Floats
    es: Floats
    missing: int

    @property
    def has_es(self) -> Hits:
        """Days with an ES forecast."""
        return np.asarray(~np.isnan(self.es), dtype=np.bool_)


def aligned(pnl: ArrayLike, var: ArrayLike, es: ArrayLike | None, var_name: str = "var") -> Series:
    """Drop each day without P&L or VaR, and refuse what cannot be a forecast.

    Days around a dropped one count as neighbours. Raises `RiskInputError` for arrays of other shapes or lengths,
    infinite values, negative forecasts (losses are positive here) and an ES below its VaR.
    """
    gains, forecasts = _numbers("pnl", pnl), _numbers(var_name, var)
    shortfalls = np.full(gains.shape, np.nan) if es is None else _numbers("es", es)
    _same_length(var_name, forecasts, gains)
    _same_length("es", shortfalls, gains)
    _refuse_negative(var_name, forecasts)
    _refuse_negative("es", shortfalls)
    below = shortfalls < forecasts * (1 - _ROUNDING)
    if below.any():
        row = int(np.argmax(below))
        raise RiskInputError(f"es is {shortfalls[row]:g} at row {row}, below its var of {forecasts[row]:g}")
    known = ~(np.isnan(gains) | np.isnan(forecasts))
    missing = int(np.count_nonzero(~known))
    return Series(gains[known], forecasts[known], shortfalls[known], missing)


def _numbers(name: str, values: ArrayLike) -> Floats:
    """`values` as a vector of floats, where NaN means unknown."""
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RiskInputError(f"{name} holds something that is not a number: {error}") from error
    if vector.ndim != 1:
        raise RiskInputError(f"{name} has {vector.ndim} dimensions; a backtest takes one series")
    infinite = np.isinf(vector)
    if infinite.any():
        raise RiskInputError(f"{name} is infinite at row {int(np.argmax(infinite))}")
    return vector


def _same_length(name: str, values: Floats, pnl: Floats) -> None:
    """Refuse a forecast series that is not as long as the P&L."""
    if values.size != pnl.size:
        raise RiskInputError(f"{name} has {values.size} rows and pnl {pnl.size}; they must be the same days")


def _refuse_negative(name: str, values: Floats) -> None:
    """Refuse forecasts below zero, which come from the opposite sign convention."""
    negative = values < 0
    if negative.any():
        row = int(np.argmax(negative))
        raise RiskInputError(
            f"{name} is {values[row]:g} at row {row}; losses are positive, so a forecast is never negative"
        )
