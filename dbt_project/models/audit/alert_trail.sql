{{ config(materialized="view", group="alerting") }}

with
    notifications as (select * from {{ ref("notification_deliveries") }}),

    evidence as (select * from {{ ref("margin_event_trail") }}),

    margin_notifications as (select * from notifications where kind = 'margin'),

    own_events as (select notification_id, event_id as margin_event_id from margin_notifications),

    -- A digest tells of the events of its members.
    member_events as (
        select digest_id as notification_id, event_id as margin_event_id
        from margin_notifications
        where digest_id is not null
    ),

    -- An escalation tells of its episode so far.
    episode_events as (
        select escalations.notification_id, margin_notifications.event_id as margin_event_id
        from notifications as escalations
        inner join margin_notifications on escalations.episode_id = margin_notifications.episode_id
        where escalations.kind = 'escalation' and margin_notifications.detected_at <= escalations.detected_at
    ),

    told_events as (
        select *
        from own_events
        union distinct
        select *
        from member_events
        union distinct
        select *
        from episode_events
    ),

    alert_trail as (
        select
            notifications.provider_message_id,
            notifications.notification_id,
            notifications.event_id,
            notifications.kind,
            notifications.channel,
            notifications.recipient,
            notifications.state,
            notifications.planned_at,
            notifications.accepted_at,
            notifications.delivered_at,
            notifications.digest_id,
            told_events.margin_event_id,
            coalesce(evidence.account_id, notifications.account_id) as account_id,
            coalesce(evidence.severity, notifications.severity) as severity,
            evidence.health_pct,
            evidence.threshold_pct,
            coalesce(evidence.detected_at, notifications.detected_at) as detected_at,
            evidence.published_at,
            evidence.evidence_kind,
            evidence.evidence_id,
            evidence.asset,
            evidence.movement,
            evidence.signed_quantity,
            evidence.price_usd,
            evidence.evidence_source,
            evidence.evidence_at,
            evidence.evidence_ingested_at,
            evidence.evidence_message_id,
            evidence.is_simulated
        from notifications
        left join told_events on notifications.notification_id = told_events.notification_id
        left join evidence on told_events.margin_event_id = evidence.margin_event_id
    )

select *
from alert_trail
