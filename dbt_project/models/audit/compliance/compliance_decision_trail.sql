with
    decisions as (select * from {{ ref("stg_compliance__decisions") }}),

    policies as (select * from {{ ref("stg_compliance__policies") }}),

    list_versions as (select * from {{ ref("stg_compliance__list_versions") }}),

    transactions as (select * from {{ ref("stg_compliance__transaction_logs") }}),

    alerts as (select * from {{ ref("stg_compliance__aml_alerts") }}),

    screenings as (select * from {{ ref("stg_compliance__screenings") }}),

    hits as (select * from {{ ref("stg_compliance__screening_hits") }}),

    checks as (select * from {{ ref("stg_compliance__kyc_checks") }}),

    -- A decision on a customer or a hit names the screening that it rests on.
    subjects as (
        select decision_id, decided_at, subject_id
        from decisions
        union distinct
        select decision_id, decided_at, json_value(evidence_json, '$.screening_id') as subject_id
        from decisions
        where json_value(evidence_json, '$.screening_id') is not null
    ),

    -- A decision is on what was judged, or on the case that it led to.
    rules_of_subjects as (
        select transaction_id as subject_id, alerts.*
        from alerts
        union all
        select case_id as subject_id, alerts.*
        from alerts
        where case_id is not null
    ),

    hits_of_subjects as (
        select screening_id as subject_id, hits.*
        from hits
        union all
        select hit_id as subject_id, hits.*
        from hits
        union all
        select case_id as subject_id, hits.*
        from hits
        where case_id is not null
    ),

    named_lists as (
        select decision_id, trim(named_id) as list_version_id
        from decisions
        cross join unnest(split(list_version_ids, ',')) as named_id
        where trim(named_id) != ''
    ),

    evidence as (
        select
            decisions.decision_id,
            'policy' as evidence_kind,
            decisions.policy_version as evidence_id,
            cast(null as string) as evidence_outcome,
            concat(policies.name, ' ', policies.content_hash) as evidence_detail,
            cast(null as numeric) as evidence_score,
            cast(null as string) as evidence_json,
            policies.effective_from as evidence_at,
            policies.policy_version is not null as is_found
        from decisions
        left join policies on decisions.policy_version = policies.policy_version
        union distinct
        select
            named_lists.decision_id,
            'list_version' as evidence_kind,
            named_lists.list_version_id as evidence_id,
            list_versions.state as evidence_outcome,
            concat(list_versions.list_name, ' ', list_versions.content_hash) as evidence_detail,
            cast(null as numeric) as evidence_score,
            cast(null as string) as evidence_json,
            list_versions.loaded_at as evidence_at,
            list_versions.list_version_id is not null as is_found
        from named_lists
        left join list_versions on named_lists.list_version_id = list_versions.list_version_id
        union distinct
        select
            subjects.decision_id,
            'transaction' as evidence_kind,
            transactions.transaction_id as evidence_id,
            transactions.decision as evidence_outcome,
            concat(transactions.direction, ' ', transactions.kind, ' ', transactions.asset) as evidence_detail,
            cast(null as numeric) as evidence_score,
            transactions.features_json as evidence_json,
            transactions.occurred_at as evidence_at,
            true as is_found
        from subjects
        inner join transactions on subjects.subject_id = transactions.transaction_id
        union distinct
        select
            subjects.decision_id,
            'rule' as evidence_kind,
            rules_of_subjects.rule_id as evidence_id,
            rules_of_subjects.outcome as evidence_outcome,
            if(
                rules_of_subjects.is_shadow, concat(rules_of_subjects.severity, ', shadow'), rules_of_subjects.severity
            ) as evidence_detail,
            cast(null as numeric) as evidence_score,
            rules_of_subjects.evidence_json,
            rules_of_subjects.raised_at as evidence_at,
            true as is_found
        from subjects
        inner join rules_of_subjects on subjects.subject_id = rules_of_subjects.subject_id
        union distinct
        select
            subjects.decision_id,
            'screening' as evidence_kind,
            screenings.screening_id as evidence_id,
            screenings.outcome as evidence_outcome,
            screenings.reason as evidence_detail,
            cast(null as numeric) as evidence_score,
            screenings.list_versions_json as evidence_json,
            screenings.screened_at as evidence_at,
            true as is_found
        from subjects
        inner join screenings on subjects.subject_id = screenings.screening_id
        union distinct
        select
            subjects.decision_id,
            'hit' as evidence_kind,
            hits_of_subjects.hit_id as evidence_id,
            hits_of_subjects.state as evidence_outcome,
            concat(hits_of_subjects.list_name, ' ', hits_of_subjects.entry_id) as evidence_detail,
            hits_of_subjects.score as evidence_score,
            cast(null as string) as evidence_json,
            hits_of_subjects.decided_at as evidence_at,
            true as is_found
        from subjects
        inner join hits_of_subjects on subjects.subject_id = hits_of_subjects.subject_id
        union distinct
        select
            subjects.decision_id,
            'kyc_check' as evidence_kind,
            checks.check_id as evidence_id,
            checks.verdict as evidence_outcome,
            concat(checks.provider, ' by ', checks.source) as evidence_detail,
            cast(null as numeric) as evidence_score,
            cast(null as string) as evidence_json,
            checks.received_at as evidence_at,
            true as is_found
        from subjects
        inner join checks on subjects.subject_id = checks.kyc_case_id and checks.received_at <= subjects.decided_at
    ),

    compliance_decision_trail as (
        select
            decisions.sequence,
            decisions.decision_id,
            decisions.subject_kind,
            decisions.subject_id,
            decisions.outcome,
            decisions.reason,
            decisions.actor,
            decisions.decided_at,
            decisions.policy_version,
            decisions.list_version_ids,
            decisions.evidence_json as decision_evidence_json,
            decisions.previous_hash,
            decisions.row_hash,
            evidence.evidence_kind,
            evidence.evidence_id,
            evidence.evidence_outcome,
            evidence.evidence_detail,
            evidence.evidence_score,
            evidence.evidence_json,
            evidence.evidence_at,
            evidence.is_found
        from decisions
        inner join evidence on decisions.decision_id = evidence.decision_id
    )

select *
from compliance_decision_trail
