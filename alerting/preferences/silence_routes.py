"""Silences of accounts over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from alerting.preferences.dependencies import ContextDependency, OwnerDependency, account_owner
from alerting.preferences.schemas import SilenceInput, SilenceList, SilenceView, Who, Why
from alerting.preferences.silences import create_silence, end_silence, list_silences

router = APIRouter(
    prefix="/v1/accounts/{account_id}/silences", tags=["alert preferences"], dependencies=[Depends(account_owner)]
)


@router.post("", status_code=201, responses={422: {"description": "request_invalid, silence_invalid"}})
def post_silence(context: ContextDependency, owner: OwnerDependency, body: SilenceInput) -> SilenceView:
    """Do not tell the account of these severities for a while, at most 30 days; a liquidation is always told."""
    silence = create_silence(
        context, owner, frozenset(body.severities), body.starts_at, body.ends_at, body.reason, body.created_by
    )
    return SilenceView.model_validate(silence)


@router.get("", name="list_silences")
def get_silences(
    context: ContextDependency,
    owner: OwnerDependency,
    include_ended: Annotated[bool, Query(description="also those that are over")] = False,
) -> SilenceList:
    """Silences that hold now or will, the last to end first."""
    found = list_silences(context, owner, include_ended=include_ended)
    return SilenceList(silences=[SilenceView.model_validate(each) for each in found])


@router.delete("/{silence_id}", responses={404: {"description": "silence_not_found"}})
def delete_silence(
    context: ContextDependency,
    owner: OwnerDependency,
    silence_id: Annotated[str, Path(pattern=r"^[a-z0-9_]{1,100}$", description="silence")],
    ended_by: Annotated[Who, Query()] = "api",
    reason: Annotated[Why, Query()] = "ended early",
) -> SilenceView:
    """End a silence now; it stays in the record. One that is over stays as it is."""
    return SilenceView.model_validate(end_silence(context, owner, silence_id, ended_by, reason))
