"""Reads of the delivery ledger for callers, and acknowledgements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from alerting.contact_tables import preference_changes
from alerting.notices import Kind
from alerting.tables import (
    NotificationState,
    acknowledgements,
    escalations,
    events,
    notification_states,
    notifications,
    pending,
)

Place = tuple[datetime, str]
UNKNOWN_KIND = "unknown"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which notifications are wanted; None: no such filter. All of them must fit."""

    account_id: str | None = None
    channel: str | None = None
    is_pending: bool = False
    terminal_state: str | None = None
    severity: str | None = None
    since: datetime | None = None
    event_ids: tuple[str, ...] = ()


def notifications_page(
    connection: Connection, filters: Filters, after: Place | None, max_rows: int
) -> list[dict[str, Any]]:
    """Notifications with their history, newest first, behind the place `after` (created at, id)."""
    n = notifications.c
    statement = _selected().order_by(n.created_at.desc(), n.notification_id).limit(max_rows)
    wanted = ((n.account_id, filters.account_id), (n.channel, filters.channel), (n.severity, filters.severity))
    for column, value in (*wanted, (n.terminal_state, filters.terminal_state)):
        if value is not None:
            statement = statement.where(column == value)
    if filters.is_pending:
        statement = statement.where(n.terminal_state.is_(None))
    if filters.since is not None:
        statement = statement.where(n.created_at >= filters.since)
    for event_id in filters.event_ids:
        statement = statement.where(n.event_id == event_id)
    if after is not None:
        at, key = after
        # Two conditions on created_at, so that its index bounds the read.
        behind = or_(n.created_at < at, and_(n.created_at == at, n.notification_id > key))
        statement = statement.where(n.created_at <= at, behind)
    return _with_states(connection, statement)


def notification_of(connection: Connection, notification_id: str) -> dict[str, Any] | None:
    """One notification with its history."""
    if "\x00" in notification_id:
        return None
    found = _with_states(connection, _selected().where(notifications.c.notification_id == notification_id))
    return found[0] if found else None


def acknowledge(
    connection: Connection, notification_id: str, event_id: str, at: datetime, acknowledged_by: str, note: str | None
) -> None:
    """Record who saw the alert, unless somebody did already, and end the event's escalation."""
    values = {
        "notification_id": notification_id,
        "event_id": event_id,
        "at": at,
        "acknowledged_by": acknowledged_by,
        "note": note,
    }
    first = upsert(acknowledgements).values(values).on_conflict_do_nothing().returning(acknowledgements.c.at)
    if connection.execute(first).first() is not None:
        # The record of changes is mirrored for auditors; the row above goes with its notification.
        change = {
            "owner": select(events.c.owner).where(events.c.event_id == event_id).scalar_subquery(),
            "at": at,
            "action": "notification_acknowledged",
            "changed_by": acknowledged_by,
            "reason": note or "",
            "after": {"notification_id": notification_id, "event_id": event_id},
        }
        connection.execute(insert(preference_changes).values(change))
    e = escalations.c
    connection.execute(
        update(escalations)
        .where(e.event_id == event_id, e.closed_at.is_(None))
        .values(closed_at=at, outcome="acknowledged")
    )


def _selected() -> Select[Any]:
    joined = (
        notifications.outerjoin(events, events.c.event_id == notifications.c.event_id)
        .outerjoin(pending, pending.c.notification_id == notifications.c.notification_id)
        .outerjoin(acknowledgements, acknowledgements.c.notification_id == notifications.c.notification_id)
    )
    return select(
        notifications,
        events.c.kind,
        events.c.payload.label("event"),
        pending.c.attempts,
        pending.c.due_at.label("next_attempt_at"),
        acknowledgements.c.at.label("acknowledged_at"),
        acknowledgements.c.acknowledged_by,
    ).select_from(joined)


def _with_states(connection: Connection, statement: Select[Any]) -> list[dict[str, Any]]:
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    states = _states(connection, [row["notification_id"] for row in rows])
    for row in rows:
        history = states[row["notification_id"]]
        sent = sum(step["state"] == NotificationState.SENT for step in history)
        row["states"] = history
        row["attempts"] = sent if row["attempts"] is None else row["attempts"]
        row["kind"] = row["kind"] or UNKNOWN_KIND
        row["margin_event_id"] = row["event_id"] if row["kind"] == Kind.MARGIN else None
    return rows


def _states(connection: Connection, notification_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    s = notification_states.c
    found: dict[str, list[dict[str, Any]]] = {key: [] for key in notification_ids}
    statement = select(notification_states).where(s.notification_id.in_(notification_ids)).order_by(s.state_id)
    for row in connection.execute(statement).mappings() if notification_ids else ():
        found[row["notification_id"]].append(dict(row))
    return found
