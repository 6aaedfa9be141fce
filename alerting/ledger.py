"""The ledger: events and their notifications, each recorded once, with an append-only history.

An event's id is deterministic and fixes its account, rule, severity and episode; a notification's id follows from
event, channel and recipient. So whatever is delivered again finds its rows already there, whichever worker gets it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from alerting.notices import INTERNAL_TOPIC, Kind
from infra.runtime.ids import stable_id


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that people are told: `payload` is its wire form, `sequence` its place within `episode_id`.

    `owner` is the account, or the team of the desk (`team:risk`), whose contacts and preferences apply.
    """

    event_id: str
    topic: str
    kind: Kind
    rule: str
    account_id: str | None
    owner: str
    severity: str
    episode_id: str
    sequence: int
    payload: Mapping[str, Any]
    detected_at: datetime

    @classmethod
    def internal(
        cls, kind: Kind, event_id: str, owner: str, account_id: str | None, payload: Mapping[str, Any], at: datetime
    ) -> AlertEvent:
        """Something of our own that stands alone: a digest, a test, a verification."""
        return cls(
            event_id=event_id,
            topic=INTERNAL_TOPIC,
            kind=kind,
            rule=kind.value,
            account_id=account_id,
            owner=owner,
            severity="info",
            episode_id=event_id,
            sequence=1,
            payload=payload,
            detected_at=at,
        )


@dataclass(frozen=True, slots=True)
class PlannedNotification:
    """One event for one recipient; with `suppressed_reason` it is recorded and never sent.

    `recipient` is a contact's id or another key that stands for an address, never the address. `due_at` None: at once.
    `fingerprint` is equal for equal addresses. `digest_id` names the notification that sums this one up. Of the same
    `ordering_key` a notification waits until those of a lower event sequence have ended. `detail` explains a wait.
    """

    event_id: str
    channel: str
    recipient: str
    due_at: datetime | None = None
    suppressed_reason: str | None = None
    fingerprint: str | None = None
    digest_id: str | None = None
    ordering_key: str | None = None
    detail: str | None = None

    @property
    def notification_id(self) -> str:
        """Follows from the event, the channel and the recipient."""
        return notification_id(self.event_id, self.channel, self.recipient)


def notification_id(event_id: str, channel: str, recipient: str) -> str:
    """The id of the notification of an event for one recipient on one channel."""
    return stable_id("ntf", event_id, channel, recipient)


_STORE_EVENTS = text(
    """
    insert into alerting.events
        (event_id, topic, kind, rule, account_id, owner, severity, episode_id, sequence, payload, detected_at,
        received_at)
    select
        event_id, topic, kind, rule, account_id, owner, severity, episode_id, sequence, payload, detected_at,
        cast(:now as timestamptz)
    from jsonb_to_recordset(cast(:rows as jsonb)) as given (
        event_id text, topic text, kind text, rule text, account_id text, owner text, severity text, episode_id text,
        sequence bigint, payload jsonb, detected_at timestamptz
    )
    order by event_id
    on conflict do nothing
    returning event_id
    """
)

_STORE_NOTIFICATIONS = text(
    """
    with
        given as (
            select *
            from jsonb_to_recordset(cast(:rows as jsonb)) as given (
                notification_id text, event_id text, channel text, recipient text, due_at timestamptz,
                suppressed_reason text, fingerprint text, digest_id text, ordering_key text, detail text
            )
            inner join (
                select event_id, rule, account_id, severity, episode_id, sequence, detected_at
                from alerting.events
                where event_id = any(cast(:event_ids as text[]))
            ) as events using (event_id)
        ),

        stored as (
            insert into alerting.notifications
                (notification_id, event_id, channel, recipient, account_id, severity, episode_id, detected_at,
                created_at, terminal_state, rule, fingerprint, digest_id)
            select
                notification_id, event_id, channel, recipient, account_id, severity, episode_id, detected_at,
                cast(:now as timestamptz), case when suppressed_reason is not null then 'suppressed' end, rule,
                fingerprint, digest_id
            from given
            order by notification_id
            on conflict do nothing
            returning notification_id
        ),

        queued as (
            insert into alerting.pending (notification_id, channel, due_at, ordering_key, sequence)
            select notification_id, channel, coalesce(due_at, cast(:now as timestamptz)), ordering_key, sequence
            from given
            inner join stored using (notification_id)
            where suppressed_reason is null
        )

    insert into alerting.notification_states (notification_id, state, at, seconds_since_detected, detail)
    select
        notification_id, case when suppressed_reason is null then 'planned' else 'suppressed' end,
        cast(:now as timestamptz),
        round(cast(extract(epoch from cast(:now as timestamptz) - detected_at) as numeric), 3),
        coalesce(suppressed_reason, detail)
    from given
    inner join stored using (notification_id)
    order by notification_id
    returning notification_id
    """
)

