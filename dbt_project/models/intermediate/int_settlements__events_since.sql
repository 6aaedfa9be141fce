{{ config(materialized="view", group="settlements") }}

with
    events as (
        select *
        from {{ ref("stg_settlements__events") }}
        where ingested_at >= timestamp_sub({{ current_time() }}, interval {{ var("late_after_days") + 1 }} day)
    ),

    compacted as (
        select event_id, compacted_at
        from {{ ref("int_settlements__events_deduped") }}
        -- A fresh repeat read above may be late_after_days younger than the delivery that was compacted.
        where ingested_at >= timestamp_sub({{ current_time() }}, interval {{ 2 * var("late_after_days") + 2 }} day)
    ),

    snapshot as (
        select max(compacted_through) as compacted_through from {{ ref("int_settlements__positions_compacted") }}
    ),

    -- Only what the snapshot holds counts as compacted: a compaction under way has written events but not positions.
    in_snapshot as (
        select compacted.event_id
        from compacted
        cross join snapshot
        where compacted.compacted_at <= snapshot.compacted_through
    ),

    first_deliveries as (
        select * from events qualify row_number() over (partition by event_id order by ingested_at, message_id) = 1
    ),

    events_since as (
        select
            first_deliveries.event_id,
            first_deliveries.account_id,
            first_deliveries.asset,
            first_deliveries.side,
            first_deliveries.signed_quantity,
            first_deliveries.occurred_at,
            first_deliveries.ingested_at,
            first_deliveries.is_late
        from first_deliveries
        left join in_snapshot on first_deliveries.event_id = in_snapshot.event_id
        where in_snapshot.event_id is null
    )

select *
from events_since
