{{ config(materialized="view", group="alerting") }}

with
    steps as (select * from {{ ref("stg_alerting__notification_events") }}),

    -- Every end that the ledger decides on comes with a step, so the newest one knows how the notification stands.
    ordered as (
        select
            *,
            first_value(state) over (newest_first) as newest_state,
            first_value(terminal_state) over (newest_first) as ended_as
        from steps
        window newest_first as (partition by notification_id order by txid desc, state_id desc)
    ),

    gathered as (
        select
            notification_id,
            max(event_id) as event_id,
            max(kind) as kind,
            max(rule) as rule,
            max(account_id) as account_id,
            max(severity) as severity,
            max(episode_id) as episode_id,
            max(channel) as channel,
            max(recipient) as recipient,
            max(digest_id) as digest_id,
            max(detected_at) as detected_at,
            max(newest_state) as newest_state,
            max(ended_as) as ended_as,
            min(state_at) as planned_at,
            min(if(state = 'sent', state_at, null)) as first_sent_at,
            -- What is delivered was accepted, whether or not the provider's answer was seen.
            min(if(state in ('accepted', 'delivered'), state_at, null)) as accepted_at,
            min(if(state = 'delivered', state_at, null)) as delivered_at,
            min(if(state = ended_as, state_at, null)) as first_ended_at,
            max(if(state = ended_as, state_at, null)) as last_ended_at,
            min(if(state in ('accepted', 'delivered'), seconds_since_detected, null)) as seconds_to_accept,
            countif(state = 'sent') as attempts,
            array_agg(provider_message_id ignore nulls order by txid desc, state_id desc)[
                safe_offset(0)
            ] as provider_message_id,
            array_agg(detail ignore nulls order by txid desc, state_id desc)[safe_offset(0)] as last_detail
        from ordered
        group by notification_id
    ),

    notification_deliveries as (
        select
            notification_id,
            event_id,
            kind,
            rule,
            account_id,
            severity,
            episode_id,
            channel,
            recipient,
            digest_id,
            case
                when newest_state not in ('planned', 'claimed', 'sent', 'accepted', 'delivered', 'failed', 'suppressed')
                then 'unknown'
                when ended_as in ('accepted', 'delivered', 'failed', 'suppressed')
                then ended_as
                -- After a request that has no answer yet it may have arrived.
                when ended_as is null and newest_state in ('planned', 'claimed', 'failed')
                then 'pending'
                else 'unknown'
            end as state,
            detected_at,
            planned_at,
            first_sent_at,
            accepted_at,
            delivered_at,
            -- Failures before the last one were tried again.
            if(ended_as = 'failed', last_ended_at, first_ended_at) as ended_at,
            cast(seconds_to_accept as numeric) as seconds_to_accept,
            attempts,
            provider_message_id,
            last_detail
        from gathered
    )

select *
from notification_deliveries
