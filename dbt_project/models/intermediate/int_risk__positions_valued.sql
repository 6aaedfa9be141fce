{{ config(materialized="view") }}

{%- set multiplier = var("confidence_multiplier") %}

with
    positions as (select * from {{ ref("int_settlements__positions_current") }}),

    prices as (select * from {{ ref("int_market__latest_prices") }}),

    priced as (
        select
            positions.account_id,
            positions.asset,
            positions.side,
            positions.quantity,
            positions.last_event_at,
            positions.late_events_pending,
            positions.positions_are_complete,
            positions.compacted_at,
            prices.price_id,
            prices.price_usd,
            prices.observed_at as price_observed_at,
            prices.price_age_seconds,
            coalesce(prices.price_status, 'missing') as price_status,
            coalesce(prices.is_simulated, false) as is_simulated,
            {% if multiplier > 0 %}
                cast(
                    coalesce(prices.confidence_usd, numeric '0') * numeric '{{ multiplier }}' as numeric
                ) as price_haircut_usd,
                prices.price_usd is not null and prices.confidence_usd is null as is_confidence_unknown
            {% else %} numeric '0' as price_haircut_usd, false as is_confidence_unknown
            {% endif %}
        from positions
        left join prices on positions.asset = prices.asset
    ),

    appraised as (
        select
            *,
            {% if multiplier > 0 %}
                cast(
                    case
                        when side = 'collateral'
                        then greatest(price_usd - price_haircut_usd, numeric '0')
                        else price_usd + price_haircut_usd
                    end as numeric
                ) as valuation_price_usd
            {% else %} price_usd as valuation_price_usd
            {% endif %}
        from priced
    ),

    valued as (
        select
            account_id,
            asset,
            side,
            quantity,
            last_event_at,
            late_events_pending,
            positions_are_complete,
            compacted_at,
            price_id,
            price_usd,
            price_haircut_usd,
            valuation_price_usd,
            price_observed_at,
            price_age_seconds,
            -- Valued at the bare price where the setting asks for less, which is not ok.
            if(is_confidence_unknown and price_status = 'ok', 'degraded', price_status) as price_status,
            is_confidence_unknown,
            is_simulated,
            cast(quantity * valuation_price_usd as numeric) as exposure_usd
        from appraised
    )

select *
from valued
