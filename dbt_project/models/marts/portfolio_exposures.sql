{{
    config(
        materialized="incremental",
        incremental_strategy="merge",
        unique_key=["account_id", "asset", "side", "snapshot_at"],
        partition_by={"field": "snapshot_at", "data_type": "timestamp", "granularity": "day"},
        cluster_by=["account_id"],
        on_schema_change="fail",
    )
}}

with
    positions_valued as (select * from {{ ref("int_risk__positions_valued") }}),

    portfolio_exposures as (
        select
            account_id,
            asset,
            side,
            timestamp '{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S") }}+00' as snapshot_at,
            quantity,
            price_usd,
            exposure_usd,
            price_id,
            price_status,
            is_simulated
        from positions_valued
    )

select *
from portfolio_exposures
