{{ config(tags=["daily"]) }}

with
    closes as (select * from {{ source("raw", "daily_closes") }}),

    price_sets as (select * from {{ source("raw", "price_sets") }}),

    active as (
        select price_set_id, last_date from price_sets qualify row_number() over (order by activated_at desc) = 1
    ),

    of_active_set as (
        select
            closes.price_set_id,
            closes.asset,
            closes.price_date,
            closes.close_usd,
            closes.source = 'simulated' as is_simulated,
            active.last_date as as_of_date,
            closes.loaded_at
        from closes
        inner join active on closes.price_set_id = active.price_set_id
        where closes.price_date <= active.last_date
    ),

    deduped as (
        select * from of_active_set qualify row_number() over (partition by asset, price_date order by loaded_at) = 1
    )

select *
from deduped
