{{ config(materialized="view") }}

with
    positions_valued as (select * from {{ ref("int_risk__positions_valued") }} where quantity != 0),

    thresholds as (
        select 'margin_call' as threshold, numeric '{{ var("margin_call_health_pct") }}' as threshold_pct
        union all
        select 'liquidation' as threshold, numeric '{{ var("liquidation_health_pct") }}' as threshold_pct
    ),

    -- What has no value counts as nothing here, and leaves the triggers of the other assets unknown below.
    per_asset as (
        select
            account_id,
            asset,
            sum(if(side = 'collateral', quantity, bignumeric '0')) as collateral_quantity,
            sum(if(side = 'borrow', quantity, bignumeric '0')) as borrow_quantity,
            sum(if(side = 'collateral', coalesce(exposure_usd, numeric '0'), numeric '0')) as collateral_usd,
            sum(if(side = 'borrow', coalesce(exposure_usd, numeric '0'), numeric '0')) as borrow_usd,
            countif(exposure_usd is null) as unvalued_positions,
            countif(price_status in ('missing', 'stale')) as unpriced_positions,
            max(price_usd) as price_usd,
            logical_or(is_simulated) as is_simulated
        from positions_valued
        group by account_id, asset
    ),

    -- Of the account's other assets: what is owned and owed beside this one.
    with_others as (
        select
            *,
            sum(collateral_usd) over (partition by account_id) - collateral_usd as collateral_other_usd,
            sum(borrow_usd) over (partition by account_id) - borrow_usd as borrow_other_usd,
            max(borrow_quantity) over (partition by account_id) as largest_borrow_quantity,
            sum(unvalued_positions) over (partition by account_id) - unvalued_positions as others_unvalued,
            sum(unpriced_positions) over (partition by account_id) - unpriced_positions as others_unpriced
        from per_asset
    ),

    terms as (
        select
            with_others.*,
            thresholds.threshold,
            thresholds.threshold_pct,
            (numeric '1' + thresholds.threshold_pct / numeric '100') * borrow_other_usd
            - collateral_other_usd as shortfall_usd,
            collateral_quantity
            - cast(numeric '1' + thresholds.threshold_pct / numeric '100' as bignumeric)
            * borrow_quantity as net_quantity
        from with_others
        cross join thresholds
    ),

    solved as (
        select
            *,
            case
                when largest_borrow_quantity <= 0
                then 'no_debt'
                when others_unvalued > 0
                then 'other_asset_without_price'
                when net_quantity = 0
                then 'price_has_no_effect'
                when net_quantity > 0 and shortfall_usd <= 0
                then 'covered_without_asset'
                when net_quantity < 0 and shortfall_usd >= 0
                then 'below_at_any_price'
            end as reason
        from terms
    ),

    liquidation_prices as (
        select
            account_id,
            asset,
            threshold,
            threshold_pct,
            if(
                reason is null, cast(round(cast(shortfall_usd as bignumeric) / net_quantity, 9) as numeric), null
            ) as trigger_price_usd,
            reason,
            price_usd,
            others_unpriced > 0 as has_unpriced_other,
            is_simulated
        from solved
    )

select *
from liquidation_prices
