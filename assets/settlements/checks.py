"""What must hold of settlement events before positions are built on them."""

from collections.abc import Iterator

import dagster as dg

from assets.expectations import Expected, Suite, evaluate, read_rows
from assets.platform import Platform

_KINDS = ["deposit", "withdrawal", "seizure", "draw", "repayment", "interest"]

EVENTS = Suite(
    dg.AssetKey(["raw", "settlement_events"]),
    """
    select event_id, account_id, side, kind, cast(quantity as float64) as quantity
    from raw.settlement_events
    where ingested_at >= timestamp_sub(current_timestamp(), interval 1 day)
    order by ingested_at desc
    limit 20000
    """,
    (
        Expected("event_id_present", "ExpectColumnValuesToNotBeNull", {"column": "event_id"}),
        Expected("account_present", "ExpectColumnValuesToNotBeNull", {"column": "account_id"}),
        Expected("quantity_is_positive", "ExpectColumnValuesToBeBetween", {"column": "quantity", "min_value": 1e-18}),
        Expected(
            "side_is_known", "ExpectColumnValuesToBeInSet", {"column": "side", "value_set": ["collateral", "borrow"]}
        ),
        Expected("kind_is_known", "ExpectColumnValuesToBeInSet", {"column": "kind", "value_set": _KINDS}),
    ),
)


@dg.multi_asset_check(name="settlement_events_expectations", specs=EVENTS.check_specs())
def settlement_events_expectations(platform: Platform) -> Iterator[dg.AssetCheckResult]:
    """Great Expectations over the last day of settlement events."""
    yield from evaluate(EVENTS, read_rows(platform.warehouse(), EVENTS))
