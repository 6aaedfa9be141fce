{{
    config(
        materialized="incremental",
        incremental_strategy="merge",
        unique_key=["account_id", "snapshot_at"],
        partition_by={"field": "snapshot_at", "data_type": "timestamp", "granularity": "day"},
        cluster_by=["account_id"],
        on_schema_change="fail",
    )
}}

with
    margin_health as (select * from {{ ref("margin_health") }}),

    margin_health_history as (
        select
            account_id,
            timestamp '{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S") }}+00' as snapshot_at,
            status,
            health_pct,
            collateral_usd,
            borrow_usd,
            unpriced_assets,
            price_ids,
            oldest_price_at,
            is_simulated
        from margin_health
    )

select *
from margin_health_history
