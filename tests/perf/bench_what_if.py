"""How long `POST /v1/risk/what-if` takes for 100 positions, beside plain NumPy on the same returns in the same run.

The API is a process of its own on the embedded BigQuery, with 100 assets of 1,100 daily closes; one request answers
health, 200 trigger prices, VaR and ES at four confidences over 500 scenarios, and the components of each.

Run: python -W ignore tests/perf/bench_what_if.py [--requests 200] [--assets 100] [--days 1100]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import numpy as np
from _bench import cuts, ground, print_machine, process, timed, wait_until
from numpy.typing import NDArray

from assets.dbt_build import prepare_manifest, run_build
from assets.risk.engine.levels import STANDARD_CONFIDENCES, tail_count
from assets.risk.history_queries import read_closes
from infra.embedded.provision import provision_warehouse
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.closes import Close, load_price_set, price_set
from ingest.messages import SIMULATED

SEED = 42
WINDOW = 500
MICROSECONDS = 1_000_000.0
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "without intervals": {"intervals": False},
    "with intervals": {"intervals": True},
    "all methods, intervals": {
        "intervals": True,
        "methods": [
            *("historical_simulation", "age_weighted", "volatility_scaled"),
            *("delta_normal", "ewma_delta_normal", "student_t_copula"),
        ],
        "deadline_ms": 15_000,
    },
}


def main() -> None:
    """Load closes, ask many times, and print milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--assets", type=int, default=100)
    parser.add_argument("--days", type=int, default=1_100)
    options = parser.parse_args()
    print_machine()
    with ground(("bigquery",)) as settings:
        warehouse = Warehouse(settings)
        provision_warehouse(settings)
        load_price_set(warehouse, price_set(_closes(options.assets, options.days)), SystemClock())
        prepare_manifest(settings)
        failed = [
            each for each in run_build(settings, ["stg_market__daily_closes", "margin_defaults"]) if each.is_error
        ]
        if failed:
            raise SystemExit(f"the build failed: {failed}")
        reference = _measured_reference(warehouse, options.requests)
        with process(settings, "-m", "api", name="api"):
            _measure_api(settings, options.assets, options.requests, reference)


def _measured_reference(warehouse: Warehouse, times: int) -> float:
    """Median seconds of one matrix product, and a partition for VaR and ES at each confidence."""
    found = read_closes(warehouse)
    assert found is not None
    paths = np.array([[float(days[day]) for day in sorted(days)] for days in found.closes.by_asset.values()]).T
    returns = (paths[1:] / paths[:-1] - 1)[-WINDOW:]
    exposures = np.linspace(1_000, 2_000, paths.shape[1])
    taken = timed(lambda: _plain(exposures, returns), times)
    print(f"{'plain NumPy':<26}{cuts(taken, 'us', MICROSECONDS)}")
    return statistics.median(taken)


def _plain(exposures: NDArray[np.float64], returns: NDArray[np.float64]) -> list[float]:
    pnl = returns @ exposures
    figures = []
    for confidence in STANDARD_CONFIDENCES:
        tail = tail_count(len(pnl), confidence)
        worst = np.partition(pnl, tail - 1)[:tail]
        figures += [-float(worst.max()), -float(worst.mean())]
    return figures


def _measure_api(settings: Settings, assets: int, requests: int, reference: float) -> None:
    assert settings.api_token is not None
    headers = {"Authorization": f"Bearer {settings.api_token.get_secret_value()}"}
    with httpx.Client(base_url=settings.api_url, headers=headers, timeout=60) as client:
        wait_until(lambda: _is_alive(client), "the API")
        first = time.perf_counter()
        _ask(client, assets, VARIANTS["without intervals"])
        print(f"{'first, reads the closes':<26}{(time.perf_counter() - first) * 1000:13.1f} ms")
        for name, variant in VARIANTS.items():
            began = time.perf_counter()
            _ask(client, assets, variant)
            alone = time.perf_counter() - began
            taken = timed(partial(_ask, client, assets, variant), requests)
            ratio = statistics.median(taken) / reference
            print(f"{name:<26}{cuts(taken)}  {ratio:7.0f} x plain NumPy, the first {alone * 1000:.0f} ms")


def _is_alive(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _ask(client: httpx.Client, assets: int, variant: Mapping[str, Any]) -> None:
    positions = [
        {"asset": name, "side": "borrow" if number % 5 == 0 else "collateral", "quantity": f"{number + 1}.25"}
        for number, name in enumerate(_names(assets))
    ]
    response = client.post("/v1/risk/what-if", json={"positions": positions, "window": WINDOW} | dict(variant))
    response.raise_for_status()
    body = response.json()
    if any(row["var_usd"] is None for row in body["estimates"]) or len(body["components"][0]["assets"]) != assets:
        raise SystemExit(f"the answer lacks figures: {body['estimates'][0]}")


def _names(assets: int) -> list[str]:
    return [f"A{number:03d}" for number in range(assets)]


def _closes(assets: int, days: int) -> list[Close]:
    """Correlated random walks up to yesterday."""
    generator = np.random.default_rng(SEED)
    market = generator.standard_normal(days) * 0.02
    first = SystemClock().now().date() - timedelta(days=days)
    closes = []
    for name in _names(assets):
        path = 100 * np.exp(np.cumsum(market + generator.standard_normal(days) * 0.03))
        closes += [
            Close(name, first + timedelta(days=day), Decimal(f"{value:.6f}"), SIMULATED)
            for day, value in enumerate(path)
        ]
    return closes


if __name__ == "__main__":
    main()
