"""Test alerts: one to each contact that would be told, so that an owner sees that they arrive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from alerting import ledger
from alerting.errors import TrialLimitError
from alerting.notices import Kind
from alerting.preferences import store
from alerting.preferences.model import ContactOrigin, ContactStatus, Context, account_of
from infra.runtime.ids import stable_id

PAUSE = timedelta(minutes=1)
ACTION = "test_sent"


@dataclass(frozen=True, slots=True)
class Trial:
    """What goes out; `event_id` None: there is no verified contact."""

    event_id: str | None
    notification_ids: tuple[str, ...]
    unverified_contact_ids: tuple[str, ...]


def send_trial(context: Context, owner: str, requested_by: str, reason: str) -> Trial:
    """Send a test alert to the owner's verified contacts, or to the registered ones where there is none.

    Raises `TrialLimitError` within a minute of the last.
    """
    now = context.clock.now()
    with context.engine.begin() as connection:
        store.lock_owner(connection, owner)
        last = store.last_change_at(connection, owner, ACTION)
        if last is not None and now - last < PAUSE:
            raise TrialLimitError("A test alert went out within the last minute; wait for it, then try again.")
        own = store.contacts_of(connection, owner, ContactOrigin.PREFERENCE)
        unverified = tuple(each.contact_id for each in own if each.status is not ContactStatus.VERIFIED)
        told = [each for each in own if each.status is ContactStatus.VERIFIED]
        if not told:
            registered = store.contacts_of(connection, owner, ContactOrigin.REGISTERED)
            told = [each for each in registered if each.status is ContactStatus.VERIFIED]
        if not told:
            return Trial(None, (), unverified)
        event_id = stable_id("tst", owner, now.isoformat())
        payload = {"test_id": event_id, "requested_by": requested_by, "requested_at": now.isoformat()}
        event = ledger.AlertEvent.internal(Kind.TEST, event_id, owner, account_of(owner), payload, now)
        planned = [
            ledger.PlannedNotification(event_id, each.channel.value, each.contact_id, fingerprint=each.fingerprint)
            for each in told
        ]
        ledger.store(connection, [event], planned, now)
        after = {"event_id": event_id, "contact_ids": [each.contact_id for each in told]}
        store.append_change(connection, owner, now, ACTION, requested_by, reason, None, after)
        return Trial(event_id, tuple(item.notification_id for item in planned), unverified)
