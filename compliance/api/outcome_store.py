"""Closed cases whose outcome is not carried out yet, with who decided and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from compliance.cases import CaseKind
from compliance.model import Role

_UNFINISHED = text(
    """
    select c.kind, c.case_id, c.subject_id, c.outcome, e.actor, e.role, e.body ->> 'reason' as reason
    from compliance.cases as c
    inner join lateral (
        select actor, role, body
        from compliance.case_events
        where case_id = c.case_id and kind in ('approved', 'closed')
        order by sequence desc
        limit 1
    ) as e on e.role != 'system'
    where
        c.state = 'closed'
        and c.closed_at < :before
        and case c.kind
            when 'aml' then
                c.outcome in ('released', 'rejected')
                and exists (
                    select 1
                    from compliance.transaction_logs as t
                    where
                        t.transaction_id = c.subject_id
                        and t.case_id = c.case_id
                        and t.decision in ('review', 'blocked')
                )
            when 'screening' then
                exists (select 1 from compliance.screening_hits as h where h.case_id = c.case_id and h.state = 'open')
            else false
        end
    order by c.closed_at, c.case_id
    limit :max_rows
    """
)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A decision that a process did not live to carry out."""

    kind: CaseKind
    case_id: str
    subject_id: str
    outcome: str
    actor: str
    role: Role
    reason: str


def unfinished(connection: Connection, before: datetime, max_rows: int) -> list[Unfinished]:
    """Cases that people closed before a time and whose outcome is not carried out, oldest first."""
    rows = connection.execute(_UNFINISHED, {"before": before, "max_rows": max_rows}).mappings()
    return [Unfinished(**{**row, "kind": CaseKind(row["kind"]), "role": Role(row["role"])}) for row in rows]
