with
    source as (select * from {{ source("raw", "compliance_kyc_checks") }}),

    renamed as (
        select
            check_id,
            kyc_case_id,
            provider,
            source,
            external_id,
            provider_status,
            verdict,
            occurred_at,
            received_at,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by check_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
