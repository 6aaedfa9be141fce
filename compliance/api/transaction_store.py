"""What the record holds of one transaction, for the routes that decide about it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from compliance.model import Decision

_READ = text(
    """
    select transaction_id, decision, decision_reason, case_id
    from compliance.transaction_logs
    where transaction_id = :transaction_id
    """
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a transaction; `decision` None: not decided yet."""

    transaction_id: str
    decision: Decision | None
    decision_reason: str | None
    case_id: str | None


def read_transaction(connection: Connection, transaction_id: str) -> Recorded | None:
    """The transaction; None for one that was never seen."""
    row = connection.execute(_READ, {"transaction_id": transaction_id}).mappings().one_or_none()
    if row is None:
        return None
    return Recorded(**{**row, "decision": Decision(row["decision"]) if row["decision"] is not None else None})
