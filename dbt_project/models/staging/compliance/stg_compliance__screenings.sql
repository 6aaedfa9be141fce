with
    source as (select * from {{ source("raw", "compliance_screenings") }}),

    renamed as (
        select
            screening_id,
            subject_kind,
            user_id,
            subject_hash,
            outcome,
            reason,
            list_versions as list_versions_json,
            list_version_ids,
            policy_version,
            trigger,
            screened_at,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by screening_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
