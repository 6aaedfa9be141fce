with
    source as (select * from {{ source("raw", "price_ticks") }}),

    renamed as (
        select
            input_id,
            price_id,
            tick_id,
            asset,
            source,
            reference,
            price_usd,
            used as is_used,
            exclusion_code,
            message_id,
            observed_at,
            received_at,
            ingested_at
        from source
    )

select *
from renamed
