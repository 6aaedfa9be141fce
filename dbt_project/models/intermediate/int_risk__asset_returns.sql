{{ config(tags=["daily"], materialized="table", cluster_by=["asset"]) }}

with
    closes as (select * from {{ ref("stg_market__daily_closes") }}),

    paired as (
        select
            asset,
            price_date,
            close_usd,
            is_simulated,
            price_set_id,
            as_of_date
            {%- for days in var("var_horizons_days") %}
                ,
                lag(close_usd, {{ days }}) over (partition by asset order by price_date) as close_{{ days }}d_ago_usd,
                lag(price_date, {{ days }}) over (partition by asset order by price_date) as date_{{ days }}d_ago
            {%- endfor %}
        from closes
    ),

    -- A return spans exactly its days, with a close on each: across a gap there is none, and nothing is filled forward.
    asset_returns as (
        select
            asset,
            price_date,
            close_usd,
            is_simulated,
            price_set_id,
            as_of_date
            {%- for days in var("var_horizons_days") %}
                ,
                if(
                    date_diff(price_date, date_{{ days }}d_ago, day) = {{ days }} and close_{{ days }}d_ago_usd > 0,
                    cast(close_usd as float64) / cast(close_{{ days }}d_ago_usd as float64) - 1,
                    null
                ) as return_{{ days }}d
            {%- endfor %}
        from paired
    )

select *
from asset_returns
