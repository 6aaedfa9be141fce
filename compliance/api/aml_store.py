"""Alerts of transaction monitoring, and what became of them; the words of mart `compliance.aml_alert_outcomes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from compliance.model import Decision, RuleOutcome, RuleSeverity

# What became of a hit: the decision on its transaction, `open` until there is one. Other answers are no hits.
_BECAME = """
    case
        when a.outcome != 'hit' then null
        when t.transaction_id is null then 'unknown'
        when t.decision in ('accepted', 'blocked', 'released', 'rejected') then t.decision
        when t.decision is null or t.decision = 'review' then 'open'
        else 'unknown'
    end
"""
_ALERTS = text(
    f"""
    select
        a.alert_id, a.transaction_id, a.account_id, a.rule_id, a.outcome, a.severity, a.evidence, a.policy_version,
        a.is_shadow, a.case_id, a.raised_at, t.decision, t.direction, t.kind, t.asset, t.quantity, t.amount_usd,
        t.occurred_at, t.is_settled_unasked, {_BECAME} as became
    from compliance.aml_alerts as a
    left join compliance.transaction_logs as t on t.transaction_id = a.transaction_id
    where
        (cast(:rule_id as text) is null or a.rule_id = :rule_id)
        and (cast(:outcome as text) is null or a.outcome = :outcome)
        and (cast(:severity as text) is null or a.severity = :severity)
        and (cast(:account_id as text) is null or a.account_id = :account_id)
        and (cast(:decision as text) is null or t.decision = :decision)
        and (cast(:is_shadow as boolean) is null or a.is_shadow = :is_shadow)
        and (cast(:since as timestamptz) is null or a.raised_at >= :since)
        and (cast(:until as timestamptz) is null or a.raised_at < :until)
        and (
            cast(:before_at as timestamptz) is null
            or (a.raised_at, a.alert_id) < (cast(:before_at as timestamptz), cast(:before_id as text))
        )
    order by a.raised_at desc, a.alert_id desc
    limit :max_rows
    """  # noqa: S608 -- constants of this module
)
_SUMMARY = text(
    f"""
    with
        followed as (
            select a.rule_id, a.is_shadow, a.outcome, a.transaction_id, a.case_id, {_BECAME} as became
            from compliance.aml_alerts as a
            left join compliance.transaction_logs as t on t.transaction_id = a.transaction_id
            where a.raised_at >= :since and a.raised_at < :until
        )

    select
        rule_id,
        is_shadow,
        count(*) as alerts,
        count(*) filter (where outcome = 'hit') as hits,
        count(*) filter (where outcome = 'insufficient_history') as insufficient_history,
        count(*) filter (where outcome not in ('hit', 'insufficient_history')) as errors,
        count(distinct transaction_id) as transactions,
        count(distinct case_id) as cases,
        count(*) filter (where became = 'open') as hits_open,
        count(*) filter (where became = 'accepted') as hits_accepted,
        count(*) filter (where became = 'blocked') as hits_blocked,
        count(*) filter (where became = 'released') as hits_released,
        count(*) filter (where became = 'rejected') as hits_rejected,
        count(*) filter (where became = 'unknown') as hits_unknown,
        -- Only what an officer decided on tells right from wrong.
        trunc(
            cast(100 * count(*) filter (where became = 'rejected') as numeric)
            / nullif(count(*) filter (where became in ('released', 'rejected')), 0),
            4
        ) as precision_pct
    from followed
    group by rule_id, is_shadow
    order by rule_id, is_shadow
    """  # noqa: S608 -- constants of this module
)


@dataclass(frozen=True, slots=True)
class AlertFilters:
    """Which alerts; None: all. `since` belongs to them, `until` does not; `before` is the place behind a row."""

    limit: int
    rule_id: str | None = None
    outcome: RuleOutcome | None = None
    severity: RuleSeverity | None = None
    account_id: str | None = None
    decision: Decision | None = None
    is_shadow: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, str] | None = None


def read_alerts(connection: Connection, filters: AlertFilters) -> Sequence[RowMapping]:
    """At most `limit` alerts, the newest first."""
    before_at, before_id = filters.before or (None, None)
    values: dict[str, Any] = {
        "rule_id": filters.rule_id,
        "outcome": filters.outcome,
        "severity": filters.severity,
        "account_id": filters.account_id,
        "decision": filters.decision,
        "is_shadow": filters.is_shadow,
        "since": filters.since,
        "until": filters.until,
        "before_at": before_at,
        "before_id": before_id,
        "max_rows": filters.limit,
    }
    return connection.execute(_ALERTS, values).mappings().all()


def read_summary(connection: Connection, since: datetime, until: datetime) -> Sequence[RowMapping]:
    """One row for each rule and whether it only watched, of alerts raised in `[since, until)`."""
    return connection.execute(_SUMMARY, {"since": since, "until": until}).mappings().all()
