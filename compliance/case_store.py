"""The SQL of cases; what may be done with one stands in `cases.py`."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from compliance.case_model import (
    Case,
    CaseEvent,
    CaseKind,
    CasePage,
    CasePriority,
    CaseState,
    Proposal,
    QueueFilters,
    proposal_body,
    word,
)
from compliance.errors import CaseNotFoundError, ComplianceInputError
from infra.runtime.clock import as_utc

MAX_PAGE = 500
_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


_COLUMNS = """
    case_id, kind, subject_id, account_id, user_id, title, state, priority, assignee, proposal, outcome, sla_due_at,
    opened_at, closed_at, version
"""
_READ = f"select {_COLUMNS} from compliance.cases where case_id = :case_id"  # noqa: S608 - constants of this module
_READ_CASE = text(_READ)
_LOCK_CASE = text(f"{_READ} for update")
_LOCK_OPEN = text(
    f"select {_COLUMNS} from compliance.cases"  # noqa: S608 - constants of this module
    " where kind = :kind and subject_id = :subject_id and state != 'closed' for update"
)
_INSERT = text(
    """
    insert into compliance.cases
        (case_id, kind, subject_id, account_id, user_id, title, state, priority, sla_due_at, opened_at, version)
    values
        (:case_id, :kind, :subject_id, :account_id, :user_id, :title, :state, :priority, :sla_due_at, :opened_at,
        :version)
    on conflict do nothing
    returning case_id
    """
)
_UPDATE = text(
    """
    update compliance.cases
    set
        state = :state, priority = :priority, assignee = :assignee, proposal = cast(:proposal as jsonb),
        outcome = :outcome, sla_due_at = :sla_due_at, closed_at = :closed_at, version = :version
    where case_id = :case_id
    """
)
# A breach of a closed case is one for ever; of an open one, from its due time on.
_QUEUE = text(
    f"""
    select {_COLUMNS}
    from compliance.cases
    where
        state = any(cast(:states as text[]))
        and (cast(:kind as text) is null or kind = :kind)
        and (cast(:priority as text) is null or priority = :priority)
        and (cast(:assignee as text) is null or assignee = :assignee)
        and (cast(:is_unassigned as boolean) is null or (assignee is null) = :is_unassigned)
        and (cast(:account_id as text) is null or account_id = :account_id)
        and (cast(:user_id as text) is null or user_id = :user_id)
        and (cast(:subject_id as text) is null or subject_id = :subject_id)
        and (
            cast(:is_breached as boolean) is null
            or (coalesce(closed_at, cast(:at as timestamptz)) > sla_due_at) = :is_breached
        )
        and (
            cast(:words as text) is null
            or position(lower(:words) in lower(concat_ws(' ', title, subject_id, case_id))) > 0
        )
        and (
            cast(:after_due_at as timestamptz) is null
            or (sla_due_at, case_id) > (cast(:after_due_at as timestamptz), cast(:after_case_id as text))
        )
    order by sla_due_at, case_id
    limit :max_rows
    """  # noqa: S608 - constants of this module
)
_HISTORY = text(
    """
    select sequence, event_id, case_id, at, actor, role, kind, body, hash
    from compliance.case_events
    where case_id = :case_id
    order by sequence
    """
)


def read(connection: Connection, case_id: str, *, for_update: bool = False) -> Case:
    """The case; raises `CaseNotFoundError`. With `for_update` nobody else changes it until the transaction ends."""
    statement = _LOCK_CASE if for_update else _READ_CASE
    row = connection.execute(statement, {"case_id": case_id}).mappings().one_or_none()
    if row is None:
        raise CaseNotFoundError(f"There is no case {case_id[:80]!r}.")
    return _case(row)


def lock_open(connection: Connection, kind: CaseKind, subject_id: str) -> Case | None:
    """The open case of the subject, held until the transaction ends."""
    values = {"kind": kind.value, "subject_id": subject_id}
    row = connection.execute(_LOCK_OPEN, values).mappings().one_or_none()
    return None if row is None else _case(row)


def insert(connection: Connection, case: Case) -> bool:
    """Store a new case; False where one of its id, or an open one of its subject, is there."""
    values = {
        "case_id": case.case_id,
        "kind": case.kind.value,
        "subject_id": case.subject_id,
        "account_id": case.account_id,
        "user_id": case.user_id,
        "title": case.title,
        "state": case.state.value,
        "priority": case.priority.value,
        "sla_due_at": case.sla_due_at,
        "opened_at": case.opened_at,
        "version": case.version,
    }
    return connection.execute(_INSERT, values).scalar_one_or_none() is not None


def update(connection: Connection, case: Case) -> None:
    """Store what can change of a case that this transaction holds."""
    values = {
        "case_id": case.case_id,
        "state": case.state.value,
        "priority": case.priority.value,
        "assignee": case.assignee,
        "proposal": json.dumps(proposal_body(case.proposal)) if case.proposal is not None else None,
        "outcome": case.outcome,
        "sla_due_at": case.sla_due_at,
        "closed_at": case.closed_at,
        "version": case.version,
    }
    connection.execute(_UPDATE, values)


def queue(connection: Connection, filters: QueueFilters) -> CasePage:
    """Cases that match, the one due first in front; raises `ComplianceInputError` for what no case can be."""
    states = filters.states if filters.states is not None else [s for s in CaseState if s is not CaseState.CLOSED]
    limit = filters.limit
    if not 1 <= limit <= MAX_PAGE:
        raise ComplianceInputError(f"A page of cases has 1 to {MAX_PAGE} rows, not {limit}.")
    after = _decoded(filters.cursor) if filters.cursor is not None else (None, None)
    values = {
        "states": [word(CaseState, "state", state).value for state in states],
        "kind": word(CaseKind, "kind", filters.kind).value if filters.kind is not None else None,
        "priority": word(CasePriority, "priority", filters.priority).value if filters.priority is not None else None,
        "assignee": filters.assignee,
        "is_unassigned": filters.is_unassigned,
        "account_id": filters.account_id,
        "user_id": filters.user_id,
        "subject_id": filters.subject_id,
        "is_breached": filters.is_breached,
        "words": filters.words,
        "at": as_utc(filters.at),
        "after_due_at": after[0],
        "after_case_id": after[1],
        "max_rows": limit + 1,
    }
    found = [_case(row) for row in connection.execute(_QUEUE, values).mappings()]
    page = tuple(found[:limit])
    return CasePage(page, _encoded(page[-1]) if len(found) > limit else None)


def history(connection: Connection, case_id: str) -> tuple[CaseEvent, ...]:
    """Everything that happened to the case, oldest first."""
    rows = connection.execute(_HISTORY, {"case_id": case_id}).mappings()
    return tuple(CaseEvent(**row) for row in rows)


def _case(row: Mapping[Any, Any]) -> Case:
    proposal = row["proposal"]
    return Case(
        **{
            **row,
            "kind": CaseKind(row["kind"]),
            "state": CaseState(row["state"]),
            "priority": CasePriority(row["priority"]),
            "proposal": None if proposal is None else _proposal(proposal),
        }
    )


def _proposal(body: Mapping[str, str]) -> Proposal:
    return Proposal(
        outcome=body["outcome"],
        reason=body["reason"],
        by=body["by"],
        role=body["role"],
        at=datetime.fromisoformat(body["at"]),
        from_state=CaseState(body["from_state"]),
    )


def _encoded(case: Case) -> str:
    text_form = json.dumps([as_utc(case.sla_due_at).isoformat(), case.case_id])
    return base64.urlsafe_b64encode(text_form.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> tuple[datetime, str]:
    """The place behind a row; whatever a caller made up is refused here, before PostgreSQL sees it."""
    try:
        due_at, case_id = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
        # Before the year 1, by a zone's hours, there is no time; a case's id holds neither NUL nor half a character.
        at = as_utc(datetime.fromisoformat(due_at))
        if _CASE_ID.fullmatch(case_id):
            return at, case_id
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        pass
    raise ComplianceInputError(
        "The cursor is none that a page of cases gave. Send next_cursor of the page before, or none to begin again."
    )
