"""Callbacks applied to the ledger: each once, in whatever order they come, a whole batch in one transaction.

A replay finds its callback id and changes nothing. Rows are locked in the order of the ledger's own writes, `pending`
before `notifications`, each by id. `at` in the history is when the callback came, by our clock: it never flatters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from alerting.callbacks import statements
from alerting.callbacks.outcomes import CHANNELS, Provider, Report, needs_history, next_state, outcome, verdict
from alerting.disabling import disable_contacts
from alerting.tables import NotificationState
from infra.runtime.clock import Clock, as_utc

OPTED_OUT = "opted_out"
TRIES = 3
_DEADLOCK = "40P01"
# Notifications are planned by the database's clock and callbacks received by this machine's.
_CLOCK_SKEW = timedelta(hours=1)
_FAILED, _DELIVERED = NotificationState.FAILED, NotificationState.DELIVERED


@dataclass(frozen=True, slots=True)
class Callback:
    """One report of a provider; `callback_id` is the same whenever it is sent again.

    `kind` is the provider's word and `detail` fit to show. `is_opt_out`: the number wants no further messages.
    """

    callback_id: str
    provider: Provider
    notification_id: str | None
    kind: str
    occurred_at: datetime | None
    detail: str | None
    provider_message_id: str | None = None
    is_opt_out: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """How many callbacks were new, and how many notifications and contacts they changed."""

    recorded: int = 0
    changed: int = 0
    disabled: int = 0


@dataclass(frozen=True, slots=True)
class _Change:
    """One row of history; `is_implied`: only where the notification has no such row."""

    notification_id: str
    before: NotificationState | None
    state: NotificationState
    detail: str | None
    provider_message_id: str | None
    is_implied: bool = False


def apply(engine: Engine, clock: Clock, callbacks: Sequence[Callback]) -> Applied:
    """Record the callbacks and change the notifications that they tell of, durably; raises SQLAlchemy's errors."""
    by_id = {callback.callback_id: callback for callback in reversed(callbacks)}
    if not by_id:
        return Applied()
    for left in reversed(range(TRIES)):
        try:
            with engine.begin() as connection:
                return _apply(connection, by_id, clock.now())
        except DBAPIError as error:
            if not left or getattr(error.orig, "sqlstate", None) != _DEADLOCK:
                raise
    raise AssertionError("unreachable")


def _apply(connection: Connection, by_id: Mapping[str, Callback], now: datetime) -> Applied:
    new = _record(connection, [by_id[key] for key in sorted(by_id)], now)
    telling = [
        each
        for each in new
        if each.notification_id is not None and (each.is_opt_out or outcome(each.provider, each.kind) is not None)
    ]
    found = _lock(connection, telling)
    of_ours = [each for each in telling if each.notification_id in found and _is_of(each, found[each.notification_id])]
    changes = _changes(connection, found, of_ours, now)
    _write(connection, changes, now)
    _escalate(connection, changes, now)
    opted_out = {found[str(each.notification_id)]["recipient"] for each in of_ours if each.is_opt_out}
    disabled = disable_contacts(connection, opted_out, OPTED_OUT, Provider.TWILIO.value, now)
    return Applied(len(new), sum(not change.is_implied for change in changes), disabled)


def _record(connection: Connection, callbacks: Sequence[Callback], now: datetime) -> list[Callback]:
    """Keep the callbacks; returns those that were not known, in the order of their ids."""
    values = {
        "callback_id": [each.callback_id for each in callbacks],
        "provider": [each.provider.value for each in callbacks],
        "notification_id": [each.notification_id for each in callbacks],
        "kind": [each.kind for each in callbacks],
        "occurred_at": [each.occurred_at for each in callbacks],
        "detail": [each.detail for each in callbacks],
        "now": now,
    }
    new: set[str] = set(connection.execute(statements.RECORD, values).scalars())
    return [each for each in callbacks if each.callback_id in new]


