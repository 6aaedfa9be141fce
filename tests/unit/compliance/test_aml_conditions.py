"""Conditions: verdict and text from the same object, and what is unknown stays so."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.aml.conditions import Comparison, Fact, Limit, conclude, heavier, plain
from compliance.model import RuleOutcome

ERROR, THIN = RuleOutcome.ERROR, RuleOutcome.INSUFFICIENT_HISTORY
facts = st.builds(
    Fact,
    name=st.just("n"),
    what=st.just("w"),
    is_true=st.sampled_from([True, False, None]),
    unknown=st.sampled_from([ERROR, THIN]),
)


@pytest.mark.parametrize(
    ("test", "below", "equal", "above"),
    [
        (Comparison.MORE_THAN, False, False, True),
        (Comparison.AT_LEAST, False, True, True),
        (Comparison.AT_MOST, True, True, False),
        (Comparison.LESS_THAN, True, False, False),
    ],
)
def test_limit__stands_as_its_words_say(test: Comparison, below: bool, equal: bool, above: bool) -> None:
    found = [Limit("n", "w", Decimal(value), test, Decimal(5)).holds for value in (4, 5, 6)]
    assert found == [below, equal, above]
    assert test.value in Limit("n", "w", 4, test, 5).text()


@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(0, 5), st.sampled_from(Comparison))
def test_limit__a_part_of_the_figure_never_contradicts_the_whole(
    known: int, limit: int, missing: int, test: Comparison
) -> None:
    part = Limit("n", "w", known, test, limit, is_complete=False).holds
    whole = Limit("n", "w", known + missing, test, limit).holds
    assert part is None or part == whole


@given(st.lists(facts, min_size=1, max_size=5))
def test_conclude__is_false_before_unknown_before_hit(conditions: list[Fact]) -> None:
    truths = [condition.is_true for condition in conditions]
    kinds = {condition.unknown for condition in conditions if condition.is_true is None}
    expected = (
        RuleOutcome.NO_HIT
        if False in truths
        else ERROR if ERROR in kinds else THIN if kinds else RuleOutcome.HIT
    )  # fmt: skip
    assert conclude(conditions).outcome is expected


@given(st.lists(facts, min_size=1, max_size=5))
def test_finding__tells_what_decided(conditions: list[Fact]) -> None:
    found = conclude([replace(each, name=f"n{place}", what=f"w{place}") for place, each in enumerate(conditions)])
    wanted = {RuleOutcome.NO_HIT: False, RuleOutcome.HIT: True}.get(found.outcome)
    told = [f"w{place}:" in found.reason for place, _ in enumerate(conditions)]
    decisive = [each.is_true is wanted for each in conditions]
    # Of several that are false, one is enough.
    assert told == ([place == decisive.index(True) for place, _ in enumerate(told)] if wanted is False else decisive)
    assert found.reason.startswith("Could not run") == (wanted is None)
    assert list(found.evidence) == [f"n{place}" for place, _ in enumerate(conditions)]


def test_conclude__text_and_evidence_hold_the_figures() -> None:
    limit = Limit("sum_usd", "sum", Decimal("12.50"), Comparison.MORE_THAN, Decimal("10.0"), "USD")
    found = conclude([limit], window="7 days")
    assert found.reason == "sum: 12.5 USD (the rule asks for more than 10 USD)."
    assert found.evidence == {"sum_usd": "12.5", "sum_usd_limit": "10", "window": "7 days"}


def test_heavier__takes_the_hit() -> None:
    hit, clean = conclude([Fact("a", "a", True)]), conclude([Fact("a", "a", False)])
    error, thin = conclude([Fact("a", "a", None)]), conclude([Fact("a", "a", None, unknown=THIN)])
    assert heavier(heavier(clean, thin), heavier(error, hit)) is hit
    assert heavier(thin, error) is error
    assert heavier(clean, thin) is thin


@pytest.mark.parametrize(
    ("value", "shown"), [(Decimal("1E+3"), "1000"), (Decimal("100"), "100"), (Decimal("0.100"), "0.1"), (7, "7")]
)
def test_plain__is_as_people_write(value: Decimal | int, shown: str) -> None:
    assert plain(value) == shown
