"""What follows from a closed case: a settlement released or rejected, hits cleared or confirmed.

A verification's case is not closed here: its decision closes it. Every step is idempotent, and follows after the case
was closed: nothing happens that nobody decided, and what a killed process left undone `resume_approved` finishes in the
name of who decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from compliance import chain
from compliance.api.hit_store import Verdict as HitVerdict
from compliance.api.hit_store import decide_hit, open_hits
from compliance.api.outcome_store import Unfinished, unfinished
from compliance.api.services import Services
from compliance.cases import Case, CaseKind
from compliance.model import Actor, Decision
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger

MAX_RESUMED = 100
IN_PROGRESS = timedelta(seconds=30)
AML_DECISIONS = {"released": Decision.RELEASED, "rejected": Decision.REJECTED}
HIT_VERDICTS: Mapping[str, HitVerdict] = {"cleared": "cleared", "confirmed": "confirmed"}
_log = get_logger(__name__)


def carry_out(services: Services, case: Case, actor: Actor, reason: str) -> None:
    """Do what the case was closed with."""
    if case.outcome is not None:
        _carry_out(services, case.kind, case.case_id, case.subject_id, case.outcome, actor, reason)


def resume_approved(services: Services, limit: int = MAX_RESUMED) -> int:
    """Carry out what was decided and not done, oldest first; returns how many.

    One that fails is logged and stands in nobody's way; it is tried again next time. What was decided within the last
    seconds is left to the request that is at it.
    """
    with services.engine.connect() as connection:
        left = unfinished(connection, services.clock.now() - IN_PROGRESS, limit)
    return sum(_resumed(services, each) for each in left)


def _resumed(services: Services, left: Unfinished) -> bool:
    actor = Actor(left.actor, left.role)
    try:
        _carry_out(services, left.kind, left.case_id, left.subject_id, left.outcome, actor, left.reason)
    except BallastError as error:
        _log.warning("outcome_not_carried_out", case_id=left.case_id, code=error.code)
        return False
    _log.info("outcome_carried_out", case_id=left.case_id, outcome=left.outcome)
    return True


def _carry_out(
    services: Services, kind: CaseKind, case_id: str, subject_id: str, outcome: str, actor: Actor, reason: str
) -> None:
    if kind is CaseKind.AML and outcome in AML_DECISIONS:
        services.gate.resolve(subject_id, AML_DECISIONS[outcome], actor, reason)
    elif kind is CaseKind.SCREENING and outcome in HIT_VERDICTS:
        _decide_hits(services, case_id, HIT_VERDICTS[outcome], actor, reason)


def _decide_hits(services: Services, case_id: str, verdict: HitVerdict, actor: Actor, reason: str) -> None:
    """Decide every hit of the case that was not decided one by one; a clearance is remembered for the policy's days."""
    now = services.clock.now()
    until = cleared_until(services, now) if verdict == "cleared" else None
    with services.engine.begin() as connection:
        # Before the hits, as everywhere: who holds a case holds the chain.
        chain.lock(connection)
        for hit in open_hits(connection, case_id):
            decide_hit(connection, hit, verdict, actor, reason, now, until)


def cleared_until(services: Services, now: datetime) -> datetime:
    """How long a hit that is cleared now stays cleared."""
    return now + timedelta(days=services.policies.current(now).screening.clear_days)
