"""Replay: what a candidate policy would have said of transactions of the past, beside what was said then.

Nothing is decided or recorded. Precision counts only transactions whose outcome an officer settled: `rejected` was
right to flag, `released` was not. What nobody looked at then says nothing of what a new rule finds there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from compliance.model import Decision, RuleOutcome, Transaction
from compliance.policy.judging import Judge, Judgement

UNDECIDED = "undecided"
PROGRESS_EVERY = 500
EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Past:
    """A transaction with its features, what became of it (None: nothing yet), and the rules that hit then."""

    transaction: Transaction
    features: Any
    decision: Decision | None
    hits: frozenset[str] = frozenset()


@dataclass(slots=True)
class RuleTally:
    """What one rule flagged; `true` and `false` of the candidate's flags whose outcome is known."""

    rule_id: str
    is_shadow: bool = False
    is_run: bool = False
    candidate: int = 0
    then: int = 0
    both: int = 0
    true: int = 0
    false: int = 0
    true_then: int = 0
    false_then: int = 0
    errors: int = 0
    insufficient: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def only_candidate(self) -> int:
        """Flagged by the candidate alone."""
        return self.candidate - self.both

    @property
    def only_then(self) -> int:
        """Flagged then and not by the candidate."""
        return self.then - self.both

    @property
    def precision_pct(self) -> Decimal | None:
        """Percent of the candidate's flags with a known outcome that were right; None: no outcome is known."""
        return _share_pct(self.true, self.true + self.false)

    @property
    def precision_then_pct(self) -> Decimal | None:
        """The same of what was flagged then."""
        return _share_pct(self.true_then, self.true_then + self.false_then)

    def count(self, transaction_id: str, is_flagged: bool, was_flagged: bool, decision: Decision | None) -> None:
        """Add one transaction."""
        self.candidate += is_flagged
        self.then += was_flagged
        self.both += is_flagged and was_flagged
        if decision is Decision.REJECTED:
            self.true += is_flagged
            self.true_then += was_flagged
        elif decision is Decision.RELEASED:
            self.false += is_flagged
            self.false_then += was_flagged
        if is_flagged and not was_flagged and len(self.examples) < EXAMPLES:
            self.examples.append(transaction_id)


@dataclass(frozen=True, slots=True)
class Replay:
    """The report: rules in the candidate's order, then those that ran then only.

    `decisions` counts (then, by the candidate). `missed` are rejected transactions that the candidate would accept.
    """

    policy_version: str
    transactions: int
    rules: Sequence[RuleTally]
    decisions: Mapping[tuple[str, str], int]
    missed: Sequence[str]
    missed_count: int

    def to_json(self) -> dict[str, Any]:
        """The report as it is printed for programs; percentages as texts."""
        return {
            "policy_version": self.policy_version,
            "transactions": self.transactions,
            "rules": [_rule_json(rule) for rule in self.rules],
            "decisions": [
                {"then": then, "candidate": now, "transactions": count}
                for (then, now), count in sorted(self.decisions.items())
            ],
            "missed": {"transactions": self.missed_count, "examples": list(self.missed)},
        }


def replay(
    judge: Judge, past: Iterable[Past], progress: Callable[[int], None] | None = None, every: int = PROGRESS_EVERY
) -> Replay:
    """Judge every transaction anew and compare; `progress` is told how many more are done. Holds no transaction."""
    tallies = {rule_id: _tally(judge, rule_id) for rule_id in judge.rule_ids}
    decisions: Counter[tuple[str, str]] = Counter()
    missed: list[str] = []
    missed_count = total = 0
    for each in past:
        judgement = judge.judge(each.transaction, each.features)
        _count(tallies, each, judgement)
        decisions[str(each.decision or UNDECIDED), str(judgement.decision)] += 1
        if each.decision is Decision.REJECTED and judgement.decision is Decision.ACCEPTED:
            missed_count += 1
            if len(missed) < EXAMPLES:
                missed.append(each.transaction.transaction_id)
        total += 1
        if progress is not None and total % every == 0:
            progress(every)
    if progress is not None:
        progress(total % every)
    return Replay(judge.policy.version, total, list(tallies.values()), decisions, missed, missed_count)


def _tally(judge: Judge, rule_id: str) -> RuleTally:
    return RuleTally(rule_id, is_shadow=judge.policy.aml[rule_id].shadow, is_run=True)


def _count(tallies: dict[str, RuleTally], past: Past, judgement: Judgement) -> None:
    transaction_id = past.transaction.transaction_id
    flagged = set(past.hits)
    for result in judgement.results:
        if result.outcome is RuleOutcome.NO_HIT and result.rule_id not in flagged:
            continue
        tally = tallies[result.rule_id]
        tally.count(transaction_id, result.outcome is RuleOutcome.HIT, result.rule_id in past.hits, past.decision)
        tally.errors += result.outcome is RuleOutcome.ERROR
        tally.insufficient += result.outcome is RuleOutcome.INSUFFICIENT_HISTORY
        flagged.discard(result.rule_id)
    # Rules that the candidate has no longer.
    for rule_id in sorted(flagged):
        tallies.setdefault(rule_id, RuleTally(rule_id)).count(transaction_id, False, True, past.decision)


def _share_pct(part: int, whole: int) -> Decimal | None:
    return None if whole == 0 else (Decimal(100 * part) / whole).quantize(Decimal("0.1"), rounding=ROUND_HALF_EVEN)


def _rule_json(rule: RuleTally) -> dict[str, Any]:
    return {
        "rule_id": rule.rule_id,
        "is_run": rule.is_run,
        "is_shadow": rule.is_shadow,
        "candidate": rule.candidate,
        "then": rule.then,
        "both": rule.both,
        "only_candidate": rule.only_candidate,
        "only_then": rule.only_then,
        "errors": rule.errors,
        "insufficient_history": rule.insufficient,
        "known_right": rule.true,
        "known_wrong": rule.false,
        "precision_pct": _text(rule.precision_pct),
        "precision_then_pct": _text(rule.precision_then_pct),
        "examples": list(rule.examples),
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
