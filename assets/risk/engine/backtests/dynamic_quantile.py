"""Can today's exception be predicted from yesterday's exceptions or from the forecast itself?

Source: Engle & Manganelli (2004), CAViaR: Conditional Autoregressive Value at Risk by Regression Quantiles, Journal of
Business & Economic Statistics 22(4), out-of-sample version.
"""

from __future__ import annotations

import numpy as np

from assets.risk.engine.backtests.outcomes import Outcome
from assets.risk.engine.backtests.special import Floats, Hits, chi_square_tail

LAGS = 4
_RANK_TOLERANCE = 1e-9


def dynamic_quantile(hits: Hits, var: Floats, probability: float, lags: int = LAGS) -> Outcome:
    """Regress hit - p on a constant, its own lags and the forecast; the explained sum of squares over p(1 - p).

    ~ chi-square(rank of the design), which is lags + 2 unless regressors repeat one another, such as a VaR that never
    moves. Rows are the n - lags days whose lags are known.
    """
    rows = hits.size - lags
    columns = lags + 2
    if rows <= columns:
        return Outcome(reason=f"the regression has {columns} coefficients and needs more than {columns + lags} days")
    if not hits.any():
        return Outcome(reason="there is no exception, so that nothing can be regressed on lagged ones")
    centred = hits - probability
    past = [centred[lags - lag : hits.size - lag] for lag in range(1, lags + 1)]
    design = np.column_stack([np.ones(rows), *past, _standardised(var[lags:])])
    target = centred[lags:]
    coefficients, _, rank, _ = np.linalg.lstsq(design, target, rcond=_RANK_TOLERANCE)
    fitted = design @ coefficients
    statistic = float(fitted @ fitted) / (probability * (1 - probability))
    return Outcome(statistic, chi_square_tail(statistic, int(rank)), degrees_of_freedom=int(rank))


def _standardised(values: Floats) -> Floats:
    """Zero mean and unit deviation, so that the rank does not depend on the unit; zeros for a constant."""
    centred = values - values.mean()
    deviation = float(centred.std())
    if deviation <= _RANK_TOLERANCE * float(np.abs(values).max()):
        return np.zeros_like(values)
    return np.asarray(centred / deviation, dtype=np.float64)
