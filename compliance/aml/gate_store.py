"""The statements of the gate: the log of transactions, their alerts, and what is still undecided."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from compliance.model import Decision, RuleOutcome, RuleResult, Transaction
from infra.runtime.ids import stable_id
from infra.runtime.pipelining import Executes

# Any constant of our own: the other half of the key is the account.
_LOCK_SPACE = 0x616D6C

_STORE = text(
    """
    insert into compliance.transaction_logs
        (transaction_id, account_id, direction, kind, side, asset, quantity, amount_usd, counterparty_address,
        counterparty_country, chain, occurred_at, received_at, features, event, is_settled_unasked)
    values
        (:transaction_id, :account_id, :direction, :kind, :side, :asset, :quantity, :amount_usd, :address,
        :country, :chain, :occurred_at, :received_at, cast(:stated as jsonb), cast(:event as jsonb),
        :is_settled_unasked)
    on conflict (transaction_id) do nothing
    returning transaction_id
    """
)
# A transaction that was asked about first and is settled now gets its event, once; what was published stays.
_ATTACH = text(
    """
    update compliance.transaction_logs
    set event = cast(:event as jsonb)
    where transaction_id = :transaction_id and event is null
    """
)
_READ = text("select * from compliance.transaction_logs where transaction_id = :transaction_id")
_RECORDED = text(
    """
    select outcome, reason, policy_version, list_versions, evidence, at
    from compliance.decisions
    where subject_kind = 'transaction' and subject_id = :transaction_id and actor = 'system'
    order by sequence desc
    limit 1
    """
)
# What follows is prepared: planning it anew for each transaction would cost more than running it.
_LOCK = text(
    """
    select
        pg_advisory_xact_lock(:space, hashtext(:account_id)), set_config('plan_cache_mode', 'force_generic_plan', true)
    """
)
# In a statement of its own after the lock, so that it sees what was decided while it waited.
_HOLD = text("select decision from compliance.transaction_logs where transaction_id = :transaction_id for update")
_DECIDE = text(
    """
    with
        decided as (
            update compliance.transaction_logs
            set
                decision = :decision, decision_reason = :reason, decided_at = cast(:now as timestamptz),
                policy_version = :policy_version, list_versions = cast(:list_versions as jsonb),
                features = cast(:features as jsonb), case_id = :case_id
            where transaction_id = :transaction_id and decision is null
            returning transaction_id, account_id
        ),

        alerted as (
            insert into compliance.aml_alerts
                (alert_id, transaction_id, account_id, rule_id, outcome, severity, evidence, policy_version, is_shadow,
                case_id, raised_at)
            select
                given.alert_id, decided.transaction_id, decided.account_id, given.rule_id, given.outcome,
                given.severity, given.evidence, :policy_version, given.is_shadow, :case_id, cast(:now as timestamptz)
            from decided
            cross join jsonb_to_recordset(cast(:alerts as jsonb)) as given (
                alert_id text, rule_id text, outcome text, severity text, evidence jsonb, is_shadow boolean
            )
            on conflict (alert_id) do nothing
        )

    select transaction_id from decided
    """
)
_RESOLVE = text(
    """
    update compliance.transaction_logs
    set decision = :decision, decision_reason = :reason, decided_at = :now
    where transaction_id = :transaction_id and decision in ('review', 'blocked')
    """
)
_UNDECIDED = text(
    """
    select *
    from compliance.transaction_logs
    where decision is null and received_at <= :before
    order by received_at, transaction_id
    limit :max_rows
    """
)

_ASKED = text(
    """
    select transaction_id, decision
    from compliance.transaction_logs
    where transaction_id = any(cast(:transaction_ids as text[])) and not is_settled_unasked
    """
)


@dataclass(frozen=True, slots=True)
class Undecided:
    """A transaction that was received and has no decision; `age` since it was received."""

    transaction_id: str
    account_id: str
    received_at: datetime
    age: timedelta


def store(connection: Connection, transaction: Transaction, event: Mapping[str, Any] | None, now: datetime) -> bool:
    """Record the transaction, undecided; False where its id is recorded already."""
    stated = {"stated": transaction.stated}
    values = {
        "transaction_id": transaction.transaction_id,
        "account_id": transaction.account_id,
        "direction": transaction.direction.value,
        "kind": transaction.kind,
        "side": transaction.side,
        "asset": transaction.asset,
        "quantity": transaction.quantity,
        "amount_usd": transaction.amount_usd,
        "address": transaction.counterparty_address,
        "country": transaction.counterparty_country,
        "chain": transaction.chain,
        "occurred_at": transaction.occurred_at,
        "received_at": now,
        "stated": json.dumps(stated),
        "event": None if event is None else json.dumps(event),
        "is_settled_unasked": transaction.is_settled_unasked,
    }
    return connection.execute(_STORE, values).first() is not None


def attach_event(connection: Connection, transaction_id: str, event: Mapping[str, Any]) -> None:
    """Give the recorded transaction its event, unless it has one."""
    connection.execute(_ATTACH, {"transaction_id": transaction_id, "event": json.dumps(event)})


def read(connection: Connection, transaction_id: str) -> RowMapping | None:
    """The recorded transaction."""
    return connection.execute(_READ, {"transaction_id": transaction_id}).mappings().one_or_none()


def asked_before(connection: Connection, transaction_ids: Sequence[str]) -> dict[str, str | None]:
    """Which of these the gate was asked about before they settled, with its decision (None: none yet)."""
    rows = connection.execute(_ASKED, {"transaction_ids": list(transaction_ids)})
    return {row.transaction_id: row.decision for row in rows}


def read_judgement(connection: Connection, transaction_id: str) -> RowMapping | None:
    """The decision that the rules gave, as the chain has it."""
    return connection.execute(_RECORDED, {"transaction_id": transaction_id}).mappings().one_or_none()


def lock_account(connection: Executes, account_id: str) -> None:
    """Let one transaction of an account at a time be decided, until this one ends."""
    connection.execute(_LOCK, {"space": _LOCK_SPACE, "account_id": account_id})


def hold(connection: Executes, transaction_id: str) -> Any:
    """Keep the row until this transaction ends; the answer's `decision` is None where nobody decided it yet."""
    return connection.execute(_HOLD, {"transaction_id": transaction_id})


