{{
    config(
        materialized="incremental",
        incremental_strategy="merge",
        unique_key="event_id",
        partition_by={"field": "ingested_at", "data_type": "timestamp", "granularity": "day"},
        cluster_by=["event_id"],
        on_schema_change="fail",
        group="settlements",
    )
}}

with
    events as (select * from {{ ref("stg_settlements__events") }}),

    {% if is_incremental() %}
        known as (select event_id, ingested_at from {{ this }}),

        -- An append that was slow to land may carry a time before the last compaction: look back a day.
        horizon as (select timestamp_sub(max(ingested_at), interval 1 day) as since from known),

        unseen as (
            select events.*
            from events
            cross join horizon
            left join known on events.event_id = known.event_id
            where known.event_id is null and (horizon.since is null or events.ingested_at >= horizon.since)
        ),
    {% else %} unseen as (select * from events),
    {% endif %}

    deduped as (
        select
            event_id,
            account_id,
            asset,
            side,
            kind,
            signed_quantity,
            tx_hash,
            occurred_at,
            ingested_at,
            {{ current_time() }} as compacted_at
        from unseen
        qualify row_number() over (partition by event_id order by ingested_at, message_id) = 1
    )

select *
from deduped
