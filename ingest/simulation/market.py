"""Simulated daily closes: correlated, fat-tailed, with volatility that clusters.

Log returns follow GARCH(1,1) (Bollerslev 1986) per asset, driven by Student-t shocks with four degrees of freedom
that share one market factor; stablecoins revert to 1 USD. Parameters are round figures of the size seen in crypto
markets, not estimates.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.closes import HEADER, Close
from ingest.messages import SIMULATED

# Paths start on a fixed day, so that the history of yesterday is still there tomorrow.
FIRST_DATE = date(2023, 1, 1)
MINIMUM_DAYS = 600
DEGREES_OF_FREEDOM = 4
GARCH_ALPHA = 0.09
GARCH_BETA = 0.88
# Mean log return a day, about 22% a year, so that long paths stay near the size they started with.
DRIFT = 0.0006


@dataclass(frozen=True)
class SimulatedAsset:
    """How one asset moves: first close in USD, daily volatility, share of variance from the market factor."""

    asset: str
    first_close_usd: float
    daily_volatility: float
    market_share: float
    decimals: int


VOLATILE = (
    SimulatedAsset("BTC", 42_000.0, 0.026, 0.80, 2),
    SimulatedAsset("ETH", 2_400.0, 0.034, 0.75, 2),
    SimulatedAsset("SOL", 95.0, 0.046, 0.60, 4),
    SimulatedAsset("LINK", 14.0, 0.044, 0.60, 4),
    SimulatedAsset("BNB", 310.0, 0.030, 0.60, 3),
    SimulatedAsset("XRP", 0.55, 0.040, 0.50, 6),
)
STABLE = ("USDC", "USDT")
STABLE_DEVIATION = 0.0004
STABLE_REVERSION = 0.35


def simulate_closes(seed: int, last_date: date, assets: Sequence[str] | None = None) -> list[Close]:
    """Closes of each asset from `FIRST_DATE` (or 600 days back, if that is earlier) to `last_date`.

    The same seed always gives the same history for every last day from 600 days after `FIRST_DATE` on; before that
    the history begins 600 days back, and so moves with the last day.

    `assets` picks some of the known ones (default all). Each asset draws from a stream of its own, so that
    picking fewer does not change the others.
    """
    first_date = min(FIRST_DATE, last_date - timedelta(days=MINIMUM_DAYS))
    days = (last_date - first_date).days + 1
    dates = [first_date + timedelta(days=day) for day in range(days)]
    wanted = set(assets) if assets is not None else {a.asset for a in VOLATILE} | set(STABLE)
    market = _t_shocks(np.random.default_rng([seed, 0]), days)
    closes: list[Close] = []
    for index, asset in enumerate(VOLATILE, start=1):
        if asset.asset in wanted:
            path = _volatile_path(asset, market, np.random.default_rng([seed, index]))
            closes += _closes(asset.asset, dates, path, asset.decimals)
    for index, symbol in enumerate(STABLE, start=100):
        if symbol in wanted:
            closes += _closes(symbol, dates, _stable_path(days, np.random.default_rng([seed, index])), 6)
    return closes


def write_closes(closes: Sequence[Close], folder: Path) -> None:
    """Write `<ASSET>.csv` files as `read_closes` takes them, so that anyone can check a figure against them."""
    folder.mkdir(parents=True, exist_ok=True)
    for asset in sorted({close.asset for close in closes}):
        with (folder / f"{asset}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            writer.writerows((c.price_date.isoformat(), f"{c.close_usd:f}") for c in closes if c.asset == asset)


def _t_shocks(generator: np.random.Generator, days: int) -> NDArray[np.float64]:
    scale = np.sqrt((DEGREES_OF_FREEDOM - 2) / DEGREES_OF_FREEDOM)
    return np.asarray(generator.standard_t(DEGREES_OF_FREEDOM, days) * scale, dtype=np.float64)


def _volatile_path(
    asset: SimulatedAsset, market: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    own = _t_shocks(generator, len(market))
    shocks = np.sqrt(asset.market_share) * market + np.sqrt(1 - asset.market_share) * own
    long_run = asset.daily_volatility**2
    variance, log_price = long_run, float(np.log(asset.first_close_usd))
    path = np.empty(len(market))
    for day, shock in enumerate(shocks):
        log_return = np.sqrt(variance) * shock + DRIFT - variance / 2
        log_price += float(np.clip(log_return, -0.6, 0.6))
        path[day] = np.exp(log_price)
        variance = long_run * (1 - GARCH_ALPHA - GARCH_BETA) + GARCH_ALPHA * log_return**2 + GARCH_BETA * variance
    return path


def _stable_path(days: int, generator: np.random.Generator) -> NDArray[np.float64]:
    path = np.empty(days)
    gap = 0.0
    for day, shock in enumerate(_t_shocks(generator, days)):
        gap = (1 - STABLE_REVERSION) * gap + STABLE_DEVIATION * float(np.clip(shock, -6, 6))
        path[day] = 1.0 + gap
    return path


def _closes(asset: str, dates: Sequence[date], path: NDArray[np.float64], decimals: int) -> list[Close]:
    quantum = Decimal("0.000000001")
    return [
        Close(asset, day, Decimal(f"{value:.{decimals}f}").quantize(quantum), SIMULATED)
        for day, value in zip(dates, path, strict=True)
    ]
