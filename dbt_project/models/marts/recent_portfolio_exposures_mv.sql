{{
    config(
        materialized="materialized_view",
        partition_by={"field": "snapshot_at", "data_type": "timestamp", "granularity": "day"},
        cluster_by=["account_id"],
        enable_refresh=true,
        refresh_interval_minutes=5,
        contract={"enforced": false},
    )
}}

select
    account_id,
    asset,
    side,
    snapshot_at,
    sum(quantity) as quantity,
    sum(exposure_usd) as exposure_usd,
    count(*) as positions
from {{ ref("portfolio_exposures") }}
group by account_id, asset, side, snapshot_at
