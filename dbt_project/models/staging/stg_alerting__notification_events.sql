with
    source as (select * from {{ source("raw", "notification_events") }}),

    renamed as (
        select
            state_id,
            txid,
            notification_id,
            event_id,
            topic,
            kind,
            rule,
            account_id,
            severity,
            episode_id,
            channel,
            recipient,
            digest_id,
            state,
            -- A reserved word.
            `at` as state_at,
            seconds_since_detected,
            detail,
            provider_message_id,
            detected_at,
            terminal_state,
            mirrored_at
        from source
    ),

    -- By state_at too, so that a reader's bound on it still prunes partitions; all copies of a step have the same.
    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by state_at, notification_id, state_id order by mirrored_at desc) = 1
    )

select *
from deduped
