"""What a replay counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.model import Decision, Direction, RuleOutcome, RuleResult, RuleSeverity, Transaction
from compliance.policy.book import PolicyBook
from compliance.policy.judging import Evaluate, Judge
from compliance.policy.model import Policy
from compliance.policy.parameters import ParameterValue
from compliance.policy.replay import Past, Replay, RuleTally, replay

NEWEST = PolicyBook.load().policies[-1]
HIT, CLEAN = RuleOutcome.HIT, RuleOutcome.NO_HIT


@dataclass(frozen=True)
class Told:
    """Features that say what each rule answers."""

    fan_in: RuleOutcome = CLEAN
    structuring: RuleOutcome = CLEAN


@dataclass(frozen=True)
class Answers:
    """A rule that answers what the features say."""

    rule_id: str

    def ready(self, parameters: Mapping[str, ParameterValue], /, *, explains_clean: bool) -> Evaluate:
        """The answer."""
        severity = RuleSeverity(str(parameters["severity"]))
        return lambda _, features: RuleResult(self.rule_id, getattr(features, self.rule_id), severity, "told so")


JUDGE = Judge(
    Policy.model_validate({**NEWEST.model_dump(), "aml": {"fan_in": {"severity": "high"}, "structuring": {}}}),
    {"fan_in": Answers("fan_in"), "structuring": Answers("structuring")},
    Told,
)


def past(name: str, features: Told, decision: str | None = None, *hits: str) -> Past:
    """A transaction of the past."""
    transaction = Transaction(
        name, "a", Direction.IN, "deposit", "collateral", "BTC", Decimal(1), None, "x", datetime(2026, 1, 1, tzinfo=UTC)
    )
    return Past(transaction, features, None if decision is None else Decision(decision), frozenset(hits))


def rule(report: Replay, rule_id: str) -> RuleTally:
    """The line of a rule."""
    return next(line for line in report.rules if line.rule_id == rule_id)


def test_replay__counts_by_rule_what_is_flagged_now_then_and_both() -> None:
    report = replay(
        JUDGE,
        [
            past("t-1", Told(fan_in=HIT), "rejected", "fan_in"),
            past("t-2", Told(fan_in=HIT), "released", "fan_in"),
            past("t-3", Told(fan_in=HIT), "rejected"),
            past("t-4", Told(), "released", "fan_in"),
            past("t-5", Told(fan_in=HIT), "accepted"),
            past("t-6", Told(), "accepted"),
            past("t-7", Told(fan_in=RuleOutcome.ERROR), "review"),
            past("t-8", Told(fan_in=RuleOutcome.INSUFFICIENT_HISTORY)),
        ],
    )
    line = rule(report, "fan_in")
    assert (report.transactions, report.policy_version) == (8, NEWEST.version)
    assert (line.candidate, line.then, line.both, line.only_candidate, line.only_then) == (4, 3, 2, 2, 1)
    assert (line.errors, line.insufficient, line.examples) == (1, 1, ["t-3", "t-5"])
    # Of t-1, t-2 and t-3 the outcome is known; of t-5 nobody knows whether accepting it was right.
    assert (line.true, line.false, line.precision_pct) == (2, 1, Decimal("66.7"))
    assert (line.true_then, line.false_then, line.precision_then_pct) == (1, 2, Decimal("33.3"))


def test_replay__precision_is_unknown_without_known_outcomes() -> None:
    report = replay(JUDGE, [past("t-1", Told(fan_in=HIT), "accepted"), past("t-2", Told(fan_in=HIT), "review")])
    assert rule(report, "fan_in").precision_pct is None
    assert report.to_json()["rules"][0]["precision_pct"] is None


def test_replay__shows_rules_that_the_candidate_has_no_longer() -> None:
    report = replay(JUDGE, [past("t-1", Told(), "rejected", "geo_block")])
    line = rule(report, "geo_block")
    assert (line.is_run, line.candidate, line.then, line.only_then) == (False, 0, 1, 1)


def test_replay__names_what_it_would_have_missed_and_compares_decisions() -> None:
    report = replay(
        JUDGE,
        [
            past("t-1", Told(), "rejected", "fan_in"),
            past("t-2", Told(), "accepted"),
            past("t-3", Told(structuring=HIT), "accepted"),
            past("t-4", Told(fan_in=RuleOutcome.ERROR)),
        ],
    )
    assert (report.missed_count, report.missed) == (1, ["t-1"])
    assert report.decisions == {
        ("rejected", "accepted"): 1,
        ("accepted", "accepted"): 1,
        ("accepted", "review"): 1,
        ("undecided", "review"): 1,
    }
    shown = json.loads(json.dumps(report.to_json()))
    assert shown["missed"] == {"transactions": 1, "examples": ["t-1"]}
    assert {"then": "undecided", "candidate": "review", "transactions": 1} in shown["decisions"]


@pytest.mark.parametrize(("count", "every", "expected"), [(5, 2, [2, 2, 1]), (4, 2, [2, 2, 0]), (0, 2, [0])])
def test_replay__tells_its_progress(count: int, every: int, expected: list[int]) -> None:
    told: list[int] = []
    replay(JUDGE, [past(f"t-{number}", Told()) for number in range(count)], told.append, every)
    assert told == expected


OUTCOMES = st.sampled_from(RuleOutcome)
PASTS = st.lists(
    st.builds(
        past,
        st.uuids().map(str),
        st.builds(Told, fan_in=OUTCOMES, structuring=OUTCOMES),
        st.sampled_from([None, *(decision.value for decision in Decision)]),
        st.sampled_from(["fan_in", "structuring", "geo_block"]),
    ),
    max_size=30,
)


@given(PASTS)
def test_replay__adds_up(transactions: list[Past]) -> None:
    report = replay(JUDGE, transactions)
    assert sum(report.decisions.values()) == report.transactions == len(transactions)
    for line in report.rules:
        assert line.both <= min(line.candidate, line.then)
        assert line.true + line.false <= line.candidate
        assert line.then == sum(line.rule_id in each.hits for each in transactions)
        assert line.candidate + line.errors + line.insufficient <= len(transactions)
