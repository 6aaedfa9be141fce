with
    source as (select * from {{ source("raw", "compliance_transaction_logs") }}),

    renamed as (
        select
            transaction_id,
            account_id,
            direction,
            kind,
            side,
            asset,
            quantity,
            amount_usd,
            counterparty_hash,
            counterparty_country,
            chain,
            occurred_at,
            received_at,
            decision,
            decision_reason,
            decided_at,
            policy_version,
            list_versions as list_versions_json,
            list_version_ids,
            features as features_json,
            has_event,
            published_at,
            is_settled_unasked,
            case_id,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by transaction_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
