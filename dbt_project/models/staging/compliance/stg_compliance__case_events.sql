with
    source as (select * from {{ source("raw", "compliance_case_events") }}),

    renamed as (
        select
            sequence,
            event_id,
            case_id,
            event_at,
            actor,
            role,
            kind,
            body as body_json,
            previous_hash,
            row_hash,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by event_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
