{{
    config(
        tags=["daily"],
        materialized="table",
        partition_by={"field": "as_of_date", "data_type": "date", "granularity": "day"},
        cluster_by=["scenario_id", "account_id"],
    )
}}

with
    exposures_stressed as (select * from {{ ref("int_risk__exposures_stressed") }}),

    account_thresholds as (select * from {{ ref("stg_margin__account_thresholds") }}),

    with_thresholds as (
        select
            exposures_stressed.*,
            coalesce(
                account_thresholds.margin_call_pct, {{ default_threshold("margin_call_health_pct") }}
            ) as margin_call_threshold_pct,
            coalesce(
                account_thresholds.liquidation_pct, {{ default_threshold("liquidation_health_pct") }}
            ) as liquidation_threshold_pct
        from exposures_stressed
        left join account_thresholds on exposures_stressed.account_id = account_thresholds.account_id
    ),

    measured as (
        select
            *,
            (collateral_after_usd - borrow_after_usd) - (collateral_before_usd - borrow_before_usd) as pnl_usd,
            -- Selling for less would leave the account below its own call.
            if(
                margin_call_threshold_pct > {{ default_threshold("liquidation_target_health_pct") }},
                margin_call_threshold_pct,
                {{ default_threshold("liquidation_target_health_pct") }}
            ) as liquidation_target_pct,
            if(
                has_borrow and borrow_before_usd > 0,
                {{ health_pct("collateral_before_usd", "borrow_before_usd") }},
                null
            ) as health_before_pct,
            if(
                has_borrow and borrow_after_usd > 0, {{ health_pct("collateral_after_usd", "borrow_after_usd") }}, null
            ) as health_after_pct
        from with_thresholds
    ),

    judged as (
        select
            *,
            {{ margin_status("has_borrow", "health_before_pct") }} as status_before,
            {{ margin_status("has_borrow", "health_after_pct") }} as status_after,
            coalesce(
                reason,
                if(has_borrow and (health_before_pct is null or health_after_pct is null), 'debts sum to nothing', null)
            ) as unknown_reason
        from measured
    ),

    -- Selling X and repaying X leaves (C - X) / (B - X) at the target.
    with_sale as (
        select
            *,
            case
                when status_after = 'unpriced'
                then null
                when status_after != 'liquidation'
                then numeric '0'
                when collateral_after_usd <= borrow_after_usd
                then collateral_after_usd
                else
                    borrow_after_usd
                    - cast((collateral_after_usd - borrow_after_usd) * numeric '100' as numeric)
                    / liquidation_target_pct
            end as wanted_sale_usd,
            case
                when status_after = 'unpriced'
                then null
                when status_after = 'no_debt' or borrow_after_usd <= collateral_after_usd
                then numeric '0'
                else borrow_after_usd - collateral_after_usd
            end as bad_debt_usd
        from judged
    ),

    -- Known ones come first, so that their ranks begin with the largest loss.
    ranked as (
        select
            *,
            row_number() over (
                partition by scenario_id order by unknown_reason is not null, pnl_usd, account_id
            ) as place
        from with_sale
    ),

    stress_account_results as (
        select
            as_of_date,
            price_set_id,
            scenario_id,
            scenario_version,
            kind,
            account_id,
            collateral_before_usd,
            borrow_before_usd,
            collateral_after_usd,
            borrow_after_usd,
            pnl_usd,
            if(unknown_reason is null, place, null) as loss_rank,
            health_before_pct,
            health_after_pct,
            status_before,
            status_after,
            margin_call_threshold_pct,
            liquidation_threshold_pct,
            liquidation_target_pct,
            if(wanted_sale_usd < 0, numeric '0', wanted_sale_usd) as collateral_to_sell_usd,
            bad_debt_usd,
            unknown_reason as reason,
            is_simulated,
            '{{ var("code_version") }}' as code_version,
            {{ current_time() }} as computed_at
        from ranked
    )

select *
from stress_account_results
