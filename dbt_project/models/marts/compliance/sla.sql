with
    cases as (select * from {{ ref("stg_compliance__cases") }}),

    judged as (
        select
            date(opened_at) as opened_date,
            kind as case_kind,
            priority,
            state,
            assignee,
            opened_at,
            -- A state that this project does not know is open.
            state = 'closed' as is_closed,
            state = 'closed' and closed_at <= sla_due_at as is_closed_in_time,
            state != 'closed' and sla_due_at < {{ current_time() }} as is_overdue,
            if(
                state = 'closed', cast(timestamp_diff(closed_at, opened_at, microsecond) as numeric) / 3600000000, null
            ) as hours_to_close
        from cases
    ),

    counted as (
        select
            opened_date,
            case_kind,
            priority,
            count(*) as cases,
            countif(not is_closed) as open,
            countif(is_overdue) as overdue,
            countif(not is_closed and assignee is null) as unassigned,
            countif(state = 'awaiting_approval') as awaiting_approval,
            countif(state = 'escalated') as escalated,
            countif(is_closed) as closed,
            countif(is_closed_in_time) as closed_in_time,
            min(if(is_closed, null, opened_at)) as oldest_open_at,
            count(hours_to_close) as timed,
            array_agg(hours_to_close ignore nulls order by hours_to_close) as ordered_hours
        from judged
        group by opened_date, case_kind, priority
    ),

    sla as (
        select
            opened_date,
            case_kind,
            priority,
            cases,
            open,
            overdue,
            unassigned,
            awaiting_approval,
            escalated,
            closed_in_time,
            closed - closed_in_time as closed_late,
            -- What is overdue has missed its time already.
            {{ share_pct("closed_in_time", "closed + overdue") }} as in_time_pct,
            {{ nearest_rank("ordered_hours", "timed", 50) }} as median_hours_to_close,
            oldest_open_at
        from counted
    )

select *
from sla
