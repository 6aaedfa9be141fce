{{ config(materialized="view") }}

{%- set margin_call = "numeric '" ~ var("margin_call_health_pct") ~ "'" %}
{%- set liquidation = "numeric '" ~ var("liquidation_health_pct") ~ "'" %}

with
    positions_valued as (select * from {{ ref("int_risk__positions_valued") }}),

    by_account as (
        select
            account_id,
            cast(coalesce(sum(if(side = 'collateral', exposure_usd, null)), numeric '0') as numeric) as collateral_usd,
            cast(coalesce(sum(if(side = 'borrow', exposure_usd, null)), numeric '0') as numeric) as borrow_usd,
            logical_or(side = 'borrow' and quantity > 0) as has_borrow,
            logical_or(quantity < 0) as has_negative_position,
            logical_or(quantity != 0 and price_status = 'degraded') as has_degraded_price,
            logical_or(quantity != 0 and exposure_usd is null) as has_unvalued_position,
            logical_or(quantity != 0 and is_simulated) as is_simulated,
            string_agg(
                distinct if(quantity != 0 and price_status in ('missing', 'stale'), asset, null),
                ','
                order by if(quantity != 0 and price_status in ('missing', 'stale'), asset, null)
            ) as unpriced_assets,
            string_agg(
                distinct if(quantity != 0, price_id, null), ',' order by if(quantity != 0, price_id, null)
            ) as price_ids,
            min(if(quantity != 0, price_observed_at, null)) as oldest_price_at,
            max(if(quantity != 0, price_age_seconds, null)) as oldest_price_age_seconds,
            max(last_event_at) as last_event_at,
            sum(late_events_pending) as late_events_pending
        from positions_valued
        group by account_id
    ),

    measured as (
        select
            *,
            if(
                has_borrow and borrow_usd > 0 and not has_unvalued_position,
                -- Times 100 before the division, which keeps nine decimals.
                cast((collateral_usd - borrow_usd) * numeric '100' as numeric) / borrow_usd,
                null
            ) as health_pct
        from by_account
    ),

    margin_health as (
        select
            account_id,
            case
                when not has_borrow
                then 'no_debt'
                when unpriced_assets is not null or health_pct is null
                then 'unpriced'
                when health_pct < {{ liquidation }}
                then 'liquidation'
                when health_pct < {{ margin_call }}
                then 'margin_call'
                else 'healthy'
            end as status,
            health_pct,
            collateral_usd,
            borrow_usd,
            {{ margin_call }} as margin_call_threshold_pct,
            {{ liquidation }} as liquidation_threshold_pct,
            numeric '{{ var("recovery_margin_pct") }}' as recovery_margin_pct,
            unpriced_assets,
            has_borrow,
            has_degraded_price,
            has_negative_position,
            price_ids,
            oldest_price_at,
            oldest_price_age_seconds,
            late_events_pending,
            last_event_at,
            is_simulated,
            {{ current_time() }} as measured_at
        from measured
    )

select *
from margin_health
