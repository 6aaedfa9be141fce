with
    source as (select * from {{ source("raw", "market_prices") }}),

    renamed as (
        select
            price_id,
            asset,
            price_usd,
            confidence_usd,
            sources,
            quality,
            degraded_reason,
            is_simulated,
            message_id,
            observed_at,
            published_at,
            ingested_at
        from source
    )

select *
from renamed
