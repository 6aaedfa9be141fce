with
    source as (select * from {{ source("raw", "compliance_cases") }}),

    renamed as (
        select
            case_id,
            kind,
            subject_id,
            account_id,
            user_id,
            state,
            priority,
            assignee,
            has_proposal,
            outcome,
            sla_due_at,
            opened_at,
            closed_at,
            version,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by case_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
