"""What rules are made of: conditions that are at once the verdict and its text, so that the two cannot disagree.

A rule is a list of conditions, all of which must hold. Each is true, false or unknown: one that is false makes the rule
`no_hit`; otherwise one that is unknown makes it `error` or `insufficient_history`; otherwise it is a hit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from compliance.model import RuleOutcome, RuleSeverity

Figure = Decimal | int
CLEAN = "No hit."
"""What is said of a rule that found nothing, where nobody asks for its figures."""


class Comparison(StrEnum):
    """How a value stands to its limit; the values are the words of the text."""

    MORE_THAN = "more than"
    AT_LEAST = "at least"
    AT_MOST = "at most"
    LESS_THAN = "less than"


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure against a limit of the policy.

    `value` None: unknown. `is_complete` False: the figure is what is known of a larger one (amounts without a price are
    missing in it), so it can show that a limit is exceeded and never that it is kept.
    """

    name: str
    what: str
    value: Figure | None
    test: Comparison
    limit: Figure
    unit: str = ""
    is_complete: bool = True
    unknown: RuleOutcome = RuleOutcome.ERROR
    why_unknown: str = "a figure is not known"

    @property
    def holds(self) -> bool | None:
        """Whether the figure stands so to the limit; None: not known."""
        if self.value is None:
            return None
        if self.test is Comparison.MORE_THAN:
            return self._if_rising(self.value > self.limit)
        if self.test is Comparison.AT_LEAST:
            return self._if_rising(self.value >= self.limit)
        return self._if_falling(
            self.value <= self.limit if self.test is Comparison.AT_MOST else self.value < self.limit
        )

    def _if_rising(self, found: bool) -> bool | None:
        return found if found or self.is_complete else None

    def _if_falling(self, found: bool) -> bool | None:
        return found if self.is_complete or not found else None

    def text(self) -> str:
        """`what: value unit (test limit unit)`."""
        unit = f" {self.unit}" if self.unit else ""
        value = "unknown" if self.value is None else f"{plain(self.value)}{unit}"
        known = "" if self.is_complete else " known"
        return f"{self.what}: {value}{known} (the rule asks for {self.test.value} {plain(self.limit)}{unit})"

    def evidence(self) -> dict[str, str]:
        """The figure and its limit."""
        figures = {self.name: "unknown" if self.value is None else plain(self.value)}
        if not self.is_complete:
            figures[f"{self.name}_is_complete"] = "false"
        return {**figures, f"{self.name}_limit": plain(self.limit)}


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is so or is not, or that nobody knows (`is_true` None)."""

    name: str
    what: str
    is_true: bool | None
    unknown: RuleOutcome = RuleOutcome.ERROR
    why_unknown: str = "a fact is not known"

    @property
    def holds(self) -> bool | None:
        """Whether it is so; None: not known."""
        return self.is_true

    def text(self) -> str:
        """`what: yes`, `no` or `unknown`."""
        return f"{self.what}: {_WORDS[self.is_true]}"

    def evidence(self) -> dict[str, str]:
        """The fact."""
        return {self.name: _WORDS[self.is_true]}


_WORDS = {True: "yes", False: "no", None: "unknown"}
Condition = Limit | Fact


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's answer before the policy weighs it; its words are made when somebody reads them.

    `figures` are further evidence that decides nothing; `severity` only where the rule itself grades its hits.
    """

    outcome: RuleOutcome
    conditions: Sequence[Condition]
    figures: Mapping[str, str]
    severity: RuleSeverity | None = None

    @property
    def reason(self) -> str:
        """The conditions that led to the outcome, each with its figure and its limit."""
        if self.outcome is RuleOutcome.HIT:
            return _sentence(self.conditions)
        if self.outcome is RuleOutcome.NO_HIT:
            return _sentence([next(each for each in self.conditions if each.holds is False)])
        unknown = [each for each in self.conditions if each.holds is None]
        return f"Could not run: {_worst(unknown).why_unknown}; {_sentence(unknown)}"

    @property
    def evidence(self) -> dict[str, str]:
        """The figures of all conditions, and the further ones."""
        figures = {name: value for each in self.conditions for name, value in each.evidence().items()}
        return {**figures, **self.figures}


def conclude(conditions: Sequence[Condition], severity: RuleSeverity | None = None, **figures: str) -> Finding:
    """The finding of conditions which must all hold: the first that is false decides."""
    unknown = []
    for condition in conditions:
        holds = condition.holds
        if holds is False:
            return Finding(RuleOutcome.NO_HIT, conditions, figures)
        if holds is None:
            unknown.append(condition)
    outcome = _worst(unknown).unknown if unknown else RuleOutcome.HIT
    return Finding(outcome, conditions, figures, severity)


def _worst(unknown: Sequence[Condition]) -> Condition:
    """What could not run outweighs a window that is not filled yet."""
    return next((each for each in unknown if each.unknown is RuleOutcome.ERROR), unknown[0])


def heavier(first: Finding, second: Finding) -> Finding:
    """The finding that weighs more: a hit, then an error, then insufficient history; the first where both are equal."""
    return first if _WEIGHT.index(first.outcome) <= _WEIGHT.index(second.outcome) else second


_WEIGHT = (RuleOutcome.HIT, RuleOutcome.ERROR, RuleOutcome.INSUFFICIENT_HISTORY, RuleOutcome.NO_HIT)


def _sentence(conditions: Sequence[Condition]) -> str:
    return "; ".join(condition.text() for condition in conditions) + "."


def plain(value: Figure) -> str:
    """A number as people write it: no exponent, no zeros at the end."""
    if isinstance(value, int):
        return str(value)
    shown = format(value, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def moment(at: datetime | None) -> str:
    """A time as evidence."""
    return "none" if at is None else at.isoformat()
