"""Cases past their due time: an officer is called for each, once.

What nobody has begun to decide is escalated. A case that awaits approval keeps its proposal, since escalating would
withdraw it and send the work of one person back to the start; like one that was escalated in time it is announced. The
case's own history tells what was said already, so that a kill at any place repeats nothing and loses nothing.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

from compliance import cases
from compliance.case_model import CaseState
from compliance.errors import CaseConflictError
from compliance.model import SYSTEM
from infra.runtime.clock import Clock

BATCH = 100
REASON = "Past its due time, and nobody closed it."
_ESCALATED_FROM = frozenset({CaseState.OPEN, CaseState.ASSIGNED})
_OVERDUE = text(
    """
    select case_id, version, state
    from compliance.cases
    where
        state in ('open', 'assigned', 'awaiting_approval', 'escalated')
        and sla_due_at < :now
        and (
            state in ('open', 'assigned')
            or not exists (
                select
                from compliance.case_events as events
                where
                    events.case_id = cases.case_id
                    and (events.kind = 'overdue' or (events.kind = 'escalated' and events.role = 'system'))
            )
        )
    order by sla_due_at, case_id
    limit :max_rows
    """
)


def call_for_overdue(engine: Engine, clock: Clock, limit: int = BATCH) -> int:
    """Escalate or announce up to `limit` cases that are past due, the longest overdue first; returns how many.

    Each is a transaction of its own; one that somebody changes meanwhile is looked at anew next time.
    """
    with engine.connect() as connection:
        overdue = connection.execute(_OVERDUE, {"now": clock.now(), "max_rows": limit}).all()
    done = 0
    for row in overdue:
        try:
            with engine.begin() as connection:
                _call(connection, row.case_id, row.version, CaseState(row.state), clock)
        except CaseConflictError:
            continue
        done += 1
    return done


def _call(connection: Connection, case_id: str, version: int, state: CaseState, clock: Clock) -> None:
    at = clock.now()
    if state in _ESCALATED_FROM:
        cases.escalate(connection, case_id, version=version, reason=REASON, actor=SYSTEM, at=at)
    else:
        cases.announce_overdue(connection, case_id, version=version, at=at)
