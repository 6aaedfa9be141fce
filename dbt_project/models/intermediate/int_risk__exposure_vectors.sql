{{ config(tags=["daily"], materialized="table", cluster_by=["portfolio_key"]) }}

-- depends_on: {{ ref("int_risk__asset_coverage") }}
-- depends_on: {{ ref("int_risk__exposures_as_of") }}
{%- set assets = scenario_assets() %}

with
    exposures as (select * from {{ ref("int_risk__portfolio_exposures") }}),

    exposure_vectors as (
        select
            concat(portfolio_kind, ':', portfolio_id) as portfolio_key,
            portfolio_kind,
            portfolio_id,
            as_of_date,
            price_set_id
            {%- for asset in assets %}
                , sum(if(asset = '{{ asset }}', cast(net_exposure_usd as float64), 0.0)) as {{ asset | lower }}_usd
            {%- endfor %}
        from exposures
        group by portfolio_kind, portfolio_id, as_of_date, price_set_id
    )

select *
from exposure_vectors
