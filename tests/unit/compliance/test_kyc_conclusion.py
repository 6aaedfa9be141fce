"""What all answers on a case say together, whatever their order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.kyc.conclusion import Conclusion, conclude, submitted_at
from compliance.kyc.model import DECIDED, TRANSITIONS, Check, KycState, Source, Verdict

FEW = settings(max_examples=30, deadline=None)
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
_V = Verdict


def check(
    verdict: Verdict,
    second: int = 0,
    provider: str = "persona",
    *,
    received: int | None = None,
    submitted: int | None = None,
    considered: Sequence[str] = (),
    source: Source = Source.WEBHOOK,
) -> Check:
    at = AT + timedelta(seconds=second)
    return Check(
        f"{provider}-{verdict}-{second}-{source}",
        provider,
        source,
        verdict.value,
        verdict,
        at if verdict is not Verdict.ERROR else None,
        at if received is None else AT + timedelta(seconds=received),
        None if submitted is None else AT + timedelta(seconds=submitted),
        frozenset(considered),
    )


def officer(verdict: Verdict, second: int, seen: Sequence[Check]) -> Check:
    considered = [each.check_id for each in seen]
    return check(verdict, second, "manual", source=Source.MANUAL, considered=considered)


CASES = {
    "nothing": ([], KycState.PENDING, None),
    "only errors": ([check(_V.ERROR)], KycState.PENDING, None),
    "waits for the customer": ([check(_V.PENDING)], KycState.PENDING, None),
    "submitted": ([check(_V.PENDING), check(_V.PENDING, 1, submitted=1)], KycState.SUBMITTED, None),
    "completed is not approved": ([check(_V.PENDING, 1, submitted=1)], KycState.SUBMITTED, None),
    "approved": ([check(_V.PENDING, 1, submitted=1), check(_V.APPROVED, 2)], KycState.APPROVED, "approved_by_provider"),
    "approved in the second of the submission": (
        [check(_V.PENDING, 1, submitted=1), check(_V.APPROVED, 1)],
        KycState.APPROVED,
        "approved_by_provider",
    ),
    "declined": ([check(_V.DECLINED)], KycState.DECLINED, "declined_by_provider"),
    "failed": ([check(_V.FAILED)], KycState.FAILED, "failed_by_provider"),
    "expired": ([check(_V.EXPIRED)], KycState.EXPIRED, "expired_by_provider"),
    "unknown status": ([check(_V.REVIEW)], KycState.IN_REVIEW, "review_by_provider"),
    "review, and older answers of the way": (
        [check(_V.REVIEW, 2), check(_V.PENDING, 1)],
        KycState.IN_REVIEW,
        "review_by_provider",
    ),
    "review stands until an end": (
        [check(_V.REVIEW, 1), check(_V.PENDING, 2)],
        KycState.IN_REVIEW,
        "review_by_provider",
    ),
    "approved after review": ([check(_V.REVIEW, 1), check(_V.APPROVED, 2)], KycState.APPROVED, "approved_by_provider"),
    "review after approval": (
        [check(_V.APPROVED, 1), check(_V.REVIEW, 2)],
        KycState.IN_REVIEW,
        "reopened_by_provider",
    ),
    "begun anew after approval": (
        [check(_V.APPROVED, 1), check(_V.PENDING, 2)],
        KycState.IN_REVIEW,
        "reopened_by_provider",
    ),
    "approved again after it was reopened": (
        [check(_V.APPROVED, 1), check(_V.PENDING, 2), check(_V.APPROVED, 3)],
        KycState.APPROVED,
        "approved_by_provider",
    ),
    "declined after approval": (
        [check(_V.APPROVED, 1), check(_V.DECLINED, 2)],
        KycState.IN_REVIEW,
        "conflicting_answers",
    ),
    "approved after decline": (
        [check(_V.DECLINED, 1), check(_V.APPROVED, 2)],
        KycState.IN_REVIEW,
        "conflicting_answers",
    ),
    "one declines, another approves": (
        [check(_V.DECLINED, 1), check(_V.APPROVED, 2, "sumsub")],
        KycState.IN_REVIEW,
        "conflicting_answers",
    ),
    "one doubts, another approves": (
        [check(_V.REVIEW, 3, "sumsub"), check(_V.APPROVED, 2)],
        KycState.IN_REVIEW,
        "review_by_provider",
    ),
    "the other one was never used": (
        [check(_V.APPROVED, 2), check(_V.EXPIRED, 9, "sumsub"), check(_V.PENDING, 10, "sumsub")],
        KycState.APPROVED,
        "approved_by_provider",
    ),
    "own expiry after approval": (
        [check(_V.APPROVED, 1), check(_V.EXPIRED, 2)],
        KycState.IN_REVIEW,
        "conflicting_answers",
    ),
    "officers from the beginning": ([check(_V.REVIEW, 0, "manual")], KycState.IN_REVIEW, "manual_verification"),
}


@pytest.mark.parametrize(("checks", "state", "reason"), CASES.values(), ids=CASES)
def test_conclude__rules(checks: list[Check], state: KycState, reason: str | None) -> None:
    for order in itertools.permutations(checks):
        assert conclude(order, "persona", auto_decline=True) == Conclusion(state, reason)


def test_conclude__without_a_provider_a_case_is_only_created() -> None:
    assert conclude([], None, auto_decline=True).state is KycState.CREATED


def test_conclude__a_refusal_is_for_a_person_where_the_policy_says_so() -> None:
    assert conclude([check(_V.DECLINED)], "persona", auto_decline=False) == Conclusion(
        KycState.IN_REVIEW, "declined_by_provider"
    )


SEEN = [check(_V.DECLINED, 1), check(_V.APPROVED, 2)]
AFTER_OFFICER = {
    "nothing new": (_V.APPROVED, None, KycState.APPROVED),
    "late news of the way": (_V.APPROVED, check(_V.PENDING, 0, received=9), KycState.APPROVED),
    "begun anew": (_V.APPROVED, check(_V.PENDING, 9), KycState.IN_REVIEW),
    "a new refusal": (_V.APPROVED, check(_V.DECLINED, 9), KycState.IN_REVIEW),
    "an old refusal that the officer had not seen": (
        _V.APPROVED,
        check(_V.DECLINED, 0, received=9),
        KycState.IN_REVIEW,
    ),
    "a new doubt": (_V.APPROVED, check(_V.REVIEW, 9), KycState.IN_REVIEW),
    "an approval more": (_V.APPROVED, check(_V.APPROVED, 9), KycState.APPROVED),
    "an approval against a refusal": (_V.DECLINED, check(_V.APPROVED, 9), KycState.IN_REVIEW),
    "no answer": (_V.DECLINED, check(_V.ERROR, 9), KycState.DECLINED),
    "reopened": (_V.REVIEW, None, KycState.IN_REVIEW),
}


@pytest.mark.parametrize(("verdict", "later", "state"), AFTER_OFFICER.values(), ids=AFTER_OFFICER)
def test_conclude__an_officers_word_counts_until_it_is_contradicted(
    verdict: Verdict, later: Check | None, state: KycState
) -> None:
    checks = [*SEEN, officer(verdict, 5, SEEN), *([later] if later is not None else [])]
    for order in itertools.permutations(checks):
        assert conclude(order, "persona", auto_decline=True).state is state


def test_conclude__the_last_officer_counts() -> None:
    first = officer(_V.DECLINED, 5, SEEN)
    second = officer(_V.REVIEW, 6, [*SEEN, first])
    third = officer(_V.APPROVED, 7, [*SEEN, first, second])
    for order in itertools.permutations([first, second, third]):
        assert conclude([*SEEN, *order], "persona", auto_decline=True).state is KycState.APPROVED


def test_submitted_at__is_the_first_that_any_answer_tells() -> None:
    assert submitted_at([check(_V.APPROVED, 9, submitted=4), check(_V.PENDING, 5, submitted=3)]) == AT + timedelta(
        seconds=3
    )
    assert submitted_at([check(_V.PENDING)]) is None


ANSWERS = st.builds(
    check,
    st.sampled_from(Verdict),
    st.integers(0, 4),
    st.sampled_from(["persona", "sumsub"]),
    submitted=st.one_of(st.none(), st.integers(0, 4)),
)


@FEW
@given(st.lists(ANSWERS, max_size=7), st.randoms(use_true_random=False), st.booleans())
def test_conclude__order_and_repetition_say_nothing(checks: list[Check], random: object, auto_decline: bool) -> None:
    unique = list({each.check_id: each for each in checks}.values())
    shuffled = list(unique)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = conclude(unique, "persona", auto_decline=auto_decline)
    assert conclude([*shuffled, *unique], "persona", auto_decline=auto_decline) == found


@FEW
@given(st.lists(ANSWERS, max_size=7))
def test_conclude__nobody_is_approved_without_an_approval_that_stands(checks: list[Check]) -> None:
    if conclude(checks, "persona", auto_decline=True).state is KycState.APPROVED:
        ends = {each.verdict for each in checks if each.verdict in (_V.APPROVED, _V.DECLINED, _V.FAILED)}
        assert ends == {_V.APPROVED}


@FEW
@given(st.lists(ANSWERS, max_size=6), ANSWERS)
def test_transitions__allow_every_step_that_an_answer_more_can_cause(checks: list[Check], more: Check) -> None:
    unique = list({each.check_id: each for each in checks}.values())
    before = conclude(unique, "persona", auto_decline=True).state
    after = conclude([*unique, more], "persona", auto_decline=True).state
    assert after is before or after in TRANSITIONS[before]


def test_transitions__what_has_ended_is_looked_at_by_a_person_or_ends_with_its_validity() -> None:
    assert set(TRANSITIONS) == set(KycState)
    for state in DECIDED - {KycState.APPROVED}:
        assert TRANSITIONS[state] == {KycState.IN_REVIEW}
    assert TRANSITIONS[KycState.APPROVED] == {KycState.IN_REVIEW, KycState.EXPIRED}
    assert all(KycState.CREATED not in targets for targets in TRANSITIONS.values())
