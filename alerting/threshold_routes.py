"""Accounts' own margin thresholds over HTTP; the warehouse comes from `app.state.reader`."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from alerting.events import WireDecimal
from alerting.margin.store import MarginWarehouse
from alerting.margin.thresholds import AccountThresholds, Thresholds, read_thresholds, set_thresholds
from alerting.preferences.dependencies import AccountPath
from infra.runtime.clock import SystemClock
from infra.runtime.errors import NotReadyError

accounts_router = APIRouter(prefix="/v1/accounts", tags=["thresholds"])
_DECIMAL_SCHEMA = {"type": "string", "format": "decimal", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
# A debt can lose all of its collateral, which is -100 percent; 29 digits before the point are what NUMERIC holds.
Percent = Annotated[
    Decimal,
    Field(ge=-100, le=1_000_000, decimal_places=9, allow_inf_nan=False),
    WithJsonSchema(_DECIMAL_SCHEMA),
]
ExactPercent = Annotated[WireDecimal, WithJsonSchema(_DECIMAL_SCHEMA)]


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


async def get_warehouse(request: Request) -> MarginWarehouse:
    """The application's warehouse; `NotReadyError` when the application has none."""
    warehouse = getattr(request.app.state, "reader", None)
    if warehouse is None:
        raise NotReadyError("The API has no warehouse; set app.state.reader when it starts.")
    return cast(MarginWarehouse, warehouse)


WarehouseDependency = Annotated[MarginWarehouse, Depends(get_warehouse)]


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
