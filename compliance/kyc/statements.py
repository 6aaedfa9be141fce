"""The statements of `store.py`."""

from __future__ import annotations

from sqlalchemy import text

_SELECT = """
    select
        kyc_case_id, user_id, state, state_reason, provider, provider_reference, idempotency_key, submitted_at,
        decided_at, expires_at, next_poll_at, polls, policy_version, version, created_at, updated_at
    from compliance.kyc_cases
"""
READ = text(_SELECT + "where kyc_case_id = :kyc_case_id")
LOCK = text(_SELECT + "where kyc_case_id = :kyc_case_id for update")
BY_KEY = text(_SELECT + "where idempotency_key = :idempotency_key")
NEWEST = text(_SELECT + "where user_id = :user_id order by created_at desc, kyc_case_id limit 1")
LOCK_USER = text("select kind from compliance.users where user_id = :user_id for update")
ACCOUNT_OF = text("select account_id from compliance.users where user_id = :user_id")
INSERT = text(
    """
    insert into compliance.kyc_cases
        (kyc_case_id, user_id, state, idempotency_key, next_poll_at, policy_version, created_at, updated_at)
    values (:kyc_case_id, :user_id, 'created', :idempotency_key, :next_poll_at, :policy_version, :now, :now)
    """
)
UPDATE = text(
    """
    update compliance.kyc_cases
    set
        state = :state, state_reason = :state_reason, provider = :provider, provider_reference = :provider_reference,
        submitted_at = :submitted_at, decided_at = :decided_at, expires_at = :expires_at, next_poll_at = :next_poll_at,
        polls = :polls, updated_at = :updated_at, version = version + 1
    where kyc_case_id = :kyc_case_id
    """
)
# Who takes a case keeps it until the lease ends; so others pass it by, and after a crash it is due again.
TAKE = text(
    """
    with due as (
        select kyc_case_id from compliance.kyc_cases
        where next_poll_at <= :now
        order by next_poll_at
        limit :max_rows
        for update skip locked
    )

    update compliance.kyc_cases
    set next_poll_at = :leased_until
    from due
    where kyc_cases.kyc_case_id = due.kyc_case_id
    returning
        kyc_cases.kyc_case_id, user_id, state, state_reason, provider, provider_reference, idempotency_key,
        submitted_at, decided_at, expires_at, next_poll_at, polls, policy_version, version, created_at, updated_at
    """
)
HASTEN = text(
    """
    update compliance.kyc_cases
    set next_poll_at = least(next_poll_at, :at)
    where kyc_case_id = :kyc_case_id and (next_poll_at is not null or (:even_ended and provider_reference is not null))
    """
)
OVER = text(
    """
    select kyc_case_id from compliance.kyc_cases
    where (state = 'approved' and expires_at <= :now) or (state = 'pending' and created_at <= :begun_before)
    order by kyc_case_id
    limit :max_rows
    """
)
CHECKS = text(
    """
    select check_id, provider, source, provider_status, verdict, occurred_at, received_at, payload
    from compliance.kyc_checks
    where kyc_case_id = :kyc_case_id
    order by received_at, check_id
    """
)
ADD_CHECK = text(
    """
    insert into compliance.kyc_checks
        (check_id, kyc_case_id, provider, source, external_id, provider_status, verdict, occurred_at, received_at,
        payload)
    values (
        :check_id, :kyc_case_id, :provider, :source, :external_id, :provider_status, :verdict, :occurred_at,
        :received_at, cast(:payload as jsonb)
    )
    on conflict (check_id) do nothing
    """
)
ADD_EVENT = text(
    """
    insert into compliance.provider_events (provider, event_id, kyc_case_id, kind, occurred_at, received_at)
    values (:provider, :event_id, :kyc_case_id, :kind, :occurred_at, :received_at)
    on conflict (provider, event_id) do nothing
    """
)
# The provider's own id decides; ours in the payload is for events that come before that id was stored.
CASE_OF_EVENT = text(
    """
    select kyc_case_id from compliance.kyc_cases
    where
        (provider = :provider and provider_reference = :reference)
        or kyc_case_id = :kyc_case_id
    order by (provider = :provider and provider_reference = :reference) desc nulls last
    limit 1
    """
)
# The customer's state follows from all their cases: a doubt about any of them counts, then the newest one's refusal,
# then an approval that is valid, whichever case gave it.
STATE_OF_USER = text(
    """
    with
        newest as (
            select state from compliance.kyc_cases
            where user_id = :user_id
            order by created_at desc, kyc_case_id
            limit 1
        ),

        summed as (
            select
                coalesce(bool_or(state = 'in_review'), false) as is_doubted,
                max(expires_at) filter (where state = 'approved' and expires_at > :now) as approved_until
            from compliance.kyc_cases
            where user_id = :user_id
        )

    select
        case
            when summed.is_doubted then 'in_review'
            when newest.state = 'declined' then 'declined'
            when summed.approved_until is not null then 'approved'
            else newest.state
        end as state,
        summed.approved_until
    from newest
    cross join summed
    """
)
