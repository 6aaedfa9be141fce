"""Closes and price ticks as assets."""

from typing import Any

import dagster as dg

from assets.arrivals import ARRIVALS_SQL, arrivals
from assets.platform import Platform
from infra.runtime.clock import SystemClock
from ingest.closes import load_price_set
from ingest.market import collect_closes

GROUP = "raw"


@dg.asset(key=["raw", "daily_closes"], group_name=GROUP, kinds={"bigquery"}, owners=["team:market-data"])
def daily_closes(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[Any]:
    """Daily closes of every asset: the configured folder of CSV files, or simulated ones. Loaded once a price set."""
    clock = SystemClock()
    found = collect_closes(platform.settings(), clock)
    is_new = load_price_set(
        platform.warehouse(), found, clock, lambda done, total: context.log.info(f"closes loaded: {done} of {total}")
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(found.closes),
            "price_set_id": found.price_set_id,
            "is_new": is_new,
            "assets": ", ".join(found.assets),
            "simulated_assets": ", ".join(found.simulated_assets) or "none",
            "last_date": str(found.last_date),
        }
    )


@dg.asset(
    key=["raw", "price_sets"], group_name=GROUP, kinds={"bigquery"}, deps=[daily_closes], owners=["team:market-data"]
)
def price_sets(platform: Platform) -> dg.MaterializeResult[Any]:
    """Which price set is in use; written with the closes, looked at here."""
    rows = platform.warehouse().query(
        "select price_set_id, activated_at, closes, last_date from raw.price_sets order by activated_at desc limit 1"
    )
    if not rows:
        raise dg.Failure("No price set is active: daily_closes must load one first.")
    return dg.MaterializeResult(metadata={name: str(value) for name, value in rows[0].items()})


@dg.asset(key=["raw", "market_prices"], group_name=GROUP, kinds={"bigquery"}, owners=["team:market-data"])
def market_prices(platform: Platform) -> dg.MaterializeResult[Any]:
    """Price ticks; the consumer appends them as they arrive, this looks at what is there."""
    return arrivals(platform.warehouse(), ARRIVALS_SQL["market_prices"])
