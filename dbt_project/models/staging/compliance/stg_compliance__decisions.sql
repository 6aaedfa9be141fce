with
    source as (select * from {{ source("raw", "compliance_decisions") }}),

    renamed as (
        select
            sequence,
            decision_id,
            subject_kind,
            subject_id,
            outcome,
            reason,
            actor,
            policy_version,
            list_versions as list_versions_json,
            list_version_ids,
            evidence as evidence_json,
            decided_at,
            previous_hash,
            row_hash,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by decision_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
