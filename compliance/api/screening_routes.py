"""Searches in lists over HTTP, and what officers decide about hits."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from compliance import cases
from compliance.api.access import GUARDS, ActorDependency
from compliance.api.dependencies import HitPath, ServicesDependency, errors, refuse_unborn
from compliance.api.errors import HitNotFoundError
from compliance.api.hit_store import StoredHit, Verdict, decide_hit, read_hit
from compliance.api.outcomes import carry_out, cleared_until
from compliance.api.screening_schemas import HitDecisionInput, HitDecisionView, HitView, SearchInput, SearchView
from compliance.api.services import Services
from compliance.errors import CaseConflictError
from compliance.model import Actor

router = APIRouter(prefix="/v1/compliance/screening", tags=["compliance"], dependencies=GUARDS)
_DECIDED = errors(s404=HitNotFoundError.code, s409=CaseConflictError.code)


@router.post("/search")
def search_lists(services: ServicesDependency, body: SearchInput) -> SearchView:
    """Search a name in every active list; `compliance_not_ready` where none is loaded, never `clear`."""
    now = services.clock.now()
    refuse_unborn(body.birth_date, now)
    policy = services.policies.current(now)
    found = services.screener.screen_name(
        body.name, kind=body.kind, birth_date=body.birth_date, countries=tuple(body.countries), policy=policy
    )
    return SearchView(
        outcome=found.outcome.value,
        reason=found.reason,
        hits=[HitView.model_validate(hit) for hit in found.hits],
        list_versions=dict(found.list_versions),
        policy_version=policy.version,
        searched_on=now.date(),
    )


@router.post("/hits/{hit_id}/clear", responses=_DECIDED)
def clear_hit(
    services: ServicesDependency, actor: ActorDependency, hit_id: HitPath, body: HitDecisionInput
) -> HitDecisionView:
    """Say that the customer is not who the list names; remembered as long as the policy says.

    A sanction needs four eyes: this approves what another person proposed on the case, which clears all its open hits.
    """
    hit = _open(services, hit_id, "cleared")
    if hit.state != "open":
        return _view(hit, "cleared")
    policy = services.policies.current(services.clock.now())
    if hit.case_id is not None and hit.needs_four_eyes(policy.screening.topics_block):
        _approve(services, actor, hit.case_id, body)
    else:
        _decide(services, actor, hit, "cleared", body)
    return _view(hit, "cleared")


@router.post("/hits/{hit_id}/confirm", responses=_DECIDED)
def confirm_hit(
    services: ServicesDependency, actor: ActorDependency, hit_id: HitPath, body: HitDecisionInput
) -> HitDecisionView:
    """Say that the customer is who the list names; the case stays open until it is closed as confirmed."""
    hit = _open(services, hit_id, "confirmed")
    if hit.state == "open":
        _decide(services, actor, hit, "confirmed", body)
    return _view(hit, "confirmed")


def _open(services: Services, hit_id: str, wanted: Verdict) -> StoredHit:
    """The hit, which nobody decided otherwise."""
    with services.engine.connect() as connection:
        hit = read_hit(connection, hit_id)
    if hit is None:
        raise HitNotFoundError(f"There is no hit {hit_id}; the history of a screening case names its hits.")
    if hit.state not in ("open", wanted):
        raise CaseConflictError(f"Hit {hit_id} is {hit.state} already; screen the customer again for a new one.")
    return hit


def _approve(services: Services, actor: Actor, case_id: str, body: HitDecisionInput) -> None:
    now = services.clock.now()
    with services.engine.begin() as connection:
        case = cases.read_case(connection, case_id)
        if case.outcome != "cleared":
            if case.proposal is None or case.proposal.outcome != "cleared":
                raise CaseConflictError(
                    "A sanction needs four eyes: another person proposes that it is cleared first, at"
                    f" POST /v1/compliance/cases/{case_id}/propose."
                )
            case = cases.approve(connection, case_id, version=body.version, reason=body.reason, actor=actor, at=now)
    carry_out(services, case, actor, body.reason)


def _decide(services: Services, actor: Actor, hit: StoredHit, verdict: Verdict, body: HitDecisionInput) -> None:
    now = services.clock.now()
    until = cleared_until(services, now) if verdict == "cleared" else None
    with services.engine.begin() as connection:
        if hit.case_id is not None:
            text = f"Hit {hit.hit_id} {verdict}: {body.reason}"
            cases.comment(connection, hit.case_id, version=body.version, text=text, actor=actor, at=now)
        if not decide_hit(connection, hit, verdict, actor, body.reason, now, until):
            raise CaseConflictError(f"Somebody decided hit {hit.hit_id} meanwhile; read it again.")


def _view(hit: StoredHit, state: Literal["cleared", "confirmed"]) -> HitDecisionView:
    return HitDecisionView(hit_id=hit.hit_id, state=state, case_id=hit.case_id)
