"""Typed reads of the daily closes in `raw`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from ingest.prices.reads import Reader

_ACTIVE_CLOSES = """
with
    active as (
        select price_set_id, last_date from raw.price_sets qualify row_number() over (order by activated_at desc) = 1
    )

select closes.asset, closes.price_date, any_value(closes.close_usd) as close_usd
from raw.daily_closes as closes
inner join active on closes.price_set_id = active.price_set_id
where closes.price_date >= @since and closes.price_date <= active.last_date
group by closes.asset, closes.price_date
"""


def active_closes(reader: Reader, since: date) -> Mapping[tuple[str, date], Decimal]:
    """USD for one unit by asset and UTC day from `since` on, of the price set in force; empty where there is none."""
    rows = reader.query(_ACTIVE_CLOSES, {"since": since})
    return {(row["asset"], row["price_date"]): row["close_usd"] for row in rows}
