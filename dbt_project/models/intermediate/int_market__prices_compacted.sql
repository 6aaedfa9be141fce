{{
    config(
        materialized="incremental",
        incremental_strategy="merge",
        unique_key="compacted_price_id",
        on_schema_change="append_new_columns",
        pre_hook="{% if is_incremental() %} alter table {{ this }} add column if not exists confidence_usd numeric {% endif %}",
        group="market_data",
    )
}}

{%- set columns = "asset, price_id, price_usd, confidence_usd, quality, degraded_reason, is_simulated, observed_at, published_at, ingested_at" %}

with
    prices as (select * from {{ ref("stg_market__prices") }}),

    {% if is_incremental() %}
        kept as (select * from {{ this }}),

        horizon as (select timestamp_sub(max(ingested_at), interval 1 day) as since from kept),

        arrived as (
            select prices.*
            from prices
            cross join horizon
            where horizon.since is null or prices.ingested_at >= horizon.since
        ),

        candidates as (
            select {{ columns }}
            from kept
            union all
            select {{ columns }}
            from arrived
        ),
    {% else %} candidates as (select {{ columns }} from prices),
    {% endif %}

    latest_messages as (
        select concat(asset, ':message') as compacted_price_id, {{ columns }}
        from candidates
        qualify row_number() over (partition by asset order by published_at desc, observed_at desc, price_id) = 1
    ),

    latest_prices as (
        select concat(asset, ':price') as compacted_price_id, {{ columns }}
        from candidates
        where price_usd is not null
        qualify row_number() over (partition by asset order by published_at desc, observed_at desc, price_id) = 1
    ),

    compacted as (
        select *
        from latest_messages
        union all
        select *
        from latest_prices
    )

select *
from compacted
