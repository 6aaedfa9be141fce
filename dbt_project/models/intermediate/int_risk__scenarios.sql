{{ config(tags=["daily"], materialized="table", cluster_by=["asset"]) }}

{%- set longest = var("var_windows") | max %}

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
                generate_date_array(date_sub(assets.as_of_date, interval {{ longest - 1 }} day), assets.as_of_date)
            ) as scenario_date
    ),

    matched as (
        select
            spine.asset,
            spine.scenario_date,
            date_diff(spine.as_of_date, spine.scenario_date, day) as scenario_age_days,
            spine.price_set_id,
            spine.as_of_date,
            spine.is_simulated
            {%- for days in var("var_horizons_days") %}, asset_returns.return_{{ days }}d {%- endfor %}
        from spine
        left join asset_returns on spine.asset = asset_returns.asset and spine.scenario_date = asset_returns.price_date
    ),

    scenarios as (
        {% for days in var("var_horizons_days") %}
            select
                asset,
                {{ days }} as horizon_days,
                scenario_date,
                scenario_age_days,
                price_set_id,
                as_of_date,
                is_simulated,
                return_{{ days }}d as simple_return
            from matched
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    )

select *
from scenarios
