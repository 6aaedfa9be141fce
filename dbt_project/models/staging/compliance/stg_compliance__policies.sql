with
    source as (select * from {{ source("raw", "compliance_policies") }}),

    renamed as (
        select policy_version, name, content_hash, content, effective_from, recorded_at, change_number, mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by policy_version order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
