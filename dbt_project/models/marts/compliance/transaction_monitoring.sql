{%- set judge_within = var("transaction_judge_within_seconds") %}

with
    transactions as (select * from {{ ref("stg_compliance__transaction_logs") }}),

    judged as (
        select
            date(received_at) as received_date,
            asset,
            direction,
            received_at,
            -- A decision that this project does not know is none.
            if(decision in ('accepted', 'review', 'blocked', 'released', 'rejected'), decision, null) as decision,
            amount_usd,
            has_event and published_at is null as is_unpublished,
            is_settled_unasked,
            -- A release or a rejection is an officer's, later than the judgement.
            if(
                decision in ('accepted', 'review', 'blocked'),
                cast(timestamp_diff(decided_at, received_at, microsecond) as numeric) / 1000000,
                null
            ) as seconds_to_judge
        from transactions
    ),

    counted as (
        select
            received_date,
            asset,
            direction,
            count(*) as transactions,
            countif(decision = 'accepted') as accepted,
            countif(decision = 'review') as in_review,
            countif(decision = 'blocked') as blocked,
            countif(decision = 'released') as released,
            countif(decision = 'rejected') as rejected,
            countif(decision is null) as undecided,
            countif(
                decision is null
                and received_at < timestamp_sub({{ current_time() }}, interval {{ judge_within }} second)
            ) as undecided_late,
            countif(amount_usd is null) as unpriced,
            countif(is_settled_unasked) as settled_unasked,
            countif(decision in ('accepted', 'released') and is_unpublished) as unpublished,
            coalesce(sum(amount_usd), 0) as priced_usd,
            coalesce(sum(if(decision in ('review', 'blocked', 'rejected'), amount_usd, null)), 0) as stopped_usd,
            count(seconds_to_judge) as timed,
            array_agg(seconds_to_judge ignore nulls order by seconds_to_judge) as ordered_seconds
        from judged
        group by received_date, asset, direction
    ),

    transaction_monitoring as (
        select
            received_date,
            asset,
            direction,
            transactions,
            accepted,
            in_review,
            blocked,
            released,
            rejected,
            undecided,
            undecided_late,
            unpriced,
            settled_unasked,
            unpublished,
            cast(priced_usd as numeric) as priced_usd,
            cast(stopped_usd as numeric) as stopped_usd,
            {{ nearest_rank("ordered_seconds", "timed", 95) }} as p95_seconds_to_judge
        from counted
    )

select *
from transaction_monitoring
