"""The record of a judgement: what the chain keeps of the rules' answers, and the answer to callers made from it.

Callers get what is recorded, the first time as every time after. Of clean rules the chain keeps the names: their
figures are the features, which stand beside the transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping

from compliance.aml.conditions import CLEAN
from compliance.aml.features import Features
from compliance.model import AmlResult, Decision, RuleOutcome, RuleResult, RuleSeverity, Transaction


def evidence_of(transaction: Transaction, results: Sequence[RuleResult]) -> dict[str, Any]:
    """What the chain keeps: ids, figures and answers, no address."""
    return {
        "account_id": transaction.account_id,
        "kind": transaction.kind,
        "asset": transaction.asset,
        "amount_usd": None if transaction.amount_usd is None else format(transaction.amount_usd, "f"),
        "occurred_at": transaction.occurred_at.isoformat(),
        "rules": [_rule(result) for result in results],
    }


def recorded_features(transaction: Transaction, features: Features) -> dict[str, Any]:
    """What stands beside the transaction: what the caller stated, and the figures."""
    return {"stated": transaction.stated, "features": features.to_json()}


def result_of(row: RowMapping, judgement: RowMapping) -> AmlResult:
    """The answer to callers: decision and reason of now, with the rules' answers of then."""
    return AmlResult(
        transaction_id=row["transaction_id"],
        decision=Decision(row["decision"]),
        reason=row["decision_reason"],
        results=results_of(judgement["evidence"]),
        policy_version=judgement["policy_version"],
        list_versions=dict(judgement["list_versions"]),
        decided_at=row["decided_at"],
        case_id=row["case_id"],
    )


def results_of(evidence: Mapping[str, Any]) -> tuple[RuleResult, ...]:
    """The rules' answers from the chain."""
    return tuple(
        RuleResult(
            rule_id=rule["rule_id"],
            outcome=RuleOutcome(rule["outcome"]),
            severity=RuleSeverity(rule["severity"]),
            reason=rule.get("reason", CLEAN),
            evidence=rule.get("evidence", {}),
            is_shadow=rule["is_shadow"],
        )
        for rule in evidence["rules"]
    )


def _rule(result: RuleResult) -> dict[str, Any]:
    named: dict[str, Any] = {
        "rule_id": result.rule_id,
        "outcome": result.outcome.value,
        "severity": result.severity.value,
        "is_shadow": result.is_shadow,
    }
    if result.outcome is RuleOutcome.NO_HIT:
        return named
    return {**named, "reason": result.reason, "evidence": dict(result.evidence)}
