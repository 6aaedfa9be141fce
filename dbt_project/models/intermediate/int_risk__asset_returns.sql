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
            as_of_date,
            lag(close_usd) over (partition by asset order by price_date) as previous_close_usd,
            lag(price_date) over (partition by asset order by price_date) as previous_date
        from closes
    ),

    -- A return spans exactly one day: across a gap there is none, and nothing is filled forward.
    asset_returns as (
        select
            asset,
            price_date,
            close_usd,
            is_simulated,
            price_set_id,
            as_of_date,
            if(
                date_diff(price_date, previous_date, day) = 1,
                cast(close_usd as float64) / cast(previous_close_usd as float64) - 1,
                null
            ) as simple_return
        from paired
    )

select *
from asset_returns
