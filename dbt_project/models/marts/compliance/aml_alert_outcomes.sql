with
    alerts as (select * from {{ ref("stg_compliance__aml_alerts") }}),

    transactions as (select * from {{ ref("stg_compliance__transaction_logs") }}),

    followed as (
        select
            date(alerts.raised_at) as raised_date,
            alerts.rule_id,
            alerts.severity,
            alerts.policy_version,
            alerts.is_shadow,
            alerts.outcome,
            alerts.transaction_id,
            alerts.case_id,
            case
                when alerts.outcome != 'hit'
                then null
                when transactions.transaction_id is null
                then 'unknown'
                when transactions.decision in ('accepted', 'blocked', 'released', 'rejected')
                then transactions.decision
                when transactions.decision is null or transactions.decision = 'review'
                then 'open'
                else 'unknown'
            end as became
        from alerts
        left join transactions on alerts.transaction_id = transactions.transaction_id
    ),

    counted as (
        select
            raised_date,
            rule_id,
            severity,
            policy_version,
            is_shadow,
            count(*) as alerts,
            countif(outcome = 'hit') as hits,
            countif(outcome = 'insufficient_history') as insufficient_history,
            countif(outcome not in ('hit', 'insufficient_history')) as errors,
            count(distinct transaction_id) as transactions,
            count(distinct case_id) as cases,
            countif(became = 'open') as hits_open,
            countif(became = 'accepted') as hits_accepted,
            countif(became = 'blocked') as hits_blocked,
            countif(became = 'released') as hits_released,
            countif(became = 'rejected') as hits_rejected,
            countif(became = 'unknown') as hits_unknown
        from followed
        group by raised_date, rule_id, severity, policy_version, is_shadow
    ),

    aml_alert_outcomes as (
        select
            raised_date,
            rule_id,
            severity,
            policy_version,
            is_shadow,
            alerts,
            hits,
            insufficient_history,
            errors,
            transactions,
            cases,
            hits_open,
            hits_accepted,
            hits_blocked,
            hits_released,
            hits_rejected,
            hits_unknown,
            -- Only what an officer decided on tells right from wrong.
            {{ share_pct("hits_rejected", "hits_released + hits_rejected") }} as precision_pct
        from counted
    )

select *
from aml_alert_outcomes
