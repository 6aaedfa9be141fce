"""Replays of policies over HTTP: start one, look how far it is, stop it. Nothing is decided or recorded by it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from compliance.api.access import GUARDS, ActorDependency
from compliance.api.dependencies import ServicesDependency, errors
from compliance.api.errors import ReplayBusyError, ReplayNotFoundError
from compliance.api.replay_schemas import ReplayInput, ReplayView
from compliance.errors import PolicyInvalidError
from compliance.policy.documents import parse_document, policy_of
from compliance.policy.judging import Judge

CANDIDATE = "candidate.yaml"
"""What refusals call a text that was sent."""
router = APIRouter(prefix="/v1/compliance/policies/replays", tags=["compliance"], dependencies=GUARDS)
ReplayPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$", description="replay")]
_FOUND = errors(s404=ReplayNotFoundError.code)


@router.post(
    "",
    status_code=202,
    responses=errors(s409=ReplayBusyError.code, s422=f"request_invalid, {PolicyInvalidError.code}"),
)
def start_replay(services: ServicesDependency, actor: ActorDependency, body: ReplayInput) -> ReplayView:
    """Judge the transactions of the last days by a policy and compare with what was decided; one at a time.

    A text that is no policy is refused with file, line and reason, a version that is not there with those that are.
    """
    from compliance.aml.features import Features
    from compliance.aml.rules import RULES

    if body.text is not None:
        policy, text = policy_of(parse_document(CANDIDATE, body.text)), body.text
    else:
        policy, text = services.policies.version(str(body.version)), services.policies.content(str(body.version))
    judge = Judge(policy, RULES, Features)
    return ReplayView.model_validate(services.replays.start(judge, CANDIDATE, text, body.days, actor.name))


@router.get("/{replay_id}", responses=_FOUND)
def get_replay(services: ServicesDependency, replay_id: ReplayPath) -> ReplayView:
    """How far the replay is, and its report once it is done; kept for an hour, in the process that runs it."""
    return ReplayView.model_validate(services.replays.get(replay_id))


@router.delete("/{replay_id}", status_code=202, responses=_FOUND)
def cancel_replay(services: ServicesDependency, replay_id: ReplayPath) -> ReplayView:
    """Ask a replay to stop, which it does soon; one that has ended stays as it is."""
    return ReplayView.model_validate(services.replays.cancel(replay_id))
