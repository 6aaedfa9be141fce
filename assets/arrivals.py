"""What the consumers appended, as a materialization: they run outside Dagster and their tables are still its assets."""

from typing import Any

import dagster as dg

from assets.risk.queries import Reader

_SQL = """
select
    count(*) as row_count,
    max(ingested_at) as last_ingested_at
from raw.{table}
where ingested_at >= timestamp_sub(current_timestamp(), interval 2 day)
"""
ARRIVALS_SQL = {table: _SQL.format(table=table) for table in ("market_prices", "settlement_events")}


def arrivals(reader: Reader, sql: str) -> dg.MaterializeResult[Any]:
    """Rows that arrived in the last two days and when the last one did."""
    row = reader.query(sql)[0]
    return dg.MaterializeResult(
        metadata={"rows_of_two_days": int(row["row_count"]), "last_ingested_at": str(row["last_ingested_at"])}
    )


LAST_ARRIVALS_SQL = """
select 'market_prices' as table_name, max(ingested_at) as last_ingested_at
from raw.market_prices
where ingested_at >= timestamp_sub(current_timestamp(), interval 2 day)
union all
select 'settlement_events' as table_name, max(ingested_at) as last_ingested_at
from raw.settlement_events
where ingested_at >= timestamp_sub(current_timestamp(), interval 2 day)
"""
