"""The facts of a case for a draft report: what was seen, judged and decided, with the hashes that prove the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

ALERTS_WITHIN = timedelta(days=90)
MAX_ROWS = 200

_TRANSACTION = text("select * from compliance.transaction_logs where transaction_id = :subject_id limit :max_rows")
_ALERTS = text(
    """
    select
        a.alert_id,
        a.transaction_id,
        a.rule_id,
        a.outcome,
        a.severity,
        a.evidence,
        a.policy_version,
        a.is_shadow,
        a.raised_at,
        t.amount_usd,
        t.occurred_at
    from compliance.aml_alerts as a
    left join compliance.transaction_logs as t on t.transaction_id = a.transaction_id
    where a.account_id = :account_id and a.raised_at >= :since and a.raised_at <= :until
    order by a.raised_at, a.alert_id
    limit :max_rows
    """
)
_DECISIONS = text(
    """
    select subject_kind, subject_id, outcome, reason, actor, policy_version, list_versions, at, sequence, hash
    from compliance.decisions
    where subject_id = any(cast(:subject_ids as text[]))
    order by sequence
    limit :max_rows
    """
)
_HITS = text(
    """
    select
        h.hit_id, h.list_name, h.list_version_id, h.entry_id, h.score, h.reasons, h.state, h.decided_by, s.screened_at
    from compliance.screening_hits as h
    inner join compliance.screenings as s on s.screening_id = h.screening_id
    where h.case_id = :case_id
    order by s.screened_at, h.rank, h.hit_id
    limit :max_rows
    """
)
_EVENTS = text(
    """
    select at, actor, role, kind, body, sequence, hash
    from compliance.case_events
    where case_id = :case_id
    order by sequence
    limit :max_rows
    """
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SarFacts:
    """What stands in the record about a case, oldest first; `is_cut` where a part has more rows than are shown."""

    account_id: str | None
    transaction: Row | None
    alerts: Sequence[Row]
    decisions: Sequence[Row]
    hits: Sequence[Row]
    events: Sequence[Row]

    @property
    def is_cut(self) -> bool:
        """Whether a part reached the limit of rows."""
        return any(len(rows) >= MAX_ROWS for rows in (self.alerts, self.decisions, self.hits, self.events))


def sar_facts(
    connection: Connection, case_id: str, subject_id: str, account_id: str | None, opened_at: datetime, now: datetime
) -> SarFacts:
    """The facts of one case; alerts are those of its account from 90 days before it was opened until now."""
    found = _first(_rows(connection, _TRANSACTION, {"subject_id": subject_id}))
    account = account_id or (found["account_id"] if found is not None else None)
    window = {"account_id": account, "since": opened_at - ALERTS_WITHIN, "until": now}
    return SarFacts(
        account_id=account,
        transaction=found,
        alerts=_rows(connection, _ALERTS, window) if account is not None else (),
        decisions=_rows(connection, _DECISIONS, {"subject_ids": [case_id, subject_id]}),
        hits=_rows(connection, _HITS, {"case_id": case_id}),
        events=_rows(connection, _EVENTS, {"case_id": case_id}),
    )


def _rows(connection: Connection, statement: Any, parameters: Mapping[str, Any]) -> Sequence[Row]:
    return [dict(row) for row in connection.execute(statement, {**parameters, "max_rows": MAX_ROWS}).mappings()]


def _first(rows: Sequence[Row]) -> Row | None:
    return rows[0] if rows else None
