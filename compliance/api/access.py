"""Which action each route of compliance is: one table, and a route that is not in it is nobody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request

from compliance.authorization import Action, require
from compliance.errors import ForbiddenError
from compliance.model import Actor

ACTOR_KEY = "ballast.actor"
"""Where the authentication puts who asks, in the request's scope."""

ACTIONS: Mapping[str, Action] = {
    "start_kyc": Action.START_KYC,
    "get_kyc": Action.READ_KYC,
    "decide_kyc": Action.DECIDE_KYC,
    "check_transaction": Action.SUBMIT_TRANSACTION,
    "submit_settlement": Action.SUBMIT_TRANSACTION,
    "release_settlement": Action.RELEASE,
    "reject_settlement": Action.RELEASE,
    "get_compliance_metrics": Action.READ_METRICS,
    "search_lists": Action.SEARCH_LISTS,
    "clear_hit": Action.CLEAR_HIT,
    "confirm_hit": Action.CLEAR_HIT,
    "list_cases": Action.READ_QUEUE,
    "get_case": Action.READ_CASE,
    "get_case_evidence": Action.READ_CASE,
    "get_case_customer": Action.READ_PERSONAL_DATA,
    "get_sar_draft": Action.READ_SAR_DRAFT,
    "assign_case": Action.ASSIGN,
    "comment_case": Action.COMMENT,
    "propose_outcome": Action.PROPOSE,
    "approve_proposal": Action.APPROVE,
    "reject_proposal": Action.REJECT_PROPOSAL,
    "escalate_case": Action.ESCALATE,
    "close_case": Action.CLOSE,
    "list_policies": Action.READ_POLICIES,
    "get_policy": Action.READ_POLICIES,
    "compare_policies": Action.READ_POLICIES,
    "start_replay": Action.READ_REPLAYS,
    "get_replay": Action.READ_REPLAYS,
    "cancel_replay": Action.READ_REPLAYS,
    "list_sanctions_lists": Action.READ_LISTS,
    "list_aml_alerts": Action.READ_CASE,
    "summarize_aml_alerts": Action.READ_CASE,
    "get_transaction": Action.READ_CASE,
}


async def get_actor(request: Request) -> Actor:
    """Who asks; raises `ForbiddenError` where nobody was authenticated."""
    actor = request.scope.get(ACTOR_KEY)
    if not isinstance(actor, Actor):
        raise ForbiddenError("Nobody was authenticated for this address.")
    return actor


async def authorize(request: Request) -> None:
    """Let pass who may do what the route is; raises `ForbiddenError`, also for a route without a row in `ACTIONS`."""
    name = getattr(request.scope.get("route"), "name", None)
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        raise ForbiddenError("Nobody may use this address: no action is assigned to it.")
    require(await get_actor(request), action)


ActorDependency = Annotated[Actor, Depends(get_actor)]
GUARDS: list[Any] = [Depends(authorize)]
"""Dependencies of every router of people; webhooks have none, for their signature stands for them."""
