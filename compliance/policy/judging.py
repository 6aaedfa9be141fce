"""How a policy is applied to a transaction: its rules are run, and the decision follows from their answers.

Pure, and the same for the gate, for replays and for the test cases of policies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from compliance.errors import PolicyInvalidError
from compliance.model import Decision, RuleOutcome, RuleResult, RuleSeverity, Transaction
from compliance.policy.expressions import Expression, ExpressionError
from compliance.policy.model import Policy, PolicyDecision
from compliance.policy.parameters import ParameterValue
from compliance.policy.variables import Variables

_GRAVITY = {Decision.ACCEPTED: 0, Decision.REVIEW: 1, Decision.BLOCKED: 2}


Evaluate = Callable[[Transaction, Any], RuleResult]


class Rule(Protocol):
    """A pure rule of transaction monitoring."""

    def ready(self, parameters: Mapping[str, ParameterValue], /, *, explains_clean: bool) -> Evaluate:
        """The rule with the parameters of `Policy.parameters`, made once and asked for every transaction.

        Its answers have the severity among the parameters unless the rule grades its hits itself. With
        `explains_clean` they have their figures also where nothing was found.
        """
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say, in the policy's order, and what follows."""

    results: tuple[RuleResult, ...]
    decision: Decision
    reason: str


@dataclass(frozen=True, slots=True)
class _Prepared:
    rule_id: str
    evaluate: Evaluate
    severity: RuleSeverity
    is_shadow: bool
    when: Expression | None


class Judge:
    """A policy made ready to judge; safe for several threads at once."""

    def __init__(
        self, policy: Policy, rules: Mapping[str, Rule], features_type: type, *, explains_clean: bool = False
    ) -> None:
        """Raises `PolicyInvalidError` where the policy names a rule that cannot run or a variable that is not there.

        `explains_clean`: answers have figures also where a rule found nothing, for people who ask why it did not.
        """
        self.policy = policy
        self._explains_clean = explains_clean
        self._variables = Variables(features_type)
        self._rules = [self._prepared(rule_id, rules) for rule_id, rule in policy.aml.items() if rule.enabled]

    @property
    def rule_ids(self) -> Sequence[str]:
        """The rules that run, in their order."""
        return [each.rule_id for each in self._rules]

    def _prepared(self, rule_id: str, rules: Mapping[str, Rule]) -> _Prepared:
        settings = self.policy.aml[rule_id]
        if rule_id not in rules:
            raise PolicyInvalidError(f"policy {self.policy.version} enables {rule_id}, which this version cannot run")
        when = None if settings.when is None else Expression(settings.when)
        unknown = sorted(when.names - self._variables.names) if when is not None else []
        if unknown:
            raise PolicyInvalidError(
                f"policy {self.policy.version}, aml.{rule_id}.when reads {', '.join(unknown)}, which is no variable; "
                f"there are {', '.join(sorted(self._variables.names))}"
            )
        evaluate = rules[rule_id].ready(self.policy.parameters(rule_id), explains_clean=self._explains_clean)
        return _Prepared(rule_id, evaluate, settings.severity, settings.shadow, when)

    def judge(self, transaction: Transaction, features: Any) -> Judgement:
        """Run every rule and decide; a rule that fails is an error of that rule and never clean."""
        results = tuple(self._result(each, transaction, features) for each in self._rules)
        decision, reason = decide(self.policy.decision, results)
        return Judgement(results, decision, reason)

    def _result(self, prepared: _Prepared, transaction: Transaction, features: Any) -> RuleResult:
        try:
            result = prepared.evaluate(transaction, features)
        except Exception as error:
            # The error's own text may hold what must not be recorded.
            result = _error(prepared, f"The rule failed ({type(error).__name__}).")
        # Clean is clean whatever the condition says, and conditions cost more than rules.
        if prepared.when is not None and result.outcome is not RuleOutcome.NO_HIT:
            result = self._narrowed(prepared, prepared.when, result, transaction, features)
        return replace(result, is_shadow=True) if prepared.is_shadow else result

    def _narrowed(
        self, prepared: _Prepared, when: Expression, result: RuleResult, transaction: Transaction, features: Any
    ) -> RuleResult:
        try:
            applies = when.evaluate(self._variables.read(when.names, transaction, features))
        except ExpressionError as error:
            return _error(prepared, f"Could not run: {error.message}.")
        if applies:
            return result
        return replace(
            result,
            outcome=RuleOutcome.NO_HIT,
            reason=f"Does not apply, because this does not hold: {when.text}",
            evidence={**result.evidence, "outcome_without_condition": result.outcome.value},
        )


def _error(prepared: _Prepared, reason: str) -> RuleResult:
    return RuleResult(prepared.rule_id, RuleOutcome.ERROR, prepared.severity, reason, is_shadow=prepared.is_shadow)


def decide(policy: PolicyDecision, results: Sequence[RuleResult]) -> tuple[Decision, str]:
    """The decision that the answers call for, and why: the heaviest counts, shadow rules do not.

    Without a rule that ran nothing is known, so a person looks.
    """
    counted = [result for result in results if not result.is_shadow]
    if not counted:
        return Decision.REVIEW, "no rule ran"
    calls = [(result, _call(policy, result)) for result in counted if result.outcome is not RuleOutcome.NO_HIT]
    heaviest = max((call for _, call in calls), key=_GRAVITY.__getitem__, default=Decision.ACCEPTED)
    if heaviest is Decision.ACCEPTED:
        return Decision.ACCEPTED, "no rule calls for a person"
    return heaviest, "; ".join(_words(result) for result, call in calls if call is heaviest)


def _call(policy: PolicyDecision, result: RuleResult) -> Decision:
    if result.outcome is RuleOutcome.HIT:
        return policy.of_hit(result.severity)
    if result.outcome is RuleOutcome.ERROR:
        return Decision(policy.on_error)
    return Decision(policy.on_insufficient_history)


def _words(result: RuleResult) -> str:
    if result.outcome is RuleOutcome.HIT:
        return f"{result.rule_id} ({result.severity})"
    outcome = "could not run" if result.outcome is RuleOutcome.ERROR else "has too little history"
    return f"{result.rule_id} {outcome}"
