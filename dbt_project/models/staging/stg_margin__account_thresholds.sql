with
    source as (select * from {{ source("raw", "account_thresholds") }}),

    latest as (
        select
            account_id,
            margin_call_pct,
            liquidation_pct,
            early_warning_pct,
            recovery_margin_pct,
            set_at,
            set_by,
            reason,
            change_id
        from source
        qualify row_number() over (partition by account_id order by set_at desc, change_id) = 1
    )

select *
from latest