def _lock(connection: Connection, callbacks: Sequence[Callback]) -> dict[str, Mapping[Any, Any]]:
    """The notifications that the callbacks tell of, by id, held until the transaction ends."""
    ids = sorted({each.notification_id for each in callbacks if each.notification_id is not None})
    if not ids:
        return {}
    connection.execute(statements.LOCK_PENDING, {"ids": ids})
    rows = connection.execute(statements.LOCK_NOTIFICATIONS, {"ids": ids}).mappings()
    return {row["notification_id"]: row for row in rows}


def _is_of(callback: Callback, row: Mapping[Any, Any]) -> bool:
    return bool(row["channel"] == CHANNELS[callback.provider])


def _changes(
    connection: Connection, found: Mapping[str, Mapping[Any, Any]], callbacks: Sequence[Callback], now: datetime
) -> list[_Change]:
    by_notification: dict[str, list[Callback]] = {}
    for each in callbacks:
        by_notification.setdefault(str(each.notification_id), []).append(each)
    reports = {key: [_report(each, now) for each in group] for key, group in by_notification.items()}
    states = {key: _state(found[key]["terminal_state"]) for key in by_notification}
    contested = sorted(key for key in reports if needs_history(states[key], verdict(reports[key])))
    for key, earlier in _history(connection, found, contested).items():
        reports[key] = earlier
    changes: list[_Change] = []
    for key in sorted(by_notification):
        after = next_state(states[key], verdict(reports[key]))
        if after is not None:
            changes += _steps(found[key], states[key], after, by_notification[key])
    return changes


def _steps(
    row: Mapping[Any, Any], before: NotificationState | None, after: NotificationState, callbacks: Sequence[Callback]
) -> list[_Change]:
    """The rows of history for one change: a delivery implies that the provider took the message."""
    cause = next((each for each in callbacks if outcome(each.provider, each.kind) is after), callbacks[-1])
    message_id = cause.provider_message_id
    step = _Change(row["notification_id"], before, after, cause.detail, message_id)
    if after is not _DELIVERED:
        return [step]
    return [replace(step, state=NotificationState.ACCEPTED, is_implied=True), step]


def _report(callback: Callback, now: datetime) -> Report:
    return Report(callback.provider, callback.kind, callback.occurred_at or now)


def _state(value: str | None) -> NotificationState | None:
    return NotificationState(value) if value is not None else None


def _history(
    connection: Connection, found: Mapping[str, Mapping[Any, Any]], ids: Sequence[str]
) -> dict[str, list[Report]]:
    """All reports of these notifications, the new ones included."""
    if not ids:
        return {}
    since = min(as_utc(found[key]["created_at"]) for key in ids) - _CLOCK_SKEW
    reports: dict[str, list[Report]] = {key: [] for key in ids}
    for row in connection.execute(statements.HISTORY, {"ids": ids, "since": since}).mappings():
        at = as_utc(row["occurred_at"] or row["received_at"])
        reports[row["notification_id"]].append(Report(Provider(row["provider"]), row["kind"], at))
    return reports


def _write(connection: Connection, changes: Sequence[_Change], now: datetime) -> None:
    if not changes:
        return
    values = {
        "notification_id": [each.notification_id for each in changes],
        "state": [each.state.value for each in changes],
        "detail": [each.detail for each in changes],
        "provider_message_id": [each.provider_message_id for each in changes],
        "is_implied": [each.is_implied for each in changes],
    }
    connection.execute(statements.APPEND, values | {"now": now})
    connection.execute(statements.END, values)
    connection.execute(statements.UNQUEUE, {"ids": values["notification_id"]})


def _escalate(connection: Connection, changes: Sequence[_Change], now: datetime) -> None:
    """Let the next contact be tried at once for what has failed, again also where it had been accepted."""
    failed = [each for each in changes if each.state is _FAILED]
    if failed:
        values = {
            "ids": [each.notification_id for each in failed],
            "was_accepted": [each.before is not None for each in failed],
        }
        connection.execute(statements.ESCALATE, values | {"now": now})
