with
    source as (select * from {{ source("raw", "compliance_kyc_cases") }}),

    renamed as (
        select
            kyc_case_id,
            user_id,
            state,
            state_reason,
            provider,
            provider_reference,
            submitted_at,
            decided_at,
            expires_at,
            polls,
            policy_version,
            version,
            created_at,
            updated_at,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by kyc_case_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
