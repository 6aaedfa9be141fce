"""How a change of a case is recorded and told: one transaction with the change itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from compliance import case_store, chain, outbox
from compliance.case_model import Case, CaseKind, CasePriority, proposal_body
from compliance.events import ComplianceEvent, ComplianceSeverity
from compliance.model import Actor
from infra.runtime.ids import stable_id

_NAMES: Mapping[CaseKind, str] = {
    CaseKind.KYC: "An identity case",
    CaseKind.SCREENING: "A screening case",
    CaseKind.AML: "An AML case",
}


def store(
    connection: Connection,
    before: Case,
    after: Case,
    kind: str,
    actor: Actor,
    at: datetime,
    note: Mapping[str, Any],
) -> None:
    """Store the case and append what changed; the version makes the event's id, so it is there once."""
    case_store.update(connection, after)
    body = {"version": after.version, "changes": _changes(before, after), **note}
    chain.append_event(connection, after.case_id, actor, kind, body, at, key=str(after.version))


def _changes(before: Case, after: Case) -> dict[str, Any]:
    """Old and new value of each column that differs."""
    changes: dict[str, Any] = {}
    for each in fields(Case):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if old != new and each.name != "version":
            if each.name == "proposal":
                old, new = proposal_body(old), proposal_body(new)
            changes[each.name] = {"old": old, "new": new}
    return changes


def tell(connection: Connection, case: Case, kind: str, at: datetime, details: Mapping[str, Any]) -> None:
    """Put the step into the outbox: ids and codes, how urgent, and the case's version as its sequence."""
    urgency = {CasePriority.URGENT: ComplianceSeverity.CRITICAL, CasePriority.HIGH: ComplianceSeverity.WARNING}
    severity = urgency.get(case.priority, ComplianceSeverity.INFO)
    done = kind.removeprefix("case_")
    if kind in ("case_escalated", "case_overdue"):
        severity = max(severity, ComplianceSeverity.WARNING, key=list(ComplianceSeverity).index)
    elif kind == "case_closed":
        severity = ComplianceSeverity.INFO
        done = f"closed: {case.outcome}"
    summary = f"{_NAMES[case.kind]} of priority {case.priority} was {done}."
    if kind == "case_overdue":
        summary = f"{_NAMES[case.kind]} of priority {case.priority} is {case.state} past its due time."
    elif kind == "case_escalated" and case.is_breached(at):
        summary += " It is past its due time."
    event = ComplianceEvent(
        event_id=stable_id("cpe", case.case_id, kind, case.version),
        kind=kind,
        severity=severity,
        case_id=case.case_id,
        sequence=case.version,
        account_id=case.account_id,
        rule_id=_code(details.get("rule_id")),
        policy_version=_code(details.get("policy_version")),
        summary=summary,
        occurred_at=at,
    )
    outbox.enqueue(connection, event)


def _code(value: object) -> str | None:
    return value[:200] if isinstance(value, str) and value else None