_SUPPRESS_PENDING = text(
    """
    with
        given as (
            select *
            from unnest(cast(:notification_id as text[]), cast(:reason as text[])) as given (notification_id, reason)
        ),

        gone as (
            delete from alerting.pending
            using given
            where
                pending.notification_id = given.notification_id
                and (pending.claimed_until is null or pending.claimed_until <= :now)
            returning given.notification_id, given.reason
        ),

        ended as (
            update alerting.notifications
            set terminal_state = 'suppressed'
            from gone
            where notifications.notification_id = gone.notification_id and notifications.terminal_state is null
            returning notifications.notification_id, notifications.detected_at, gone.reason
        )

    insert into alerting.notification_states (notification_id, state, at, seconds_since_detected, detail)
    select
        notification_id, 'suppressed', cast(:now as timestamptz),
        round(cast(extract(epoch from cast(:now as timestamptz) - detected_at) as numeric), 3), reason
    from ended
    order by notification_id
    returning notification_id
    """
)


def store_events(connection: Connection, events: Sequence[AlertEvent], now: datetime) -> set[str]:
    """Record the events; returns the ids of those that were not there yet."""
    if not events:
        return set()
    by_id = {event.event_id: event for event in events}
    rows = [by_id[key] for key in sorted(by_id)]
    text_rows = json.dumps([_event_row(row) for row in rows], separators=(",", ":"))
    return set(connection.execute(_STORE_EVENTS, {"rows": text_rows, "now": now}).scalars())


def _event_row(event: AlertEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "topic": event.topic,
        "kind": event.kind.value,
        "rule": event.rule,
        "account_id": event.account_id,
        "owner": event.owner,
        "severity": event.severity,
        "episode_id": event.episode_id,
        "sequence": event.sequence,
        "payload": event.payload,
        "detected_at": event.detected_at.isoformat(),
    }


def store_notifications(connection: Connection, planned: Sequence[PlannedNotification], now: datetime) -> set[str]:
    """Record notifications of events that are recorded; returns the ids of those that were not there yet."""
    if not planned:
        return set()
    by_id = {item.notification_id: item for item in planned}
    rows = [_notification_row(key, item) for key, item in by_id.items()]
    values = {
        "rows": json.dumps(rows, separators=(",", ":")),
        "event_ids": sorted({item.event_id for item in by_id.values()}),
        "now": now,
    }
    return set(connection.execute(_STORE_NOTIFICATIONS, values).scalars())


def _notification_row(key: str, item: PlannedNotification) -> dict[str, Any]:
    row = {
        "notification_id": key,
        "event_id": item.event_id,
        "channel": str(item.channel),
        "recipient": item.recipient,
        "suppressed_reason": item.suppressed_reason,
        "fingerprint": item.fingerprint,
        "digest_id": item.digest_id,
        "ordering_key": item.ordering_key,
        "detail": item.detail,
    }
    return row if item.due_at is None else row | {"due_at": item.due_at.isoformat()}


def store(
    connection: Connection, events: Sequence[AlertEvent], planned: Sequence[PlannedNotification], now: datetime
) -> set[str]:
    """Record events and their notifications in the caller's transaction; returns the new notifications' ids.

    Safe to repeat: what is there stays as it is. Raises SQLAlchemy's errors, `DataError` for what PostgreSQL cannot
    hold.
    """
    store_events(connection, events, now)
    return store_notifications(connection, planned, now)


def suppress_pending(connection: Connection, reasons: Mapping[str, str], now: datetime) -> set[str]:
    """End notifications that nobody has claimed, each for its reason; returns the ids of those that were ended."""
    if not reasons:
        return set()
    keys = sorted(reasons)
    values = {"notification_id": keys, "reason": [reasons[key] for key in keys], "now": now}
    return set(connection.execute(_SUPPRESS_PENDING, values).scalars())
