{{ config(tags=["daily"], materialized="table", cluster_by=["asset"]) }}

{%- set window = var("var_window_observations") %}

with
    asset_returns as (select * from {{ ref("int_risk__asset_returns") }}),

    assets as (
        select asset, price_set_id, as_of_date, logical_or(is_simulated) as is_simulated
        from asset_returns
        group by asset, price_set_id, as_of_date
    ),

    spine as (
        select assets.asset, assets.price_set_id, assets.as_of_date, assets.is_simulated, scenario_date
        from assets
        cross join
            unnest(
                generate_date_array(date_sub(assets.as_of_date, interval {{ window - 1 }} day), assets.as_of_date)
            ) as scenario_date
    ),

    scenarios as (
        select
            spine.asset,
            spine.scenario_date,
            spine.price_set_id,
            spine.as_of_date,
            spine.is_simulated,
            asset_returns.simple_return
        from spine
        left join asset_returns on spine.asset = asset_returns.asset and spine.scenario_date = asset_returns.price_date
    )

select *
from scenarios
