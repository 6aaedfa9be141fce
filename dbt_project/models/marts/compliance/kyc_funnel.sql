with
    cases as (select * from {{ ref("stg_compliance__kyc_cases") }}),

    checks as (select * from {{ ref("stg_compliance__kyc_checks") }}),

    decided_by_people as (
        select kyc_case_id
        from checks
        where source = 'manual' and verdict in ('approved', 'declined')
        group by kyc_case_id
    ),

    judged as (
        select
            date(cases.created_at) as created_date,
            coalesce(cases.provider, 'none') as provider,
            cases.state,
            cases.submitted_at,
            decided_by_people.kyc_case_id is not null as is_manual,
            -- The clock starts when the customer has submitted all, not when the attempt was opened.
            if(
                cases.state in ('approved', 'declined'),
                cast(timestamp_diff(cases.decided_at, cases.submitted_at, microsecond) as numeric) / 1000000,
                null
            ) as seconds_to_decide
        from cases
        left join decided_by_people on cases.kyc_case_id = decided_by_people.kyc_case_id
    ),

    counted as (
        select
            created_date,
            provider,
            count(*) as verifications,
            countif(submitted_at is not null) as submitted,
            countif(state = 'approved') as approved,
            countif(state = 'declined') as declined,
            countif(state = 'in_review') as in_review,
            countif(state = 'expired') as expired,
            countif(state = 'failed') as failed,
            countif(state in ('created', 'pending', 'submitted')) as in_progress,
            countif(
                state
                not in ('approved', 'declined', 'in_review', 'expired', 'failed', 'created', 'pending', 'submitted')
            ) as unknown,
            countif(is_manual) as decided_by_people,
            countif(seconds_to_decide <= {{ var("kyc_decide_within_seconds") }}) as decided_in_time,
            countif(seconds_to_decide > {{ var("kyc_decide_within_seconds") }}) as decided_late,
            count(seconds_to_decide) as timed,
            array_agg(seconds_to_decide ignore nulls order by seconds_to_decide) as ordered_seconds
        from judged
        group by created_date, provider
    ),

    kyc_funnel as (
        select
            created_date,
            provider,
            verifications,
            submitted,
            approved,
            declined,
            in_review,
            expired,
            failed,
            in_progress,
            unknown,
            decided_by_people,
            decided_in_time,
            decided_late,
            {{ share_pct("approved", "approved + declined") }} as approval_rate_pct,
            {{ nearest_rank("ordered_seconds", "timed", 50) }} as median_seconds_to_decide,
            {{ nearest_rank("ordered_seconds", "timed", 95) }} as p95_seconds_to_decide
        from counted
    )

select *
from kyc_funnel
