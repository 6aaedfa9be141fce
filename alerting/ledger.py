"""The delivery ledger: each notification once, claimed under a lease, with an append-only history.

A notification is sent by the worker that holds its claim. A claim runs out unless its worker renews it, so work of a
killed worker is taken over after the lease. One window for a second delivery remains: the provider accepted and the
worker died (or lost the database for longer than the lease) before `record` was durable. The notification id goes out
as the idempotency key of every attempt (`webhook-id`), so that a receiver can drop the second one.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Row,
    Text,
    case,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from alerting.channels.base import Accepted, DeliveryResult, OutboundMessage, Rejected, Retryable
from alerting.events import MarginEvent, seconds_between
from alerting.tables import NotificationState, notification_states, notifications
from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id


@dataclass(frozen=True)
class PlannedNotification:
    """One event for one recipient; with `suppressed_reason` it is recorded and never sent.

    `recipient` is a key that the channel resolves, never an address that holds a secret.
    """

    event: MarginEvent
    channel: str
    recipient: str
    suppressed_reason: str | None = None

    @property
    def notification_id(self) -> str:
        """Follows from the event, the channel and the recipient."""
        return stable_id("ntf", self.event.margin_event_id, self.channel, self.recipient)


@dataclass(frozen=True)
class Claim:
    """The right to send one notification until the lease runs out."""

    token: uuid.UUID
    message: OutboundMessage
    attempts: int


class Ledger:
    """Writes of the ledger; `clock` is one that all workers share (`PostgresClock`)."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock

    def plan(self, planned: Sequence[PlannedNotification]) -> int:
        """Record the notifications durably, in one transaction; returns how many were not there yet."""
        if not planned:
            return 0
        now = self._clock.now()
        by_id = {item.notification_id: item for item in planned}
        statement = upsert(notifications).on_conflict_do_nothing().returning(notifications.c.notification_id)
        with self._engine.begin() as connection:
            rows = [_notification_row(key, by_id[key], now) for key in sorted(by_id)]
            new: set[str] = set(connection.execute(statement, rows).scalars())
            _append(connection, [_first_state(key, by_id[key], now) for key in sorted(new)])
        return len(new)

    def claim(self, channels: Collection[str], limit: int, lease: timedelta) -> list[Claim]:
        """Take up to `limit` due notifications of `channels` that nobody holds; the longest due first."""
        now = self._clock.now()
        token = uuid.uuid4()
        n = notifications.c
        due = (
            select(n.notification_id)
            .where(
                n.terminal_state.is_(None),
                n.next_attempt_at <= now,
                n.channel.in_(channels),
                or_(n.claimed_until.is_(None), n.claimed_until <= now),
            )
            .order_by(n.next_attempt_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            # A CTE runs once; a plain subquery may run again for each row and exceed the limit.
            .cte("due")
        )
        statement = (
            update(notifications)
            .where(n.notification_id.in_(select(due.c.notification_id)))
            .values(claim_token=token, claimed_until=now + lease)
            .returning(notifications)
        )
        with self._engine.begin() as connection:
            rows = connection.execute(statement).mappings().all()
            claimed = [
                _state(row["notification_id"], NotificationState.CLAIMED, now, row["detected_at"]) for row in rows
            ]
            _append(connection, claimed)
        return [Claim(token, _message(row), row["attempts"]) for row in sorted(rows, key=_due_at)]

    def begin_attempt(self, claim: Claim, lease: timedelta) -> bool:
        """Record `sent` just before the request goes out; False when the claim is no longer held: do not send."""
        now = self._clock.now()
        held = (
            update(notifications)
            .where(*_held(claim))
            .values(attempts=notifications.c.attempts + 1, claimed_until=now + lease)
            .returning(notifications.c.notification_id)
            .cte("held")
        )
        message = claim.message
        attempt = f"attempt {claim.attempts + 1}"
        values = _state(message.notification_id, NotificationState.SENT, now, message.detected_at, attempt)
        appended = insert(notification_states).from_select(list(values), select(*_literals(values)).select_from(held))
        return self._execute_single(appended.returning(notification_states.c.state_id)) != []

    def renew(self, claims: Collection[Claim], lease: timedelta) -> None:
        """Extend the leases of claims that are still held."""
        if not claims:
            return
        n = notifications.c
        statement = (
            update(notifications)
            .where(
                n.notification_id.in_([claim.message.notification_id for claim in claims]),
                n.claim_token.in_({claim.token for claim in claims}),
                n.terminal_state.is_(None),
            )
            .values(claimed_until=self._clock.now() + lease)
        )
        self._execute_single(statement)

    def record(self, claim: Claim, result: DeliveryResult, retry_after: timedelta | None) -> None:
        """Record how an attempt ended; `retry_after` None ends a retryable result as failed.

        An acceptance ends the notification even when the claim was lost meanwhile: it has been delivered. Any other
        result of a lost claim goes to the history only, because the next holder decides.
        """
        now = self._clock.now()
        message = claim.message
        n = notifications.c
        if isinstance(result, Accepted):
            state, detail, provider_id = NotificationState.ACCEPTED, result.detail, result.provider_message_id
            ended = _ended(NotificationState.ACCEPTED)
            where: tuple[Any, ...] = (n.notification_id == message.notification_id, n.terminal_state.is_(None))
        else:
            again_at = now + retry_after if isinstance(result, Retryable) and retry_after is not None else None
            state, detail, provider_id = NotificationState.FAILED, _failure(result, again_at), None
            ended = _ended(NotificationState.FAILED) if again_at is None else _released(again_at)
            where = _held(claim)
        held = update(notifications).where(*where).values(**ended).returning(n.notification_id).cte("held")
        values = _state(message.notification_id, state, now, message.detected_at)
        del values["detail"]
        values["provider_message_id"] = provider_id
        told = case(
            (exists(select(held.c.notification_id)), literal(detail, Text)),
            else_=literal(f"{detail or ''} (claim lost)", Text),
        )
        self._execute_single(
            insert(notification_states).from_select([*values, "detail"], select(*_literals(values), told))
        )

    def _execute_single(self, statement: Executable) -> Sequence[Row[Any]]:
        """Run one statement as its own transaction, in one round trip; returns the rows it gives back."""
        with self._single.connect() as connection:
            result = connection.execute(statement)
            return result.all() if result.returns_rows else []

    def pending(self) -> int:
        """How many notifications are neither accepted, failed nor suppressed."""
        statement = select(func.count()).where(notifications.c.terminal_state.is_(None))
        with self._engine.connect() as connection:
            return int(connection.execute(statement).scalar_one())


def _notification_row(key: str, item: PlannedNotification, now: datetime) -> dict[str, Any]:
    suppressed = item.suppressed_reason is not None
    return {
        "notification_id": key,
        "margin_event_id": item.event.margin_event_id,
        "channel": item.channel,
        "recipient": item.recipient,
        "account_id": item.event.account_id,
        "severity": item.event.severity.value,
        "episode_id": item.event.episode_id,
        "payload": item.event.model_dump(mode="json"),
        "detected_at": item.event.detected_at,
        "created_at": now,
        "next_attempt_at": None if suppressed else now,
        "terminal_state": NotificationState.SUPPRESSED.value if suppressed else None,
    }


def _state(
    notification_id: str, state: NotificationState, at: datetime, detected_at: datetime, detail: str | None = None
) -> dict[str, Any]:
    return {
        "notification_id": notification_id,
        "state": state.value,
        "at": at,
        "seconds_since_detected": seconds_between(detected_at, at),
        "detail": detail,
    }


def _first_state(key: str, item: PlannedNotification, now: datetime) -> dict[str, Any]:
    state = NotificationState.SUPPRESSED if item.suppressed_reason else NotificationState.PLANNED
    return _state(key, state, now, item.event.detected_at, item.suppressed_reason)


def _append(connection: Connection, states: Sequence[dict[str, Any]]) -> None:
    if states:
        connection.execute(insert(notification_states), states)


def _literals(values: Mapping[str, Any]) -> list[ColumnElement[Any]]:
    """The values as bound parameters of their columns' types."""
    return [literal(value, notification_states.c[name].type) for name, value in values.items()]


def _message(row: Mapping[Any, Any]) -> OutboundMessage:
    return OutboundMessage(
        notification_id=row["notification_id"],
        channel=row["channel"],
        recipient=row["recipient"],
        severity=row["severity"],
        detected_at=row["detected_at"],
        payload=row["payload"],
    )


def _due_at(row: Mapping[Any, Any]) -> datetime:
    due: datetime = row["next_attempt_at"]
    return due


def _held(claim: Claim) -> tuple[Any, ...]:
    n = notifications.c
    return (
        n.notification_id == claim.message.notification_id,
        n.claim_token == claim.token,
        n.terminal_state.is_(None),
    )


def _ended(state: NotificationState) -> dict[str, Any]:
    return {"terminal_state": state.value, "claim_token": None, "claimed_until": None, "next_attempt_at": None}


def _released(again_at: datetime) -> dict[str, Any]:
    return {"claim_token": None, "claimed_until": None, "next_attempt_at": again_at}


def _failure(result: Rejected | Retryable, again_at: datetime | None) -> str:
    if again_at is not None:
        return f"{result.reason}; next attempt at {again_at.isoformat(timespec='milliseconds')}"
    return f"{result.reason}; " + ("final" if isinstance(result, Rejected) else "no attempts left")