def decide(
    connection: Executes,
    transaction_id: str,
    decision: Decision,
    reason: str,
    results: Sequence[RuleResult],
    now: datetime,
    *,
    policy_version: str,
    list_versions: Mapping[str, str],
    features: Mapping[str, Any],
    case_id: str | None,
) -> None:
    """Record decision and alerts (every answer that is not clean) of a transaction that is held and undecided."""
    alerts = [
        {
            "alert_id": stable_id("alr", transaction_id, result.rule_id, policy_version),
            "rule_id": result.rule_id,
            "outcome": result.outcome.value,
            "severity": result.severity.value,
            "evidence": {"reason": result.reason, **result.evidence},
            "is_shadow": result.is_shadow,
        }
        for result in results
        if result.outcome is not RuleOutcome.NO_HIT
    ]
    values = {
        "transaction_id": transaction_id,
        "decision": decision.value,
        "reason": reason,
        "now": now,
        "policy_version": policy_version,
        "list_versions": json.dumps(dict(list_versions)),
        "features": json.dumps(features),
        "case_id": case_id,
        "alerts": json.dumps(alerts),
    }
    connection.execute(_DECIDE, values)


def resolve(connection: Connection, transaction_id: str, decision: Decision, reason: str, now: datetime) -> bool:
    """Record what officers decided on a held transaction; False where it is not held."""
    values = {"transaction_id": transaction_id, "decision": decision.value, "reason": reason, "now": now}
    return connection.execute(_RESOLVE, values).rowcount == 1


def undecided(connection: Connection, before: datetime, limit: int) -> Sequence[RowMapping]:
    """Rows received until `before` that have no decision, the oldest first."""
    return connection.execute(_UNDECIDED, {"before": before, "max_rows": limit}).mappings().all()
