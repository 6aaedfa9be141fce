"""What must hold of prices before anything is built on them."""

from collections.abc import Iterator

import dagster as dg

from assets.expectations import Expected, Suite, evaluate, read_rows
from assets.platform import Platform

PRICES = Suite(
    dg.AssetKey(["raw", "market_prices"]),
    """
    select price_id, asset, cast(price_usd as float64) as price_usd, quality
    from raw.market_prices
    where ingested_at >= timestamp_sub(current_timestamp(), interval 1 day)
    order by ingested_at desc
    limit 20000
    """,
    (
        Expected("price_id_present", "ExpectColumnValuesToNotBeNull", {"column": "price_id"}),
        Expected(
            "asset_is_a_symbol", "ExpectColumnValuesToMatchRegex", {"column": "asset", "regex": "^[A-Z][A-Z0-9]+$"}
        ),
        Expected("price_is_positive", "ExpectColumnValuesToBeBetween", {"column": "price_usd", "min_value": 1e-9}),
        Expected(
            "quality_is_known", "ExpectColumnValuesToBeInSet", {"column": "quality", "value_set": ["ok", "degraded"]}
        ),
    ),
)
CLOSES = Suite(
    dg.AssetKey(["raw", "daily_closes"]),
    """
    select asset, price_date, cast(close_usd as float64) as close_usd, source
    from raw.daily_closes
    qualify row_number() over (partition by price_set_id, asset order by price_date desc) <= 600
    order by price_date desc
    limit 20000
    """,
    (
        Expected("rows_present", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        Expected("close_is_positive", "ExpectColumnValuesToBeBetween", {"column": "close_usd", "min_value": 1e-9}),
        Expected("day_present", "ExpectColumnValuesToNotBeNull", {"column": "price_date"}),
        Expected(
            "source_is_known", "ExpectColumnValuesToBeInSet", {"column": "source", "value_set": ["csv", "simulated"]}
        ),
    ),
)


@dg.multi_asset_check(name="market_prices_expectations", specs=PRICES.check_specs())
def market_prices_expectations(platform: Platform) -> Iterator[dg.AssetCheckResult]:
    """Great Expectations over the last day of prices."""
    yield from evaluate(PRICES, read_rows(platform.warehouse(), PRICES))


@dg.multi_asset_check(name="daily_closes_expectations", specs=CLOSES.check_specs())
def daily_closes_expectations(platform: Platform) -> Iterator[dg.AssetCheckResult]:
    """Great Expectations over the closes that scenarios are made of."""
    yield from evaluate(CLOSES, read_rows(platform.warehouse(), CLOSES))
