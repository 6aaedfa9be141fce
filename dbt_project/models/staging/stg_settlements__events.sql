with
    source as (select * from {{ source("raw", "settlement_events") }}),

    renamed as (
        select
            event_id,
            account_id,
            asset,
            side,
            kind,
            quantity,
            if(kind in ('withdrawal', 'seizure', 'repayment'), - quantity, quantity) as signed_quantity,
            chain,
            tx_hash,
            counterparty_address,
            counterparty_country,
            message_id,
            occurred_at,
            ingested_at,
            div(timestamp_diff(ingested_at, occurred_at, microsecond), 1000000)
            >= {{ var("late_after_days") }} * 86400 as is_late
        from source
    )

select *
from renamed
