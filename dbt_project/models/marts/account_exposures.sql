{{ config(materialized="view") }}

with
    positions_valued as (select * from {{ ref("int_risk__positions_valued") }}),

    account_exposures as (
        select
            account_id,
            asset,
            side,
            quantity,
            price_usd,
            valuation_price_usd,
            exposure_usd,
            price_id,
            price_status,
            price_observed_at,
            price_age_seconds,
            is_confidence_unknown,
            is_simulated,
            positions_are_complete,
            late_events_pending,
            last_event_at
        from positions_valued
    )

select *
from account_exposures
