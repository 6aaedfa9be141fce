{{ config(tags=["daily"], materialized="table") }}

-- depends_on: {{ ref("int_risk__asset_coverage") }}
-- depends_on: {{ ref("int_risk__exposures_as_of") }}
{%- set assets = scenario_assets() %}

with
    scenarios as (select * from {{ ref("int_risk__scenarios") }}),

    -- A return that is not there counts as nothing: whoever holds the asset gets a reason instead of a figure.
    scenario_matrix as (
        select
            horizon_days,
            scenario_date,
            scenario_age_days
            {%- for asset in assets %}
                , sum(if(asset = '{{ asset }}', coalesce(simple_return, 0.0), 0.0)) as {{ asset | lower }}_return
            {%- endfor %}
        from scenarios
        group by horizon_days, scenario_date, scenario_age_days
    )

select *
from scenario_matrix
