"""Monte Carlo with a Student-t copula and Student-t margins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize_scalar

from assets.risk.engine.errors import RiskInputError

Floats = NDArray[np.float64]

PATHS = 20_000
# At two degrees or less the variance, and below one the Expected Shortfall, of a margin would not exist.
_FEWEST_DEGREES, _MOST_DEGREES = 2.1, 60.0
_SMALLEST_EIGENVALUE = 1e-8


def simulate(returns: Floats, seed: int, paths: int = PATHS) -> Floats:
    """One-day returns of shape (paths, assets), drawn from a model fitted to `returns` (observations, assets).

    Margins: Student-t by maximum likelihood around zero mean. Dependence: the correlation sin(pi/2 * Kendall's tau) and
    one number of degrees of freedom by pseudo-likelihood (Demarta and McNeil, The t copula and related copulas, 2005).
    A simulated price cannot fall below zero. Raises `RiskInputError` for fewer than 60 returns or one that is unknown.
    """
    observations, assets = returns.shape
    if observations < 60 or not np.isfinite(returns).all():
        raise RiskInputError(f"a copula needs at least 60 days with a return of each asset, not {observations}")
    margins = [_margin(returns[:, asset]) for asset in range(assets)]
    correlation = _correlation(returns)
    degrees = _degrees(returns, correlation)
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal((paths, assets)) @ np.linalg.cholesky(correlation).T
    mixed = normal * np.sqrt(degrees / generator.chisquare(degrees, paths))[:, None]
    uniform = stats.t.cdf(mixed, degrees)
    drawn = [stats.t.ppf(uniform[:, asset], freedom) * scale for asset, (freedom, scale) in enumerate(margins)]
    return np.asarray(np.maximum(np.column_stack(drawn), -1.0))


def _margin(returns: Floats) -> tuple[float, float]:
    """Degrees of freedom and scale."""
    spread = float(returns.std())
    if spread == 0:
        return _MOST_DEGREES, 0.0

    def best_scale(degrees: float) -> float:
        # The score equation of the scale, as a fixed point: it is a contraction for degrees above zero.
        scale = spread
        for _ in range(60):
            scale = float(np.sqrt(np.mean((degrees + 1) * returns**2 / (degrees + (returns / scale) ** 2))))
        return scale

    def loss(degrees: float) -> float:
        return -float(stats.t.logpdf(returns, degrees, scale=best_scale(degrees)).sum())

    degrees = float(
        minimize_scalar(loss, bounds=(_FEWEST_DEGREES, _MOST_DEGREES), method="bounded", options={"xatol": 1e-3}).x
    )
    return degrees, best_scale(degrees)


def _correlation(returns: Floats) -> Floats:
    assets = returns.shape[1]
    found = np.eye(assets)
    for one in range(assets):
        for other in range(one + 1, assets):
            tau = stats.kendalltau(returns[:, one], returns[:, other]).statistic
            found[one, other] = found[other, one] = np.sin(np.pi / 2 * (0.0 if np.isnan(tau) else tau))
    # Pairwise estimates need not make a correlation matrix: raise what lies below zero, and scale back to ones.
    values, vectors = np.linalg.eigh(found)
    raised = (vectors * np.maximum(values, _SMALLEST_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(raised))
    return np.asarray(raised / np.outer(scale, scale))


def _degrees(returns: Floats, correlation: Floats) -> float:
    observations, assets = returns.shape
    if assets == 1:
        return _MOST_DEGREES
    uniform = stats.rankdata(returns, axis=0) / (observations + 1)
    inverse = np.linalg.inv(correlation)
    _sign, log_determinant = np.linalg.slogdet(correlation)

    def loss(degrees: float) -> float:
        points = stats.t.ppf(uniform, degrees)
        squares = np.einsum("ij,jk,ik->i", points, inverse, points)
        joint = stats.multivariate_t.logpdf(np.zeros(assets), np.zeros(assets), np.eye(assets), degrees)
        likelihood = observations * (joint - log_determinant / 2)
        likelihood -= (degrees + assets) / 2 * np.log1p(squares / degrees).sum()
        return -float(likelihood - stats.t.logpdf(points, degrees).sum())

    return float(
        minimize_scalar(loss, bounds=(_FEWEST_DEGREES, _MOST_DEGREES), method="bounded", options={"xatol": 1e-2}).x
    )
