with
    source as (select * from {{ source("raw", "compliance_aml_alerts") }}),

    renamed as (
        select
            alert_id,
            transaction_id,
            account_id,
            rule_id,
            outcome,
            severity,
            evidence as evidence_json,
            policy_version,
            is_shadow,
            case_id,
            raised_at,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by alert_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
