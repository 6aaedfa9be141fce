{{ config(materialized="view") }}

with
    positions as (select * from {{ ref("int_settlements__positions_current") }}),

    prices as (select * from {{ ref("int_market__latest_prices") }}),

    valued as (
        select
            positions.account_id,
            positions.asset,
            positions.side,
            positions.quantity,
            positions.last_event_at,
            positions.late_events_pending,
            prices.price_id,
            prices.price_usd,
            prices.observed_at as price_observed_at,
            prices.price_age_seconds,
            coalesce(prices.price_status, 'missing') as price_status,
            coalesce(prices.is_simulated, false) as is_simulated,
            cast(positions.quantity * prices.price_usd as numeric) as exposure_usd
        from positions
        left join prices on positions.asset = prices.asset
    )

select *
from valued
