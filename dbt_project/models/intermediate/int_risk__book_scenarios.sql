{{ config(tags=["daily"], materialized="table") }}

-- depends_on: {{ ref("int_risk__asset_coverage") }}
-- depends_on: {{ ref("int_risk__exposures_as_of") }}
{%- set assets = scenario_assets() %}

with
    exposures as (select * from {{ ref("int_risk__exposure_vectors") }} where portfolio_kind = 'book'),

    scenarios as (
        select *
        from {{ ref("int_risk__scenario_matrix") }}
        where horizon_days = 1 and scenario_age_days < {{ var("var_standard_window") }}
    ),

    simulated as (
        select
            exposures.as_of_date,
            exposures.price_set_id,
            scenarios.scenario_date,
            {% for asset in assets %}
                {{- " + " if not loop.first }}exposures.{{ asset | lower }}_usd * scenarios.{{ asset | lower }}_return
            {%- else %} 0.0
            {%- endfor %} as pnl
        from exposures
        cross join scenarios
    ),

    -- Equal losses are ordered by age, the older first.
    book_scenarios as (
        select
            as_of_date,
            price_set_id,
            scenario_date,
            pnl,
            cast(pnl as numeric) as pnl_usd,
            row_number() over (order by pnl, scenario_date) as loss_rank
        from simulated
    )

select *
from book_scenarios
