"""What a rule is: pure, from a transaction, its features and parameters of the policy to an answer with its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from compliance.aml.conditions import Comparison, Fact, Finding, Limit
from compliance.aml.features import CUSTOMER_KINDS, Features
from compliance.model import Direction, RuleResult, RuleSeverity, Transaction
from compliance.policy.parameters import CATALOGUE, ParameterValue

USD = "USD"
NO_PRICE = "an amount has no price"


class Parameters:
    """Parameters of one rule: what the policy says (`Policy.parameters`), else the default of the catalogue."""

    def __init__(self, rule_id: str, given: Mapping[str, ParameterValue]) -> None:
        spec = CATALOGUE[rule_id]
        defaults: dict[str, ParameterValue] = {name: each.default for name, each in spec.parameters.items()}
        self._values: dict[str, ParameterValue] = {"severity": spec.severity, **defaults, **given}

    @property
    def severity(self) -> RuleSeverity:
        """What a hit weighs."""
        return RuleSeverity(self.text("severity"))

    def decimal(self, name: str) -> Decimal:
        """An amount, a percentage or a multiple."""
        value = self._values[name]
        if isinstance(value, tuple):
            raise TypeError(f"{name} is a list")
        return Decimal(value)

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
        return tuple(Decimal(each) for each in self._list(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of words."""
        return tuple(str(each) for each in self._list(name))

    def _list(self, name: str) -> tuple[Decimal | str, ...]:
        value = self._values[name]
        if not isinstance(value, tuple | list):
            raise TypeError(f"{name} is no list")
        return tuple(value)


Find = Callable[[Transaction, Features, Parameters], Finding]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the pack; meaning, default severity and defaults stand in the policy's catalogue."""

    rule_id: str
    find: Find

    def evaluate(
        self, transaction: Transaction, features: Features, parameters: Mapping[str, ParameterValue]
    ) -> RuleResult:
        """The answer; raises `KeyError` or `TypeError` where a parameter is missing or is of another kind."""
        found = Parameters(self.rule_id, parameters)
        finding = self.find(transaction, features, found)
        weight = finding.severity or found.severity
        return RuleResult(self.rule_id, finding.outcome, weight, finding.reason, finding.evidence)


def is_transfer(transaction: Transaction) -> Fact:
    """Interest and seizures are bookings of the desk, without a counterparty."""
    return Fact("is_transfer", "value moves between the customer and the desk", transaction.kind in CUSTOMER_KINDS)


def is_going(transaction: Transaction, direction: Direction) -> Fact:
    """Whether value goes in this direction."""
    words = {Direction.IN: "value comes to the desk", Direction.OUT: "value leaves the desk"}
    return Fact(f"is_{direction.value}", words[direction], transaction.direction is direction)


def amount(transaction: Transaction, test: Comparison, limit: Decimal) -> Limit:
    """The transaction's amount against a limit."""
    return Limit("amount_usd", "amount", transaction.amount_usd, test, limit, USD, why_unknown=NO_PRICE)
