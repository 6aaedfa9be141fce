"""Alarms about a transaction: each is told once, however often it is raised."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from compliance.events import ComplianceEvent, ComplianceSeverity
from compliance.outbox import enqueue
from infra.runtime.ids import stable_id


def raise_alarm(
    connection: Connection, kind: str, transaction_id: str, account_id: str, summary: str, at: datetime
) -> None:
    """Put a critical event about the transaction into the outbox, in the caller's transaction."""
    enqueue(
        connection,
        ComplianceEvent(
            event_id=stable_id("cev", kind, transaction_id),
            kind=kind,
            severity=ComplianceSeverity.CRITICAL,
            case_id=transaction_id[:200],
            account_id=account_id[:200],
            summary=summary,
            occurred_at=at,
        ),
    )
