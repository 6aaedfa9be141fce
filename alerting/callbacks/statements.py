"""The SQL of applying callbacks: one statement for a whole batch each, rows locked by id."""

from __future__ import annotations

from sqlalchemy import text

RECORD = text(
    """
    insert into alerting.callbacks
        (callback_id, provider, notification_id, kind, occurred_at, received_at, detail)
    select callback_id, provider, notification_id, kind, occurred_at, cast(:now as timestamptz), detail
    from unnest(
        cast(:callback_id as text[]), cast(:provider as text[]), cast(:notification_id as text[]),
        cast(:kind as text[]), cast(:occurred_at as timestamptz[]), cast(:detail as text[])
    ) as given (callback_id, provider, notification_id, kind, occurred_at, detail)
    order by callback_id
    on conflict do nothing
    returning callback_id
    """
)

LOCK_PENDING = text(
    """
    select notification_id
    from alerting.pending
    where notification_id = any(cast(:ids as text[]))
    order by notification_id
    for update
    """
)

LOCK_NOTIFICATIONS = text(
    """
    select notification_id, channel, recipient, terminal_state, created_at
    from alerting.notifications
    where notification_id = any(cast(:ids as text[]))
    order by notification_id
    for no key update
    """
)

# Callbacks have no index by notification; they come after it was planned, and this is asked for the rare dispute only.
HISTORY = text(
    """
    select notification_id, provider, kind, occurred_at, received_at
    from alerting.callbacks
    where received_at >= :since and notification_id = any(cast(:ids as text[]))
    """
)

APPEND = text(
    """
    insert into alerting.notification_states
        (notification_id, state, at, seconds_since_detected, detail, provider_message_id)
    select
        given.notification_id, given.state, cast(:now as timestamptz),
        round(cast(extract(epoch from cast(:now as timestamptz) - notifications.detected_at) as numeric), 3),
        given.detail, given.provider_message_id
    from unnest(
        cast(:notification_id as text[]), cast(:state as text[]), cast(:detail as text[]),
        cast(:provider_message_id as text[]), cast(:is_implied as boolean[])
    ) with ordinality as given (notification_id, state, detail, provider_message_id, is_implied, number)
    inner join alerting.notifications using (notification_id)
    where
        not given.is_implied
        or not exists (
            select 1
            from alerting.notification_states as earlier
            where earlier.notification_id = given.notification_id and earlier.state = given.state
        )
    order by given.number
    """
)

END = text(
    """
    update alerting.notifications
    set
        terminal_state = given.state,
        provider_message_id = coalesce(notifications.provider_message_id, given.provider_message_id)
    from unnest(
        cast(:notification_id as text[]), cast(:state as text[]), cast(:provider_message_id as text[]),
        cast(:is_implied as boolean[])
    ) as given (notification_id, state, provider_message_id, is_implied)
    where notifications.notification_id = given.notification_id and not given.is_implied
    """
)

# An attempt whose outcome was unknown is not repeated once the provider has told it.
UNQUEUE = text("delete from alerting.pending where notification_id = any(cast(:ids as text[]))")

# A digest that failed is the failure of everything that it sums up. What was closed because this message had been
# accepted is open again; what is open waits no longer.
ESCALATE = text(
    """
    with
        given as (
            select *
            from unnest(cast(:ids as text[]), cast(:was_accepted as boolean[])) as given (notification_id, was_accepted)
        ),

        failed as (
            select notifications.event_id, given.was_accepted
            from given
            inner join alerting.notifications on given.notification_id = notifications.notification_id
            union all
            select members.event_id, given.was_accepted
            from given
            inner join alerting.notifications as members on given.notification_id = members.digest_id
        ),

        told as (select event_id, bool_or(was_accepted) as was_accepted from failed group by event_id),

        due as (
            select escalations.event_id
            from alerting.escalations
            inner join told on escalations.event_id = told.event_id
            where
                (escalations.outcome = 'accepted' and told.was_accepted)
                or (escalations.closed_at is null and escalations.due_at > :now)
            order by escalations.event_id
            for update of escalations
        )

    update alerting.escalations
    set closed_at = null, outcome = null, due_at = :now
    from due
    where escalations.event_id = due.event_id
    """
)
