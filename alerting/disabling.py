"""Contacts that want no more messages: a number that opted out, a webhook that answered 410."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, text

_DISABLE = text(
    """
    with
        enabled as (
            select contact_id, owner, channel, status
            from alerting.contacts
            where contact_id = any(cast(:ids as text[])) and status in ('pending', 'verified')
            order by contact_id
            for update
        ),

        disabled as (
            update alerting.contacts
            set status = 'disabled', status_reason = :reason, updated_at = :now
            from enabled
            where contacts.contact_id = enabled.contact_id
            returning enabled.contact_id, enabled.owner, enabled.channel, enabled.status
        )

    insert into alerting.preference_changes (owner, at, action, changed_by, reason, before, after)
    select
        owner, cast(:now as timestamptz), 'contact_disabled', :changed_by, :reason,
        jsonb_build_object('contact_id', contact_id, 'channel', channel, 'status', status),
        jsonb_build_object(
            'contact_id', contact_id, 'channel', channel, 'status', 'disabled', 'status_reason', cast(:reason as text)
        )
    from disabled
    order by contact_id
    returning change_id
    """
)


def disable_contacts(
    connection: Connection, contact_ids: Collection[str], reason: str, changed_by: str, now: datetime
) -> int:
    """Disable the contacts and record why, in the caller's transaction; returns how many were not disabled before.

    `changed_by` names what reported it (a provider, or the worker); `reason` holds no personal data.
    """
    if not contact_ids:
        return 0
    values = {"ids": sorted(contact_ids), "now": now, "reason": reason, "changed_by": changed_by}
    return len(connection.execute(_DISABLE, values).scalars().all())
