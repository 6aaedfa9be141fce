"""The delivery ledger and accounts' thresholds over HTTP; the API mounts both routers behind its authentication.

The clients come from `app.state`: `postgres_engine`, and `reader`, the warehouse. Override `get_engine` or
`get_warehouse` to supply others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from sqlalchemy import Engine, select

from alerting.errors import NotificationNotFoundError
from alerting.events import Severity, WireDecimal
from alerting.margin.store import MarginWarehouse
from alerting.margin.thresholds import AccountThresholds, Thresholds, read_thresholds, set_thresholds
from alerting.tables import NotificationState, notification_states, notifications
from infra.runtime.clock import SystemClock
from infra.runtime.errors import NotReadyError
from ingest.messages import AccountId

MAX_LIMIT = 200

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])
accounts_router = APIRouter(prefix="/v1/accounts", tags=["thresholds"])
AccountPath = Annotated[AccountId, Path(description="account", examples=["acct-00001"])]
_DECIMAL_SCHEMA = {"type": "string", "format": "decimal", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
# A debt can lose all of its collateral, which is -100 percent; 29 digits before the point are what NUMERIC holds.
Percent = Annotated[
    Decimal,
    Field(ge=-100, le=1_000_000, decimal_places=9, allow_inf_nan=False),
    WithJsonSchema(_DECIMAL_SCHEMA),
]
ExactPercent = Annotated[WireDecimal, WithJsonSchema(_DECIMAL_SCHEMA)]


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


class ThresholdsChange(BaseModel):
    """The thresholds that an account is to have of its own, in percent of health; null or left out: the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin_call_pct: Percent | None = None
    liquidation_pct: Percent | None = None
    early_warning_pct: Percent | None = None
    recovery_margin_pct: Percent | None = None
    set_by: Annotated[str, Field(min_length=1, max_length=200, description="who decided it")]
    reason: Annotated[str, Field(min_length=1, max_length=1000, description="why, for the record")]


class ThresholdsView(BaseModel):
    """Thresholds in percent of health; null: none of its own, or none at all."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    margin_call_pct: ExactPercent | None = Field(description="a margin call is due below this")
    liquidation_pct: ExactPercent | None = Field(description="collateral is sold below this")
    early_warning_pct: ExactPercent | None = Field(description="a warning is given below this")
    recovery_margin_pct: ExactPercent | None = Field(description="points above a threshold that end an episode")


class AccountThresholdsView(BaseModel):
    """What an account has of its own, what holds for it, and its last change (null: there never was one)."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    account_id: str
    own: ThresholdsView
    effective: ThresholdsView
    set_at: datetime | None
    set_by: str | None
    reason: str | None


def get_warehouse(request: Request) -> MarginWarehouse:
    """The application's warehouse; `NotReadyError` when the application has none."""
    warehouse = getattr(request.app.state, "reader", None)
    if warehouse is None:
        raise NotReadyError("The API has no warehouse; set app.state.reader when it starts.")
    return cast(MarginWarehouse, warehouse)


WarehouseDependency = Annotated[MarginWarehouse, Depends(get_warehouse)]


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


_ACCOUNT_ERRORS: dict[int | str, dict[str, Any]] = {404: {"description": "account_unknown"}}


@accounts_router.get("/{account_id}/thresholds", responses=_ACCOUNT_ERRORS)
def get_account_thresholds(warehouse: WarehouseDependency, account_id: AccountPath) -> AccountThresholdsView:
    """Thresholds of the account: its own, and those that hold for it."""
    return _thresholds_view(read_thresholds(warehouse, account_id))


@accounts_router.put(
    "/{account_id}/thresholds",
    responses=_ACCOUNT_ERRORS | {422: {"description": "thresholds_invalid, request_invalid"}},
)
def put_account_thresholds(
    warehouse: WarehouseDependency, account_id: AccountPath, change: ThresholdsChange
) -> AccountThresholdsView:
    """Replace the account's own thresholds. They hold at the next look of the margin sensor.

    Liquidation must lie below margin call and margin call below early warning, with the default in place of what is
    left out. Repeating a request changes nothing.
    """
    wanted = Thresholds(
        margin_call_pct=change.margin_call_pct,
        liquidation_pct=change.liquidation_pct,
        early_warning_pct=change.early_warning_pct,
        recovery_margin_pct=change.recovery_margin_pct,
    )
    return _thresholds_view(set_thresholds(warehouse, account_id, wanted, change.set_by, change.reason, SystemClock()))


def _thresholds_view(found: AccountThresholds) -> AccountThresholdsView:
    return AccountThresholdsView.model_validate(found)


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
