"""Reads of the delivery ledger over HTTP; the API mounts `router` behind its authentication.

The engine comes from `app.state.postgres_engine`; override `get_engine` to supply another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Engine, select

from alerting.errors import NotificationNotFoundError
from alerting.events import Severity
from alerting.tables import NotificationState, notification_states, notifications
from infra.runtime.errors import NotReadyError

MAX_LIMIT = 200

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


class StateView(BaseModel):
    """One step of a notification."""

    state: NotificationState
    at: datetime
    seconds_since_detected: float
    detail: str | None
    provider_message_id: str | None


class NotificationView(BaseModel):
    """A notification and its history, oldest step first; `recipient` is a key, not an address."""

    notification_id: str
    margin_event_id: str
    account_id: str
    severity: Severity
    episode_id: str
    channel: str
    recipient: str
    detected_at: datetime
    created_at: datetime
    attempts: int
    next_attempt_at: datetime | None = Field(description="null once the notification has ended")
    terminal_state: NotificationState | None = Field(description="accepted, failed or suppressed; null while under way")
    event: dict[str, Any] = Field(description="the margin event as it was published")
    states: list[StateView]


class NotificationList(BaseModel):
    """Notifications, newest first."""

    notifications: list[NotificationView]


def get_engine(request: Request) -> Engine:
    """The application's PostgreSQL engine; `NotReadyError` when the application has none."""
    engine = getattr(request.app.state, "postgres_engine", None)
    if not isinstance(engine, Engine):
        raise NotReadyError("The API has no PostgreSQL engine; set app.state.postgres_engine when it starts.")
    return engine


EngineDependency = Annotated[Engine, Depends(get_engine)]


@router.get("")
def list_notifications(
    engine: EngineDependency,
    account_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> NotificationList:
    """The newest notifications, of one account or of all."""
    n = notifications.c
    statement = select(notifications).order_by(n.created_at.desc(), n.notification_id).limit(limit)
    if account_id is not None:
        statement = statement.where(n.account_id == account_id)
    with engine.connect() as connection:
        rows = connection.execute(statement).mappings().all()
    states = _states(engine, [row["notification_id"] for row in rows])
    return NotificationList(notifications=[_view(row, states) for row in rows])


@router.get("/{notification_id}", responses={404: {"description": "notification_not_found"}})
def get_notification(engine: EngineDependency, notification_id: str) -> NotificationView:
    """One notification with its history."""
    statement = select(notifications).where(notifications.c.notification_id == notification_id)
    with engine.connect() as connection:
        row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotificationNotFoundError(f"There is no notification {notification_id[:80]!r}; list /v1/notifications.")
    return _view(row, _states(engine, [notification_id]))


def _states(engine: Engine, notification_ids: Sequence[str]) -> dict[str, list[StateView]]:
    s = notification_states.c
    found: dict[str, list[StateView]] = {key: [] for key in notification_ids}
    statement = select(notification_states).where(s.notification_id.in_(notification_ids)).order_by(s.state_id)
    with engine.connect() as connection:
        for row in connection.execute(statement).mappings():
            found[row["notification_id"]].append(StateView.model_validate(dict(row)))
    return found


def _view(row: Mapping[Any, Any], states: Mapping[str, list[StateView]]) -> NotificationView:
    content = {**row, "event": row["payload"], "states": states[row["notification_id"]]}
    return NotificationView.model_validate(content)
