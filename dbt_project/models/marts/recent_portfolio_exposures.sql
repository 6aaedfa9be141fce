{{ config(materialized="view") }}

with
    snapshots as (
        select *
        from {{ ref("recent_portfolio_exposures_mv") }}
        where snapshot_at >= timestamp_sub({{ current_time() }}, interval 24 hour)
    ),

    recent_portfolio_exposures as (select account_id, asset, side, snapshot_at, quantity, exposure_usd from snapshots)

select *
from recent_portfolio_exposures
