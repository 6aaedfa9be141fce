"""From answers of rules to a decision: severities, errors, shadow rules, conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations_with_replacement
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.errors import PolicyInvalidError
from compliance.model import Decision, Direction, RuleOutcome, RuleResult, RuleSeverity, Transaction
from compliance.policy.book import PolicyBook
from compliance.policy.judging import Evaluate, Judge, decide
from compliance.policy.model import Policy, PolicyDecision
from compliance.policy.parameters import ParameterValue

NEWEST = PolicyBook.load().policies[-1]
GRAVITY = [Decision.ACCEPTED, Decision.REVIEW, Decision.BLOCKED]
TRANSACTION = Transaction(
    "t-1",
    "acct-1",
    Direction.IN,
    "deposit",
    "collateral",
    "BTC",
    Decimal(1),
    Decimal(650),
    "bitcoin",
    datetime(2026, 1, 1, tzinfo=UTC),
)


@dataclass(frozen=True)
class Figures:
    """Features of a test."""

    count_1h: int = 0
    total_usd: Decimal | None = None


@dataclass(frozen=True)
class Always:
    """A rule that always answers the same, or fails."""

    rule_id: str
    outcome: RuleOutcome | None

    def ready(self, parameters: Mapping[str, ParameterValue], /, *, explains_clean: bool) -> Evaluate:
        """The answer."""
        severity = RuleSeverity(str(parameters["severity"]))

        def evaluate(transaction: Transaction, features: Any) -> RuleResult:
            if self.outcome is None:
                raise ValueError(f"secret of {transaction.account_id}")
            return RuleResult(self.rule_id, self.outcome, severity, "said so")

        return evaluate


def policy(**rules: Mapping[str, Any]) -> Policy:
    """The newest policy with these rules alone."""
    return Policy.model_validate({**NEWEST.model_dump(), "aml": rules})


def judge(given_policy: Policy, **outcomes: RuleOutcome | None) -> Judge:
    """A judge whose rules answer as told."""
    return Judge(given_policy, {name: Always(name, outcome) for name, outcome in outcomes.items()}, Figures)


HIT, CLEAN = RuleOutcome.HIT, RuleOutcome.NO_HIT
THIN, ERROR = RuleOutcome.INSUFFICIENT_HISTORY, RuleOutcome.ERROR


@pytest.mark.parametrize(
    ("outcome", "severity", "decision", "reason"),
    [
        (CLEAN, "block", "accepted", "no rule calls for a person"),
        (HIT, "low", "accepted", "no rule calls for a person"),
        (HIT, "medium", "review", "fan_in (medium)"),
        (HIT, "high", "review", "fan_in (high)"),
        (HIT, "block", "blocked", "fan_in (block)"),
        (ERROR, "low", "review", "fan_in could not run"),
        (THIN, "high", "accepted", "no rule calls for a person"),
    ],
)
def test_judge__decides_by_outcome_and_severity(
    outcome: RuleOutcome, severity: str, decision: str, reason: str
) -> None:
    judged = judge(policy(fan_in={"severity": severity}), fan_in=outcome).judge(TRANSACTION, Figures())
    assert (judged.decision, judged.reason) == (Decision(decision), reason)


@pytest.mark.parametrize(
    ("settings", "outcome", "decision"),
    [
        ({"on_error": "blocked"}, ERROR, "blocked"),
        ({"on_insufficient_history": "review"}, THIN, "review"),
        ({"review_from": "low"}, HIT, "review"),
    ],
)
def test_judge__follows_the_policy_where_nothing_is_known(
    settings: dict[str, str], outcome: RuleOutcome, decision: str
) -> None:
    values = {**NEWEST.model_dump(), "aml": {"fan_in": {"severity": "low"}}}
    values["decision"] = {**values["decision"], **settings}
    judged = judge(Policy.model_validate(values), fan_in=outcome).judge(TRANSACTION, Figures())
    assert judged.decision is Decision(decision)


def test_judge__rule_that_raises_is_an_error_without_the_texts_of_it() -> None:
    judged = judge(policy(fan_in={}, structuring={}), fan_in=None, structuring=CLEAN).judge(TRANSACTION, Figures())
    assert judged.decision is Decision.REVIEW
    assert judged.results[0].outcome is ERROR
    assert judged.results[0].reason == "The rule failed (ValueError)."
    assert "acct-1" not in repr(judged)


@pytest.mark.parametrize("outcome", [HIT, ERROR, THIN, None])
def test_judge__shadow_rule_is_recorded_and_decides_nothing(outcome: RuleOutcome | None) -> None:
    made = policy(fan_in={"shadow": True, "severity": "block"}, structuring={})
    judged = judge(made, fan_in=outcome, structuring=CLEAN).judge(TRANSACTION, Figures())
    assert judged.decision is Decision.ACCEPTED
    assert (judged.results[0].is_shadow, judged.results[0].outcome) == (True, outcome or ERROR)
    assert not judged.results[1].is_shadow


def test_judge__shadow_rules_alone_leave_it_to_a_person() -> None:
    judged = judge(policy(fan_in={"shadow": True}), fan_in=CLEAN).judge(TRANSACTION, Figures())
    assert (judged.decision, judged.reason) == (Decision.REVIEW, "no rule ran")


def test_judge__disabled_rule_does_not_run() -> None:
    judged = judge(policy(fan_in={"enabled": False}, structuring={}), structuring=CLEAN).judge(TRANSACTION, Figures())
    assert [result.rule_id for result in judged.results] == ["structuring"]


@pytest.mark.parametrize(
    ("when", "figures", "outcome", "expected"),
    [
        ("count_1h > 3", Figures(4), HIT, HIT),
        ("count_1h > 3", Figures(3), HIT, CLEAN),
        ("count_1h > 3", Figures(3), ERROR, CLEAN),
        ("count_1h > 3", Figures(4), ERROR, ERROR),
        ("count_1h > 3", Figures(4), CLEAN, CLEAN),
        ("total_micro_usd >= usd(1000)", Figures(total_usd=Decimal(1000)), HIT, HIT),
        ("total_micro_usd >= usd(1000)", Figures(total_usd=Decimal("999.999999")), HIT, CLEAN),
        ("total_micro_usd >= usd(1000)", Figures(total_usd=None), HIT, ERROR),
        ("total_micro_usd >= usd(1000)", Figures(total_usd=None), CLEAN, CLEAN),
        ("total_micro_usd >= usd(1000)", Figures(total_usd=Decimal(10) ** 13), HIT, ERROR),
        ('kind == "deposit" && amount_micro_usd == usd(650)', Figures(), HIT, HIT),
    ],
)
def test_judge__condition_narrows_a_rule_and_is_never_clean_where_it_cannot_be_evaluated(
    when: str, figures: Figures, outcome: RuleOutcome, expected: RuleOutcome
) -> None:
    result = judge(policy(fan_in={"when": when}), fan_in=outcome).judge(TRANSACTION, figures).results[0]
    assert result.outcome is expected
    if outcome is not CLEAN and expected is CLEAN:
        assert when in result.reason
        assert result.evidence["outcome_without_condition"] == outcome


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"fan_in": {"when": "coutn_1h > 1"}}, "aml.fan_in.when reads coutn_1h, which is no variable; there are"),
        ({"fan_in": {"when": "count_1h >"}}, "is not CEL"),
        ({"structuring": {}}, "enables structuring, which this version cannot run"),
    ],
)
def test_judge__refuses_a_policy_that_it_cannot_apply(rules: dict[str, Any], problem: str) -> None:
    with pytest.raises(PolicyInvalidError) as raised:
        judge(policy(**rules), fan_in=CLEAN)
    assert problem in str(raised.value)


RESULTS = st.builds(
    RuleResult,
    rule_id=st.sampled_from(["fan_in", "structuring", "geo_block"]),
    outcome=st.sampled_from(RuleOutcome),
    severity=st.sampled_from(RuleSeverity),
    reason=st.just(""),
    evidence=st.just({}),
    is_shadow=st.booleans(),
)
SETTINGS = [
    PolicyDecision(review_from=review_from, block_from=block_from)
    for review_from, block_from in combinations_with_replacement(RuleSeverity, 2)
]


@given(st.sampled_from(SETTINGS), st.lists(RESULTS, max_size=6), RESULTS)
def test_decide__one_more_answer_never_makes_it_lighter(
    settings: PolicyDecision, results: list[RuleResult], more: RuleResult
) -> None:
    if all(result.is_shadow for result in results):
        return
    before, after = decide(settings, results)[0], decide(settings, [*results, more])[0]
    assert GRAVITY.index(after) >= GRAVITY.index(before)
    if more.is_shadow:
        assert after is before


@given(st.sampled_from(SETTINGS), st.permutations([HIT, CLEAN, ERROR, THIN]))
def test_decide__does_not_depend_on_the_order(settings: PolicyDecision, outcomes: list[RuleOutcome]) -> None:
    made = [RuleResult(outcome.value, outcome, RuleSeverity.HIGH, "") for outcome in outcomes]
    ordered = sorted(made, key=lambda result: result.rule_id)
    assert decide(settings, made)[0] is decide(settings, ordered)[0]
    assert decide(settings, made)[0] is not Decision.ACCEPTED
