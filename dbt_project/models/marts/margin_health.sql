{{ config(materialized="view") }}

with
    positions_valued as (select * from {{ ref("int_risk__positions_valued") }}),

    account_thresholds as (select * from {{ ref("stg_margin__account_thresholds") }}),

    by_account as (
        select
            account_id,
            cast(coalesce(sum(if(side = 'collateral', exposure_usd, null)), numeric '0') as numeric) as collateral_usd,
            cast(coalesce(sum(if(side = 'borrow', exposure_usd, null)), numeric '0') as numeric) as borrow_usd,
            logical_or(side = 'borrow' and quantity > 0) as has_borrow,
            logical_or(quantity < 0) as has_negative_position,
            logical_or(quantity != 0 and price_status = 'degraded') as has_degraded_price,
            logical_or(quantity != 0 and coalesce(is_confidence_unknown, false)) as is_confidence_unknown,
            logical_or(quantity != 0 and exposure_usd is null) as has_unvalued_position,
            -- The status rests on this flag, so that who asks for the status alone does not pay for the text below.
            logical_or(quantity != 0 and price_status in ('missing', 'stale')) as has_unpriced_position,
            logical_or(quantity != 0 and is_simulated) as is_simulated,
            logical_and(coalesce(positions_are_complete, false)) as positions_are_complete,
            max(compacted_at) as compacted_at,
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
            by_account.*,
            coalesce(
                account_thresholds.margin_call_pct, {{ default_threshold("margin_call_health_pct") }}
            ) as margin_call_threshold_pct,
            coalesce(
                account_thresholds.liquidation_pct, {{ default_threshold("liquidation_health_pct") }}
            ) as liquidation_threshold_pct,
            coalesce(
                account_thresholds.early_warning_pct, {{ default_threshold("early_warning_health_pct") }}
            ) as early_warning_threshold_pct,
            coalesce(
                account_thresholds.recovery_margin_pct, {{ default_threshold("recovery_margin_pct") }}
            ) as recovery_margin_pct,
            if(
                has_borrow and borrow_usd > 0 and not has_unvalued_position,
                {{ health_pct("collateral_usd", "borrow_usd") }},
                null
            ) as health_pct
        from by_account
        left join account_thresholds on by_account.account_id = account_thresholds.account_id
    ),

    judged as (
        select
            *,
            case
                -- Missing events may hold a debt: without all of them not even its absence is known.
                when not positions_are_complete
                then coalesce(concat('positions not compacted since ', cast(compacted_at as string)), 'never compacted')
                when not has_borrow
                then null
                when unpriced_assets is not null
                then concat('no current price of ', unpriced_assets)
                when health_pct is null
                then 'debts sum to nothing, as a position is below zero'
            end as unpriced_reason,
            not positions_are_complete or (has_borrow and (has_unpriced_position or health_pct is null)) as is_unpriced
        from measured
    ),

    margin_health as (
        select
            account_id,
            case
                when is_unpriced
                then 'unpriced'
                when not has_borrow
                then 'no_debt'
                when health_pct < liquidation_threshold_pct
                then 'liquidation'
                when health_pct < margin_call_threshold_pct
                then 'margin_call'
                else 'healthy'
            end as status,
            health_pct,
            collateral_usd,
            borrow_usd,
            margin_call_threshold_pct,
            liquidation_threshold_pct,
            early_warning_threshold_pct,
            recovery_margin_pct,
            unpriced_assets,
            unpriced_reason,
            has_borrow,
            has_degraded_price,
            is_confidence_unknown,
            has_negative_position,
            positions_are_complete,
            price_ids,
            oldest_price_at,
            oldest_price_age_seconds,
            late_events_pending,
            last_event_at,
            is_simulated,
            {{ current_time() }} as measured_at
        from judged
    )

select *
from margin_health
