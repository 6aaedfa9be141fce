{{ config(materialized="table", cluster_by=["account_id"], group="settlements") }}

with
    events as (select * from {{ ref("int_settlements__events_deduped") }}),

    through as (select max(compacted_at) as compacted_through from events),

    compacted as (
        select
            events.account_id,
            events.asset,
            events.side,
            sum(events.signed_quantity) as quantity,
            count(*) as events,
            max(events.occurred_at) as last_event_at,
            through.compacted_through
        from events
        cross join through
        where events.compacted_at <= through.compacted_through
        group by events.account_id, events.asset, events.side, through.compacted_through
    )

select *
from compacted
