"""A held transaction and its case: what officers see of it, and when they may let it go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from compliance.cases import CaseKind, CasePriority, CaseState, open_case, read_case
from compliance.errors import CaseConflictError
from compliance.model import Decision, RuleOutcome, RuleSeverity, Transaction
from compliance.policy.judging import Judgement
from compliance.policy.model import Policy

_PRIORITIES = {
    RuleSeverity.BLOCK: CasePriority.URGENT,
    RuleSeverity.HIGH: CasePriority.HIGH,
    RuleSeverity.MEDIUM: CasePriority.NORMAL,
    RuleSeverity.LOW: CasePriority.LOW,
}


def open_aml_case(
    connection: Connection, transaction: Transaction, judgement: Judgement, policy: Policy, now: datetime
) -> str:
    """The id of the case that holds the transaction; the heaviest hit sets its priority and leads it."""
    hits = [each for each in judgement.results if each.outcome is RuleOutcome.HIT and not each.is_shadow]
    order = list(RuleSeverity)
    worst = max(hits, key=lambda each: order.index(each.severity), default=None)
    priority = CasePriority.NORMAL if worst is None else _PRIORITIES[worst.severity]
    # What could not run leads the case where nothing hit.
    failed = (each.rule_id for each in judgement.results if each.outcome is RuleOutcome.ERROR and not each.is_shadow)
    rule_id = worst.rule_id if worst is not None else next(failed, None)
    named = {} if rule_id is None else {"rule_id": rule_id}
    word = "blocked" if judgement.decision is Decision.BLOCKED else "held for review"
    if transaction.is_settled_unasked:
        word = f"settled unasked, would be {word}"
    return open_case(
        connection,
        kind=CaseKind.AML.value,
        subject_id=transaction.transaction_id,
        title=f"Transaction {word}: {judgement.reason}"[:200],
        priority=priority.value,
        sla=policy.sla.due_in("aml", priority.value),
        at=now,
        account_id=transaction.account_id,
        body={
            "transaction_id": transaction.transaction_id,
            "decision": judgement.decision.value,
            "is_settled_unasked": transaction.is_settled_unasked,
            "policy_version": policy.version,
            "rules": _rule_ids(judgement),
            **named,
        },
    )


def _rule_ids(judgement: Judgement) -> Sequence[str]:
    return [f"{each.rule_id}: {each.outcome.value}" for each in judgement.results if _is_alert(each.outcome)]


def _is_alert(outcome: RuleOutcome) -> bool:
    return outcome is not RuleOutcome.NO_HIT


def require_closed(connection: Connection, case_id: str | None, decision: Decision) -> None:
    """Raise `CaseConflictError` unless two people closed the case with this outcome."""
    if case_id is None:
        return
    case = read_case(connection, case_id)
    if case.state is not CaseState.CLOSED or case.outcome != decision.value:
        raise CaseConflictError(f"Case {case_id} is not closed as {decision}: propose it and let another approve it.")
