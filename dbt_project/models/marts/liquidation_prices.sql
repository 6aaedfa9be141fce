{{ config(materialized="view") }}

with
    positions_valued as (select * from {{ ref("int_risk__positions_valued") }} where quantity != 0),

    account_thresholds as (select * from {{ ref("stg_margin__account_thresholds") }}),

    thresholds as (
        select 'margin_call' as threshold
        union all
        select 'liquidation' as threshold
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
            cast(coalesce(max(price_haircut_usd), numeric '0') as bignumeric) as price_haircut_usd,
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

    with_thresholds as (
        select
            with_others.*,
            thresholds.threshold,
            case
                thresholds.threshold
                when 'margin_call'
                then coalesce(account_thresholds.margin_call_pct, {{ default_threshold("margin_call_health_pct") }})
                else coalesce(account_thresholds.liquidation_pct, {{ default_threshold("liquidation_health_pct") }})
            end as threshold_pct
        from with_others
        cross join thresholds
        left join account_thresholds on with_others.account_id = account_thresholds.account_id
    ),

    terms as (
        select
            *,
            cast(
                (numeric '1' + threshold_pct / numeric '100') * borrow_other_usd - collateral_other_usd as bignumeric
            ) as shortfall_usd,
            cast(numeric '1' + threshold_pct / numeric '100' as bignumeric) * borrow_quantity as covered_debt_quantity
        from with_thresholds
    ),

    -- What is missing to the threshold where the asset's price is nothing, and where it is its own haircut: up to
    -- there its collateral counts as nothing, and its debt as price plus haircut.
    floors as (
        select
            *,
            collateral_quantity - covered_debt_quantity as net_quantity,
            shortfall_usd + cast(price_haircut_usd * covered_debt_quantity as bignumeric) as shortfall_at_zero_usd,
            shortfall_usd + cast(
                price_haircut_usd * (covered_debt_quantity + covered_debt_quantity) as bignumeric
            ) as shortfall_at_haircut_usd
        from terms
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
                when net_quantity > 0 and shortfall_at_haircut_usd <= 0
                then 'covered_without_asset'
                when net_quantity < 0 and shortfall_at_zero_usd >= 0
                then 'below_at_any_price'
            end as reason
        from floors
    ),

    liquidation_prices as (
        select
            account_id,
            asset,
            threshold,
            threshold_pct,
            case
                when reason is not null
                then null
                -- Reached below the haircut, where the asset's own collateral counts as nothing already.
                when net_quantity < 0 and shortfall_at_haircut_usd > 0
                then cast(round(- shortfall_at_zero_usd / covered_debt_quantity, 9) as numeric)
                else
                    cast(
                        round(
                            (
                                shortfall_usd
                                + cast(price_haircut_usd * (collateral_quantity + covered_debt_quantity) as bignumeric)
                            )
                            / net_quantity,
                            9
                        ) as numeric
                    )
            end as trigger_price_usd,
            reason,
            price_usd,
            others_unpriced > 0 as has_unpriced_other,
            is_simulated
        from solved
    )

select *
from liquidation_prices
