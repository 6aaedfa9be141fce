"""The statements of claims: each handles many notifications at once, in one round trip."""

from __future__ import annotations

from sqlalchemy import text

# One statement, so that it is one round trip: the ceiling is held while rows are taken under it.
# A retried call is not sent to people any more once a liquidation of its episode was announced to the same recipient.
CLAIM = text(
    """
    with
        ceiling as (
            select greatest(free_at, cast(:now as timestamptz) - cast(:burst as interval)) as free_at
            from alerting.channel_ceilings
            where channel = :channel and cast(:per_second as float8) is not null
            for update
        ),

        due as (
            select pending.notification_id, pending.attempts, pending.is_unknown
            from alerting.pending
            where
                pending.channel = :channel
                and pending.due_at <= :now
                and (pending.claimed_until is null or pending.claimed_until <= :now)
                and (
                    pending.ordering_key is null
                    or not exists (
                        select 1
                        from alerting.pending as earlier
                        where earlier.ordering_key = pending.ordering_key and earlier.sequence < pending.sequence
                    )
                )
            order by pending.due_at
            limit (
                select coalesce(
                    min(
                        greatest(
                            0, least(:max_rows, floor(extract(epoch from :now - free_at) * cast(:per_second as float8)))
                        )
                    ),
                    :max_rows
                )
                from ceiling
            )
            for update skip locked
        ),

        claimed as (
            update alerting.pending
            set claim_token = :token, claimed_until = :until, attempts = due.attempts + 1, is_unknown = true
            from due
            where pending.notification_id = due.notification_id
            returning pending.notification_id, due.attempts + 1 as attempt, due.is_unknown as may_have_arrived
        ),

        used as (
            update alerting.channel_ceilings
            set free_at = ceiling.free_at + (select count(*) from claimed) * cast(:interval as interval)
            from ceiling
            where channel_ceilings.channel = :channel
        ),

        found as (
            select
                claimed.attempt, claimed.may_have_arrived, notifications.*,
                claimed.attempt > 1
                and notifications.channel in ('email', 'sms')
                and notifications.severity in ('early_warning', 'margin_call')
                and exists (
                    select 1
                    from alerting.notifications as worse
                    where
                        worse.account_id = notifications.account_id
                        and worse.episode_id = notifications.episode_id
                        and worse.severity = 'liquidation'
                        and worse.channel = notifications.channel
                        and worse.recipient = notifications.recipient
                ) as is_inhibited
            from claimed
            inner join alerting.notifications using (notification_id)
        ),

        written as (
            insert into alerting.notification_states (notification_id, state, at, seconds_since_detected, detail)
            select
                notification_id, step.state, cast(:now as timestamptz),
                round(cast(extract(epoch from cast(:now as timestamptz) - detected_at) as numeric), 3),
                case when step.state = 'sent' then 'attempt ' || attempt end
            from found
            cross join (values (1, 'claimed'), (2, 'sent')) as step (number, state)
            where step.state = 'claimed' or not is_inhibited
            order by notification_id, step.number
        )

    select
        found.notification_id, found.attempt, found.may_have_arrived, found.is_inhibited, found.event_id, found.channel,
        found.recipient, found.account_id, found.severity, found.episode_id, found.detected_at, found.created_at,
        events.kind, events.topic, events.owner, events.payload,
        contacts.address_sealed, contacts.secret_sealed, contacts.previous_secret_sealed,
        contacts.previous_secret_until, contacts.status as contact_status, contacts.owner as contact_owner,
        preferences.locale, preferences.time_zone
    from found
    inner join alerting.events on found.event_id = events.event_id
    left join alerting.contacts on found.recipient = contacts.contact_id
    left join alerting.preferences on coalesce(contacts.owner, events.owner) = preferences.owner
    """
)

# A failure that the provider reported, which carries its message id, is not undone by the acceptance before it.
RECORD = text(
    """
    with
        given as (
            select *
            from unnest(
                cast(:notification_id as text[]), cast(:token as uuid[]), cast(:outcome as text[]),
                cast(:detail as text[]),
                cast(:provider_message_id as text[]), cast(:again_at as timestamptz[]), cast(:is_unknown as boolean[]),
                cast(:counts as boolean[]), cast(:detected_at as timestamptz[])
            ) as given (
                notification_id, token, outcome, detail, provider_message_id, again_at, is_unknown, counts, detected_at
            )
        ),

        gone as (
            delete from alerting.pending
            using given
            where
                pending.notification_id = given.notification_id
                and (
                    given.outcome = 'accepted'
                    or (given.outcome in ('failed', 'suppressed') and pending.claim_token = given.token)
                )
            returning given.notification_id, given.outcome
        ),

        released as (
            update alerting.pending
            set
                claim_token = null, claimed_until = null, due_at = given.again_at, is_unknown = given.is_unknown,
                attempts = pending.attempts - case when given.counts then 0 else 1 end
            from given
            where
                given.outcome = 'retry'
                and pending.notification_id = given.notification_id
                and pending.claim_token = given.token
            returning given.notification_id
        ),

        accepted as (
            update alerting.notifications
            set
                terminal_state = case
                    when notifications.terminal_state is null then 'accepted'
                    when notifications.terminal_state = 'failed' and not exists (
                        select 1
                        from alerting.notification_states as reported
                        where
                            reported.notification_id = notifications.notification_id
                            and reported.state = 'failed'
                            and reported.provider_message_id is not null
                    ) then 'accepted'
                    else notifications.terminal_state
                end,
                provider_message_id = coalesce(notifications.provider_message_id, given.provider_message_id)
            from given
            where given.outcome = 'accepted' and notifications.notification_id = given.notification_id
            returning given.notification_id
        ),

        ended as (
            update alerting.notifications
            set terminal_state = gone.outcome
            from gone
            where
                gone.outcome != 'accepted'
                and notifications.notification_id = gone.notification_id
                and notifications.terminal_state is null
        )

    insert into alerting.notification_states
        (notification_id, state, at, seconds_since_detected, detail, provider_message_id)
    select
        given.notification_id, case given.outcome when 'retry' then 'failed' else given.outcome end,
        cast(:now as timestamptz),
        round(cast(extract(epoch from cast(:now as timestamptz) - given.detected_at) as numeric), 3),
        case
            when coalesce(gone.notification_id, released.notification_id) is not null then given.detail
            else concat_ws(' ', given.detail, '(claim lost)')
        end,
        given.provider_message_id
    from given
    left join gone on given.notification_id = gone.notification_id
    left join released on given.notification_id = released.notification_id
    order by given.notification_id
    """
)

RENEW = text(
    """
    update alerting.pending
    set claimed_until = :until
    from unnest(cast(:notification_id as text[]), cast(:token as uuid[])) as given (notification_id, token)
    where pending.notification_id = given.notification_id and pending.claim_token = given.token
    """
)

DIGEST_MEMBERS = text(
    """
    select
        notifications.digest_id, events.kind, notifications.severity, notifications.account_id,
        notifications.detected_at, events.payload
    from alerting.notifications
    inner join alerting.events on notifications.event_id = events.event_id
    where notifications.digest_id = any(cast(:digest_ids as text[]))
    order by notifications.digest_id, notifications.detected_at, notifications.notification_id
    """
)

DEPTHS = text(
    "select channel, count(*) as depth, min(due_at) as oldest from alerting.pending"
    " where due_at <= :now group by channel"
)

NEW_CEILING = text(
    "insert into alerting.channel_ceilings (channel, free_at) values (:channel, :free_at) on conflict do nothing"
)
