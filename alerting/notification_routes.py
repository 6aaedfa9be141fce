"""The delivery ledger over HTTP: what became of each notification, and who has seen it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from alerting import notification_store as store
from alerting.errors import NotificationNotFoundError
from alerting.preferences.dependencies import ClockDependency, EngineDependency
from alerting.tables import NotificationState
from infra.runtime.assertions import PERSON_KEY
from infra.runtime.cursors import CursorInvalidError, OpaqueCursor

MAX_LIMIT = 200
_NO_NUL = r"^[^\x00]*$"

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])
_Text = Query(min_length=1, max_length=200, pattern=_NO_NUL)
NotificationPath = Annotated[str, Path(max_length=200, description="notification")]


class StateFilter(StrEnum):
    """How a notification stands: what it ended in, or that it has not ended."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


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
    event_id: str
    margin_event_id: str | None = Field(description="event_id where kind is margin")
    kind: str
    account_id: str | None = Field(description="null where the event is of no account")
    severity: str
    episode_id: str
    channel: str
    recipient: str
    detected_at: datetime
    created_at: datetime
    attempts: int = Field(description="how often it was sent")
    next_attempt_at: datetime | None = Field(description="null once the notification has ended")
    terminal_state: NotificationState | None = Field(
        description="accepted, delivered, failed or suppressed; null while under way"
    )
    provider_message_id: str | None
    digest_id: str | None = Field(description="the notification that sums this one up")
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    event: dict[str, Any] | None = Field(description="the event as it was published")
    states: list[StateView]


class NotificationList(BaseModel):
    """Notifications, newest first."""

    notifications: list[NotificationView]
    next_cursor: str | None = Field(default=None, description="for the next page; null on the last")


class NotificationCursor(OpaqueCursor):
    """The place behind one notification."""

    created_at: AwareDatetime = Field(alias="t")
    notification_id: str = Field(alias="n", min_length=1, max_length=200, pattern=_NO_NUL)


class Acknowledgement(BaseModel):
    """Somebody has seen the alert."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    acknowledged_by: Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL, description="who saw it")]
    note: Annotated[str, Field(max_length=1000, pattern=_NO_NUL)] | None = None


@router.get("", responses={422: {"description": f"request_invalid, {CursorInvalidError.code}"}})
def list_notifications(
    engine: EngineDependency,
    account_id: Annotated[str | None, _Text] = None,
    channel: Annotated[str | None, _Text] = None,
    state: Annotated[StateFilter | None, Query(description="what it ended in, or pending")] = None,
    severity: Annotated[str | None, _Text] = None,
    since: Annotated[AwareDatetime | None, Query(description="created then or later")] = None,
    event_id: Annotated[str | None, _Text] = None,
    margin_event_id: Annotated[str | None, _Text] = None,
    cursor: Annotated[str | None, Query(max_length=1000, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> NotificationList:
    """The newest notifications that fit all filters. One that arrives while pages are read is on none of them."""
    place = NotificationCursor.decode(cursor) if cursor is not None else None
    filters = store.Filters(
        account_id=account_id,
        channel=channel,
        is_pending=state is StateFilter.PENDING,
        terminal_state=None if state is StateFilter.PENDING else state,
        severity=severity,
        since=since,
        event_ids=tuple(each for each in (event_id, margin_event_id) if each is not None),
    )
    after = (place.created_at, place.notification_id) if place is not None else None
    with engine.connect() as connection:
        rows = store.notifications_page(connection, filters, after, limit + 1)
    shown = rows[:limit]
    behind = None
    if len(rows) > limit:
        behind = NotificationCursor(t=shown[-1]["created_at"], n=shown[-1]["notification_id"]).encode()
    return NotificationList(notifications=[_view(row) for row in shown], next_cursor=behind)


@router.get("/{notification_id}", responses={404: {"description": NotificationNotFoundError.code}})
def get_notification(engine: EngineDependency, notification_id: NotificationPath) -> NotificationView:
    """One notification with its history."""
    with engine.connect() as connection:
        row = store.notification_of(connection, notification_id)
    return _view(_found(row, notification_id))


@router.post("/{notification_id}/acknowledge", responses={404: {"description": NotificationNotFoundError.code}})
def acknowledge_notification(
    engine: EngineDependency,
    clock: ClockDependency,
    request: Request,
    notification_id: NotificationPath,
    body: Acknowledgement,
) -> NotificationView:
    """Somebody has seen the alert, so that nobody else is called for its event. The first one stays on record.

    For whom the app asks, their own name counts, whatever the body says.
    """
    name = request.scope.get(PERSON_KEY) or body.acknowledged_by
    with engine.begin() as connection:
        row = _found(store.notification_of(connection, notification_id), notification_id)
        store.acknowledge(connection, notification_id, row["event_id"], clock.now(), name, body.note or None)
        return _view(_found(store.notification_of(connection, notification_id), notification_id))


def _found(row: dict[str, Any] | None, notification_id: str) -> dict[str, Any]:
    if row is None:
        raise NotificationNotFoundError(f"There is no notification {notification_id[:80]!r}; list /v1/notifications.")
    return row


def _view(row: dict[str, Any]) -> NotificationView:
    return NotificationView.model_validate(row)
