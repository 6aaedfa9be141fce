"""What a rule is: pure, from a transaction, its features and parameters of the policy to an answer with its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeGuard, TypeVar

from compliance.aml.conditions import CLEAN, Comparison, Fact, Finding, Limit
from compliance.aml.features import CUSTOMER_KINDS, Features
from compliance.model import Direction, RuleOutcome, RuleResult, RuleSeverity, Transaction
from compliance.policy.parameters import CATALOGUE, ParameterValue

USD = "USD"
NO_PRICE = "an amount has no price"
Kept = TypeVar("Kept")


class Parameters:
    """Parameters of one rule: what the policy says (`Policy.parameters`), else the default of the catalogue.

    Made once for each rule of a policy and read for every transaction.
    """

    def __init__(self, rule_id: str, given: Mapping[str, ParameterValue]) -> None:
        """Raises `KeyError` for an unknown rule and `ValueError` for a severity that is none."""
        spec = CATALOGUE[rule_id]
        defaults: dict[str, ParameterValue] = {name: each.default for name, each in spec.parameters.items()}
        self._values: dict[str, ParameterValue] = {"severity": spec.severity, **defaults, **given}
        self._decimals = {name: Decimal(value) for name, value in self._values.items() if _is_number(value)}
        lists = {name: value for name, value in self._values.items() if isinstance(value, tuple | list)}
        self._lists = {
            name: tuple(Decimal(each) for each in value if _is_number(each)) for name, value in lists.items()
        }
        self._texts = {name: tuple(str(each) for each in value) for name, value in lists.items()}
        self.severity = RuleSeverity(self.text("severity"))

    def decimal(self, name: str) -> Decimal:
        """An amount, a percentage or a multiple."""
        return self._known(self._decimals, name, "number")

    def whole(self, name: str) -> int:
        """A count, hours or days."""
        value = self._values[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is no whole number")
        return value

    def text(self, name: str) -> str:
        """A word."""
        return str(self._values[name])

    def decimals(self, name: str) -> tuple[Decimal, ...]:
        """A list of amounts."""
        return self._known(self._lists, name, "list")

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of words."""
        return self._known(self._texts, name, "list")

    def _known(self, kept: Mapping[str, Kept], name: str, kind: str) -> Kept:
        found = kept.get(name)
        if found is None:
            raise TypeError(f"{name} is no {kind}") if name in self._values else KeyError(name)
        return found


def _is_number(value: object) -> TypeGuard[Decimal | int]:
    return isinstance(value, Decimal | int) and not isinstance(value, bool)


Find = Callable[[Transaction, Features, Parameters], Finding]
Evaluate = Callable[[Transaction, Features], RuleResult]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the pack; meaning, default severity and defaults stand in the policy's catalogue."""

    rule_id: str
    find: Find

    def evaluate(
        self, transaction: Transaction, features: Features, parameters: Mapping[str, ParameterValue]
    ) -> RuleResult:
        """The answer in full; raises `KeyError` or `TypeError` where a parameter is missing or is of another kind."""
        return self.ready(parameters, explains_clean=True)(transaction, features)

    def ready(self, parameters: Mapping[str, ParameterValue], *, explains_clean: bool = False) -> Evaluate:
        """The rule with its parameters; unless asked, it gives no figures for what is clean, which most answers are."""
        found = Parameters(self.rule_id, parameters)
        rule_id, find, severity = self.rule_id, self.find, found.severity
        clean = RuleResult(rule_id, RuleOutcome.NO_HIT, severity, CLEAN)

        def evaluate(transaction: Transaction, features: Features) -> RuleResult:
            finding = find(transaction, features, found)
            if finding.outcome is RuleOutcome.NO_HIT and not explains_clean:
                return clean
            weight = finding.severity or severity
            return RuleResult(rule_id, finding.outcome, weight, finding.reason, finding.evidence)

        return evaluate


def is_transfer(transaction: Transaction) -> Fact:
    """Interest and seizures are bookings of the desk, without a counterparty."""
    return _TRANSFER if transaction.kind in CUSTOMER_KINDS else _NO_TRANSFER


def is_going(transaction: Transaction, direction: Direction) -> Fact:
    """Whether value goes in this direction."""
    return _GOING[direction, transaction.direction is direction]


def amount(transaction: Transaction, test: Comparison, limit: Decimal) -> Limit:
    """The transaction's amount against a limit."""
    return Limit("amount_usd", "amount", transaction.amount_usd, test, limit, USD, why_unknown=NO_PRICE)


_TRANSFER, _NO_TRANSFER = (
    Fact("is_transfer", "value moves between the customer and the desk", is_true) for is_true in (True, False)
)
_GOING = {
    (direction, is_true): Fact(f"is_{direction.value}", words, is_true)
    for direction, words in ((Direction.IN, "value comes to the desk"), (Direction.OUT, "value leaves the desk"))
    for is_true in (True, False)
}
