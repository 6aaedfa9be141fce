{{ config(tags=["daily"], materialized="view") }}

with
    exposures as (select * from {{ ref("int_risk__exposures_as_of") }}),

    shocks as (select * from {{ ref("int_risk__stress_shocks") }}),

    scenarios as (select distinct scenario_id, scenario_version, kind from shocks),

    assets as (select asset, logical_or(is_simulated) as is_simulated from shocks group by asset),

    -- A side without a position is worth nothing whatever the price, also where that is unknown.
    positions as (
        select
            exposures.as_of_date,
            exposures.price_set_id,
            exposures.account_id,
            exposures.asset,
            exposures.collateral_quantity != 0 as has_collateral,
            exposures.borrow_quantity != 0 as has_debt,
            exposures.borrow_quantity > 0 as is_owed,
            if(exposures.collateral_quantity = 0, numeric '0', exposures.collateral_usd) as collateral_usd,
            if(exposures.borrow_quantity = 0, numeric '0', exposures.borrow_usd) as borrow_usd,
            assets.is_simulated
        from exposures
        left join assets on exposures.asset = assets.asset
    ),

    accounts as (
        select
            as_of_date,
            price_set_id,
            account_id,
            if(countif(collateral_usd is null) > 0, null, sum(collateral_usd)) as collateral_usd,
            if(countif(borrow_usd is null) > 0, null, sum(borrow_usd)) as borrow_usd,
            logical_or(is_owed) as has_borrow,
            coalesce(logical_or(is_simulated), false) as is_simulated
        from positions
        group by as_of_date, price_set_id, account_id
    ),

    -- Assets that a scenario moves by the same fraction move as one, and what is not moved needs no product: of twenty
    -- assets that leaves a quarter of the products.
    baskets as (
        select scenario_id, shock, string_agg(asset, ',' order by asset) as basket
        from shocks
        where shock != 0
        group by scenario_id, shock
    ),

    basket_assets as (
        select distinct baskets.basket, shocks.asset
        from baskets
        inner join shocks on baskets.scenario_id = shocks.scenario_id and baskets.shock = shocks.shock
    ),

    held_by_basket as (
        select
            positions.account_id,
            basket_assets.basket,
            sum(positions.collateral_usd) as collateral_usd,
            sum(positions.borrow_usd) as borrow_usd
        from positions
        inner join basket_assets on positions.asset = basket_assets.asset
        group by positions.account_id, basket_assets.basket
    ),

    changes as (
        select
            baskets.scenario_id,
            held_by_basket.account_id,
            sum(cast(held_by_basket.collateral_usd * baskets.shock as numeric)) as collateral_change_usd,
            sum(cast(held_by_basket.borrow_usd * baskets.shock as numeric)) as borrow_change_usd
        from held_by_basket
        inner join baskets on held_by_basket.basket = baskets.basket
        group by baskets.scenario_id, held_by_basket.account_id
    ),

    unknowns as (
        select
            shocks.scenario_id,
            positions.account_id,
            logical_or(positions.has_collateral) as is_collateral_unknown,
            logical_or(positions.has_debt) as is_borrow_unknown,
            string_agg(shocks.reason, '; ' order by shocks.asset) as reason
        from positions
        inner join shocks on positions.asset = shocks.asset
        where shocks.reason is not null
        group by shocks.scenario_id, positions.account_id
    ),

    exposures_stressed as (
        select
            accounts.as_of_date,
            accounts.price_set_id,
            scenarios.scenario_id,
            scenarios.scenario_version,
            scenarios.kind,
            accounts.account_id,
            accounts.has_borrow,
            accounts.collateral_usd as collateral_before_usd,
            accounts.borrow_usd as borrow_before_usd,
            if(
                coalesce(unknowns.is_collateral_unknown, false),
                null,
                accounts.collateral_usd + coalesce(changes.collateral_change_usd, numeric '0')
            ) as collateral_after_usd,
            if(
                coalesce(unknowns.is_borrow_unknown, false),
                null,
                accounts.borrow_usd + coalesce(changes.borrow_change_usd, numeric '0')
            ) as borrow_after_usd,
            accounts.is_simulated,
            unknowns.reason
        from accounts
        cross join scenarios
        left join changes on scenarios.scenario_id = changes.scenario_id and accounts.account_id = changes.account_id
        left join unknowns on scenarios.scenario_id = unknowns.scenario_id and accounts.account_id = unknowns.account_id
    )

select *
from exposures_stressed
