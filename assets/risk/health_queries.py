"""Typed reads behind the page of data health: how new the tables are, and which messages were set aside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from assets.risk.queries import Reader, read_rows

MAX_REASONS = 50


@dataclass(frozen=True)
class TableAge:
    """How new a table is: when its last row was written (UTC), and the last day that it is about, if it is by days.

    Both are None where nothing was written since the time that was asked for.
    """

    table_name: str
    last_row_at: datetime | None
    last_date: date | None


@dataclass(frozen=True)
class DeadLetters:
    """Messages of one topic that were set aside for one reason; `example` says of the last one what was wrong."""

    topic: str
    reason_code: str
    messages: int
    last_at: datetime
    example: str


# Partitions older than @since are not read; a table without newer rows gives NULL.
RAW_AGES_SQL = """
select 'raw.market_prices' as table_name, max(ingested_at) as last_row_at, cast(null as date) as last_date
from raw.market_prices
where ingested_at >= @since
union all
select 'raw.price_ticks' as table_name, max(ingested_at) as last_row_at, cast(null as date) as last_date
from raw.price_ticks
where ingested_at >= @since
union all
select 'raw.oracle_sources' as table_name, max(ingested_at) as last_row_at, cast(null as date) as last_date
from raw.oracle_sources
where ingested_at >= @since
union all
select 'raw.settlement_events' as table_name, max(ingested_at) as last_row_at, cast(null as date) as last_date
from raw.settlement_events
where ingested_at >= @since
union all
select 'raw.daily_closes' as table_name, max(loaded_at) as last_row_at, max(price_date) as last_date
from raw.daily_closes
where loaded_at >= @since
union all
select 'raw.notification_events' as table_name, max(mirrored_at) as last_row_at, cast(null as date) as last_date
from raw.notification_events
where `at` >= @since
union all
select 'raw.compliance_transaction_logs' as table_name, max(mirrored_at) as last_row_at, cast(null as date) as last_date
from raw.compliance_transaction_logs
where received_at >= @since
union all
select 'raw.compliance_case_events' as table_name, max(mirrored_at) as last_row_at, cast(null as date) as last_date
from raw.compliance_case_events
where event_at >= @since
union all
select 'raw.compliance_decisions' as table_name, max(mirrored_at) as last_row_at, cast(null as date) as last_date
from raw.compliance_decisions
where decided_at >= @since
"""

MART_AGES_SQL = """
select 'risk.portfolio_exposures' as table_name, max(snapshot_at) as last_row_at, cast(null as date) as last_date
from risk.portfolio_exposures
where snapshot_at >= @since
union all
select 'risk.margin_health_history' as table_name, max(snapshot_at) as last_row_at, cast(null as date) as last_date
from risk.margin_health_history
where snapshot_at >= @since
union all
select 'risk.margin_events' as table_name, max(detected_at) as last_row_at, cast(null as date) as last_date
from risk.margin_events
where detected_at >= @since
union all
select 'risk.book_var' as table_name, max(computed_at) as last_row_at, max(as_of_date) as last_date
from risk.book_var
where as_of_date >= @since_date
union all
select 'risk.portfolio_var' as table_name, max(computed_at) as last_row_at, max(as_of_date) as last_date
from risk.portfolio_var
where as_of_date >= @since_date
union all
select 'risk.var_components' as table_name, max(computed_at) as last_row_at, max(as_of_date) as last_date
from risk.var_components
where as_of_date >= @since_date
union all
select 'risk.var_backtests' as table_name, max(computed_at) as last_row_at, max(as_of_date) as last_date
from risk.var_backtests
where as_of_date >= @since_date
union all
select 'risk.stress_results' as table_name, max(computed_at) as last_row_at, max(as_of_date) as last_date
from risk.stress_results
where as_of_date >= @since_date
"""

DEAD_LETTERS_SQL = """
select
    topic,
    reason_code,
    count(distinct message_id) as messages,
    max(ingested_at) as last_at,
    array_agg(reason order by ingested_at desc limit 1)[offset(0)] as example
from raw.dead_letters
where ingested_at >= @since
group by topic, reason_code
order by last_at desc, topic, reason_code
limit @max_rows
"""


def raw_ages(reader: Reader, since: datetime) -> list[TableAge]:
    """How new each table of what arrived is, as far as it has rows since then."""
    return read_rows(reader, TableAge, RAW_AGES_SQL, {"since": since})


def mart_ages(reader: Reader, since: datetime) -> list[TableAge]:
    """How new each stored mart is, as far as it has rows since then."""
    return read_rows(reader, TableAge, MART_AGES_SQL, {"since": since, "since_date": since.date()})


def dead_letters(reader: Reader, since: datetime) -> list[DeadLetters]:
    """Messages set aside since then by topic and reason, the latest first; at most `MAX_REASONS`."""
    return read_rows(reader, DeadLetters, DEAD_LETTERS_SQL, {"since": since, "max_rows": MAX_REASONS})
