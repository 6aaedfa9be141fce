{{ config(materialized="view", group="market_data") }}

{%- set columns %}
            asset,
            price_id,
            price_usd,
            confidence_usd,
            quality,
            degraded_reason,
            is_simulated,
            observed_at,
            published_at
{%- endset %}

with
    compacted as (select * from {{ ref("int_market__prices_compacted") }}),

    recent as (
        select *
        from {{ ref("stg_market__prices") }}
        -- More than price_max_silence_seconds: what was published before is stale, and its value is compacted.
        where ingested_at >= timestamp_sub({{ current_time() }}, interval 1 hour)
    ),

    asset_reference as (select * from {{ ref("stg_reference__assets") }}),

    candidates as (
        select {{ columns }}
        from compacted
        union all
        select {{ columns }}
        from recent
    ),

    -- The oracle's last word. Its oldest input may be older than that of the word before: a source came back.
    latest_message as (
        select *
        from candidates
        qualify row_number() over (partition by asset order by published_at desc, observed_at desc, price_id) = 1
    ),

    latest_price as (
        select *
        from candidates
        where price_usd is not null
        qualify row_number() over (partition by asset order by published_at desc, observed_at desc, price_id) = 1
    ),

    aged as (
        select
            latest_message.asset,
            latest_price.price_id,
            latest_price.price_usd,
            latest_price.confidence_usd,
            latest_price.observed_at,
            latest_message.published_at,
            latest_message.quality,
            latest_message.degraded_reason,
            latest_message.price_usd is null as is_withdrawn,
            latest_message.is_simulated,
            div(
                timestamp_diff({{ current_time() }}, latest_price.observed_at, microsecond), 1000000
            ) as price_age_seconds,
            div(
                timestamp_diff({{ current_time() }}, latest_message.published_at, microsecond), 1000000
            ) as price_silence_seconds,
            coalesce(
                asset_reference.price_max_age_seconds, {{ var("default_price_max_age_seconds") }}
            ) as price_max_age_seconds
        from latest_message
        left join latest_price on latest_message.asset = latest_price.asset
        left join asset_reference on latest_message.asset = asset_reference.asset
    ),

    latest_prices as (
        select
            asset,
            price_id,
            price_usd,
            confidence_usd,
            observed_at,
            published_at,
            degraded_reason,
            is_simulated,
            price_age_seconds,
            price_silence_seconds,
            price_max_age_seconds,
            case
                when is_withdrawn or price_usd is null
                then 'missing'
                when price_age_seconds > price_max_age_seconds
                then 'stale'
                when price_silence_seconds > {{ var("price_max_silence_seconds") }}
                then 'stale'
                else quality
            end as price_status
        from aged
    )

select *
from latest_prices
