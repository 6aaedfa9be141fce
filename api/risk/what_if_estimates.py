"""Estimates within a time budget: what the engine has no time left for says so, and what is cheap stands in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from assets.risk.engine.batch import Histories, Question
from assets.risk.engine.methods import ESTIMATORS, FALLBACK, NORMAL, Method
from assets.risk.engine.portfolio import Estimate, estimates, with_fallback

Exposures = Mapping[str, Decimal]
_MS = 1000


@dataclass(frozen=True)
class Budget:
    """How long an answer may take, by a monotonic clock in seconds that read `began` when it was asked for."""

    deadline_ms: int
    monotonic: Callable[[], float]
    began: float

    @classmethod
    def starting(cls, deadline_ms: int, monotonic: Callable[[], float]) -> Budget:
        """A budget that runs from now on."""
        return cls(deadline_ms, monotonic, monotonic())

    @property
    def is_spent(self) -> bool:
        """Whether nothing further is to be begun."""
        return (self.monotonic() - self.began) * _MS >= self.deadline_ms

    @property
    def reason(self) -> str:
        """Why there is no figure."""
        return f"deadline of {self.deadline_ms} ms passed"


def estimates_within(
    budget: Budget,
    exposures: Exposures,
    histories: Histories,
    questions: Sequence[Question],
    *,
    intervals: bool,
    has_fallback: bool,
) -> list[Estimate]:
    """Rows of each question in turn; the cheap ones are computed first, the simulated ones last.

    With `has_fallback` the fallback takes the place of a row without a figure, as in the headline. A question that
    the budget leaves no time for has rows without a figure; the fallback then stands beside them, unless it was a
    question itself, which is always answered.
    """
    found: dict[Question, list[Estimate]] = {}
    for question in sorted(questions, key=lambda each: _cost(each.method)):
        if question.method is FALLBACK or not budget.is_spent:
            rows = estimates(exposures, histories, [question], intervals=intervals)
            found[question] = with_fallback(rows, exposures, histories, question) if has_fallback else rows
    stand_ins: dict[Question, list[Estimate]] = {}
    collected: list[Estimate] = []
    for question in questions:
        if question in found:
            collected += found[question]
            continue
        instead = replace(question, method=FALLBACK)
        if instead not in stand_ins:
            stand_ins[instead] = found.get(instead) or estimates(exposures, histories, [instead])
        collected += [_skipped(row, question, budget.reason) for row in stand_ins[instead]]
    for instead, rows in stand_ins.items():
        if instead not in found:
            collected += [_standing_in(row, budget.reason) for row in rows if row.var_usd is not None]
    return collected


def _cost(method: Method) -> int:
    if method in NORMAL:
        return 0
    return 2 if method is Method.T_COPULA else 1


def _skipped(like: Estimate, question: Question, reason: str) -> Estimate:
    """The row of a question that was not answered; `like` is the fallback's for the same confidence."""
    return replace(
        like,
        method=question.method,
        estimator=ESTIMATORS[question.method],
        horizon_rule=question.rule,
        interval_method=question.interval,
        var_usd=None,
        es_usd=None,
        var_lower_usd=None,
        var_upper_usd=None,
        es_lower_usd=None,
        es_upper_usd=None,
        is_fallback=False,
        reason=reason,
    )


def _standing_in(row: Estimate, reason: str) -> Estimate:
    return replace(row, is_fallback=True, reason=f"{reason}; {row.reason}" if row.reason else reason)
