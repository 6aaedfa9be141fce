{{ config(meta={"dagster": {"ref": {"name": "stress_results"}}}) }}

-- A scenario's row must be the sum of its accounts: of two figures that disagree each looks right.
with
    by_scenario as (
        select
            as_of_date,
            price_set_id,
            scenario_id,
            scenario_version,
            count(*) as accounts,
            countif(reason is not null) as unknown_accounts,
            sum(if(reason is null, collateral_after_usd - borrow_after_usd, null)) as after_usd,
            sum(if(reason is null, collateral_before_usd - borrow_before_usd, null)) as before_usd,
            countif(reason is null and status_after = 'margin_call') as margin_call_accounts,
            countif(reason is null and status_after = 'liquidation') as liquidation_accounts,
            sum(if(reason is null, collateral_to_sell_usd, null)) as collateral_to_sell_usd,
            sum(if(reason is null, bad_debt_usd, null)) as bad_debt_usd
        from {{ ref("stress_account_results") }}
        group by as_of_date, price_set_id, scenario_id, scenario_version
    )

select by_scenario.scenario_id, by_scenario.accounts, results.accounts as result_accounts, results.pnl_usd
from by_scenario
left join
    {{ ref("stress_results") }} as results
    on by_scenario.as_of_date = results.as_of_date
    and by_scenario.price_set_id = results.price_set_id
    and by_scenario.scenario_id = results.scenario_id
    and by_scenario.scenario_version = results.scenario_version
where
    results.scenario_id is null
    or results.accounts != by_scenario.accounts
    or results.unknown_accounts != by_scenario.unknown_accounts
    or (results.reason is not null) != (by_scenario.unknown_accounts > 0)
    or (results.pnl_usd is null) != (by_scenario.accounts = by_scenario.unknown_accounts)
    or results.pnl_usd != by_scenario.after_usd - by_scenario.before_usd
    or results.margin_call_accounts != by_scenario.margin_call_accounts
    or results.liquidation_accounts != by_scenario.liquidation_accounts
    or results.collateral_to_sell_usd != by_scenario.collateral_to_sell_usd
    or results.bad_debt_usd != by_scenario.bad_debt_usd
