with
    events as (select * from {{ ref("stg_compliance__case_events") }}),

    cases as (select * from {{ ref("stg_compliance__cases") }}),

    case_trail as (
        select
            events.sequence,
            events.event_id,
            events.case_id,
            events.event_at,
            events.actor,
            events.role,
            events.kind as event_kind,
            events.body_json,
            cases.kind as case_kind,
            cases.subject_id,
            cases.account_id,
            cases.user_id,
            cases.state as case_state,
            cases.outcome as case_outcome,
            cases.sla_due_at,
            events.previous_hash,
            events.row_hash,
            events.mirrored_at
        from events
        left join cases on events.case_id = cases.case_id
    )

select *
from case_trail
