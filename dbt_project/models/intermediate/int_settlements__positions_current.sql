{{ config(materialized="view", group="settlements") }}

with
    compacted as (select * from {{ ref("int_settlements__positions_compacted") }}),

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

    positions_current as (
        select
            account_id,
            asset,
            side,
            sum(quantity) as quantity,
            max(last_event_at) as last_event_at,
            sum(late_events_pending) as late_events_pending
        from movements
        group by account_id, asset, side
    )

select *
from positions_current
