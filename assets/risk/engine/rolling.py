"""One-day forecasts for each day of a history, as they would have been made then: what a new model is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from assets.risk.engine import estimators
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.estimators import Floats, Tail
from assets.risk.engine.methods import Method

# Windows that are in memory at once: 500 of 500 returns of 20 assets are 40 MB.
CHUNK = 500

METHODS = (
    Method.HISTORICAL,
    Method.AGE_WEIGHTED,
    Method.VOLATILITY_SCALED,
    Method.DELTA_NORMAL,
    Method.EWMA_DELTA_NORMAL,
)


def rolling_forecasts(
    returns: Floats, exposures: Floats, window: int, method: Method, confidences: Sequence[Decimal]
) -> list[Tail]:
    """VaR and ES for each day from the one after the first window on, from the `window` returns before it.

    `returns` has shape (days, assets), `exposures` (assets,) in USD, held still; the results have days - window
    entries, and none looks at its own day. A forecast is NaN where a return of its window is. Bounds that would take a
    bootstrap are not computed. Raises `RiskInputError` for a history no longer than the window, and for the copula,
    which would have to be fitted each day.
    """
    if method not in METHODS:
        raise RiskInputError(f"{method} is not backtested over history: it would have to be fitted for each day")
    held = exposures != 0
    returns, exposures = returns[:, held], exposures[held]
    days = len(returns) - window
    if days < 1:
        raise RiskInputError(f"a history of {len(returns)} returns leaves no day after a window of {window}")
    if method is Method.VOLATILITY_SCALED:
        windows = sliding_window_view(returns, window, axis=0)[:-1]
        chunks = [_scaled(windows[start : start + CHUNK], exposures) for start in range(0, days, CHUNK)]
    else:
        pnl = sliding_window_view(returns @ exposures, window)[:-1]
        chunks = [pnl[start : start + CHUNK] for start in range(0, days, CHUNK)]
    parts = [_estimate(method, chunk, confidences) for chunk in chunks]
    return [
        Tail(
            confidence,
            *(
                np.concatenate([getattr(part[place], name) for part in parts])
                for name in ("var", "es", "var_lower", "var_upper", "es_lower", "es_upper")
            ),
        )
        for place, confidence in enumerate(confidences)
    ]


def _scaled(windows: Floats, exposures: Floats) -> Floats:
    """P&L of windows of shape (windows, assets, days), each asset scaled to its volatility at the window's end."""
    count, assets, days = windows.shape
    columns = windows.transpose(2, 0, 1).reshape(days, count * assets)
    scaled = estimators.volatility_scaled_returns(columns).reshape(days, count, assets)
    return np.asarray((scaled @ exposures).T)


def _estimate(method: Method, pnl: Floats, confidences: Sequence[Decimal]) -> list[Tail]:
    is_known = np.asarray(np.isfinite(pnl).all(axis=1))
    filled = np.where(is_known[:, None], pnl, 0.0)
    match method:
        case Method.AGE_WEIGHTED:
            found = estimators.age_weighted(filled, confidences)
        case Method.DELTA_NORMAL:
            found = estimators.delta_normal(filled, confidences)
        case Method.EWMA_DELTA_NORMAL:
            found = estimators.ewma_delta_normal(filled, confidences)
        case _:
            found = estimators.historical(filled, confidences)
    for tail in found:
        for values in (tail.var, tail.es, tail.var_lower, tail.var_upper, tail.es_lower, tail.es_upper):
            values[~is_known] = np.nan
    return found
