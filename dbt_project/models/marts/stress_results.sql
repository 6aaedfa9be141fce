{{
    config(
        tags=["daily"],
        materialized="incremental",
        incremental_strategy="merge",
        unique_key=["as_of_date", "price_set_id", "scenario_id", "scenario_version"],
        partition_by={"field": "as_of_date", "data_type": "date", "granularity": "day"},
        cluster_by=["scenario_id"],
        on_schema_change="fail",
        post_hook="{{ delete_rows_of_earlier_builds() }}",
    )
}}

with
    account_results as (select * from {{ ref("stress_account_results") }}),

    shocks as (select * from {{ ref("int_risk__stress_shocks") }}),

    scenarios as (select * from {{ ref("stg_reference__stress_scenarios") }}),

    judged as (select *, reason is null as is_known from account_results),

    totals as (
        select
            as_of_date,
            price_set_id,
            scenario_id,
            scenario_version,
            count(*) as accounts,
            countif(not is_known) as unknown_accounts,
            countif(status_after = 'unpriced') as unpriced_accounts,
            countif(is_known) as known_accounts,
            sum(if(is_known, pnl_usd, null)) as pnl_usd,
            countif(is_known and status_after = 'margin_call') as margin_call_accounts,
            countif(
                is_known and status_after = 'margin_call' and status_before = 'healthy'
            ) as new_margin_call_accounts,
            countif(is_known and status_after = 'liquidation') as liquidation_accounts,
            countif(
                is_known and status_after = 'liquidation' and status_before in ('healthy', 'margin_call')
            ) as new_liquidation_accounts,
            sum(if(is_known, collateral_to_sell_usd, null)) as collateral_to_sell_usd,
            sum(if(is_known, bad_debt_usd, null)) as bad_debt_usd,
            string_agg(
                if(loss_rank <= {{ var("stress_top_accounts") }} and pnl_usd < 0, account_id, null),
                ','
                order by loss_rank
            ) as top_loss_account_ids,
            logical_or(is_simulated) as is_simulated
        from judged
        group by as_of_date, price_set_id, scenario_id, scenario_version
    ),

    sources as (
        select
            scenario_id,
            string_agg(distinct shock_source, ',' order by shock_source) as shock_sources,
            string_agg(reason, '; ' order by asset) as reason
        from shocks
        group by scenario_id
    ),

    stress_results as (
        select
            totals.as_of_date,
            totals.price_set_id,
            totals.scenario_id,
            totals.scenario_version,
            scenarios.kind,
            scenarios.name,
            totals.accounts,
            totals.unknown_accounts,
            totals.unpriced_accounts,
            totals.pnl_usd,
            if(totals.known_accounts = 0, null, totals.margin_call_accounts) as margin_call_accounts,
            if(totals.known_accounts = 0, null, totals.new_margin_call_accounts) as new_margin_call_accounts,
            if(totals.known_accounts = 0, null, totals.liquidation_accounts) as liquidation_accounts,
            if(totals.known_accounts = 0, null, totals.new_liquidation_accounts) as new_liquidation_accounts,
            totals.collateral_to_sell_usd,
            totals.bad_debt_usd,
            totals.top_loss_account_ids,
            sources.shock_sources,
            case
                when totals.unknown_accounts > 0
                then
                    concat(
                        cast(totals.unknown_accounts as string),
                        ' of ',
                        cast(totals.accounts as string),
                        ' accounts unknown: ',
                        coalesce(sources.reason, 'debts sum to nothing')
                    )
            end as reason,
            totals.is_simulated,
            '{{ var("code_version") }}' as code_version,
            {{ current_time() }} as computed_at
        from totals
        inner join scenarios on totals.scenario_id = scenarios.scenario_id
        left join sources on totals.scenario_id = sources.scenario_id
    )

select *
from stress_results
