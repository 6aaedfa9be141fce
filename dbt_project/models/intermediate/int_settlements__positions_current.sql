{{ config(materialized="view", group="settlements") }}

with
    compacted as (select * from {{ ref("int_settlements__positions_compacted") }}),

    compactions as (select * from {{ ref("int_settlements__compactions") }}),

    events_since as (select * from {{ ref("int_settlements__events_since") }}),

    movements as (
        select account_id, asset, side, quantity, last_event_at, 0 as late_events_pending
        from compacted
        union all
        select
            account_id,
            asset,
            side,
            if(is_late, bignumeric '0', signed_quantity) as quantity,
            occurred_at as last_event_at,
            if(is_late, 1, 0) as late_events_pending
        from events_since
    ),

    positions as (
        select
            account_id,
            asset,
            side,
            sum(quantity) as quantity,
            max(last_event_at) as last_event_at,
            sum(late_events_pending) as late_events_pending
        from movements
        group by account_id, asset, side
    ),

    -- The events read above reach back a day further than this: a compaction that is older may leave a gap.
    coverage as (
        select
            max(compacted_at) as compacted_at,
            coalesce(
                max(compacted_at) >= timestamp_sub({{ current_time() }}, interval {{ var("late_after_days") }} day),
                false
            ) as is_complete
        from compactions
    ),

    positions_current as (
        select
            positions.account_id,
            positions.asset,
            positions.side,
            positions.quantity,
            positions.last_event_at,
            positions.late_events_pending,
            coverage.is_complete as positions_are_complete,
            coverage.compacted_at
        from positions
        cross join coverage
    )

select *
from positions_current
