"""Backtest of 100 series over ten years: forecasts made anew for each day, and every test with its exact p-values.

    python tests/perf/bench_backtests.py [--series 100] [--days 3650]

Reference of the same run: the plain partition of all windows, which is the least that such forecasts cost.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from decimal import Decimal

import numpy as np
from _bench import print_machine
from numpy.lib.stride_tricks import sliding_window_view

from assets.risk.engine.backtests import run_backtest
from assets.risk.engine.methods import Method
from assets.risk.engine.rolling import METHODS, rolling_forecasts

WINDOW = 500
TAIL = 5
CONFIDENCE = Decimal("0.99")


def series(count: int, days: int, seed: int = 5) -> np.ndarray:
    """Returns whose volatility clusters: GARCH(1,1) with Student-t shocks, shape (series, days)."""
    generator = np.random.default_rng(seed)
    shocks = generator.standard_t(5, (count, days)) * np.sqrt(3 / 5)
    variance = np.full(count, 0.03**2)
    found = np.empty((count, days))
    for day in range(days):
        found[:, day] = np.sqrt(variance) * shocks[:, day]
        variance = 0.03**2 * 0.03 + 0.09 * found[:, day] ** 2 + 0.88 * variance
    return found


def main() -> None:
    """Print seconds of the reference, of the forecasts by method, and of forecasts with all tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--days", type=int, default=3_650)
    options = parser.parse_args()
    print_machine()
    returns = series(options.series, options.days)
    one = np.ones(1)
    began = time.perf_counter()
    for row in returns:
        np.partition(sliding_window_view(row, WINDOW)[:-1], TAIL - 1, axis=1)
    plain = time.perf_counter() - began
    print(f"{options.series} series x {options.days:,} days, window {WINDOW}, {CONFIDENCE:%}")
    print(f"  plain partition of all windows     {plain:7.2f} s")
    for method in METHODS:
        began = time.perf_counter()
        for row in returns:
            rolling_forecasts(row[:, None], one, WINDOW, method, [CONFIDENCE])
        took = time.perf_counter() - began
        print(f"  forecasts, {method:<24}{took:7.2f} s   {took / plain:5.2f} x plain")
    began = time.perf_counter()
    verdicts: Counter[str] = Counter()
    for number, row in enumerate(returns):
        [tail] = rolling_forecasts(row[:, None], one, WINDOW, Method.HISTORICAL, [CONFIDENCE])
        verdicts[run_backtest(row[WINDOW:], tail.var, tail.es, CONFIDENCE, seed=number).verdict] += 1
    took = time.perf_counter() - began
    print(f"  forecasts and all tests            {took:7.2f} s   {took / plain:5.2f} x plain   {dict(verdicts)}")
    print_machine()


if __name__ == "__main__":
    main()
