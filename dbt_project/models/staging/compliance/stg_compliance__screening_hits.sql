with
    source as (select * from {{ source("raw", "compliance_screening_hits") }}),

    renamed as (
        select
            hit_id,
            screening_id,
            user_id,
            list_name,
            list_version_id,
            entry_id,
            entry_hash,
            score,
            rank as match_rank,
            state,
            case_id,
            decided_at,
            decided_by,
            cleared_until,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by hit_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
