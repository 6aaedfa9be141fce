"""The table of case states, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from compliance.case_model import FOUR_EYES, OUTCOMES, TRANSITIONS, Case, CaseKind, CasePriority, CaseState, Step
from compliance.model import Decision

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
CASE = Case(
    case_id="cas_1",
    kind=CaseKind.AML,
    subject_id="tx_1",
    account_id=None,
    user_id=None,
    title="A transaction",
    state=CaseState.OPEN,
    priority=CasePriority.NORMAL,
    assignee=None,
    proposal=None,
    outcome=None,
    sla_due_at=AT,
    opened_at=AT - timedelta(hours=4),
    closed_at=None,
    version=1,
)


def test_transitions__nothing_leaves_closed_and_everything_reaches_it() -> None:
    reached = {CaseState.CLOSED}
    while grown := {old for (old, _), new in TRANSITIONS.items() if new & reached} - reached:
        reached |= grown
    assert reached == set(CaseState)
    assert not [step for state, step in TRANSITIONS if state is CaseState.CLOSED]


def test_transitions__only_approval_and_closing_close_and_approval_only_after_a_proposal() -> None:
    closing = {step for (_, step), new in TRANSITIONS.items() if CaseState.CLOSED in new}
    assert closing == {Step.APPROVE, Step.CLOSE}
    assert {state for state, step in TRANSITIONS if step is Step.APPROVE} == {CaseState.AWAITING_APPROVAL}
    assert (CaseState.AWAITING_APPROVAL, Step.CLOSE) not in TRANSITIONS


def test_transitions__only_a_rejected_proposal_has_a_choice() -> None:
    assert {step for (_, step), new in TRANSITIONS.items() if len(new) != 1} == {Step.REJECT_PROPOSAL}


def test_outcomes__of_aml_are_those_of_the_gate_and_letting_pass_needs_four_eyes() -> None:
    assert OUTCOMES[CaseKind.AML] == {Decision.RELEASED, Decision.REJECTED}
    assert set(OUTCOMES) == set(CaseKind)
    assert {(CaseKind.AML, "released"), (CaseKind.SCREENING, "cleared")} == FOUR_EYES
    assert all(outcome in OUTCOMES[kind] for kind, outcome in FOUR_EYES)


@pytest.mark.parametrize(
    ("at", "closed_at", "breached"),
    [
        (AT, None, False),
        (AT + timedelta(microseconds=1), None, True),
        (AT + timedelta(days=9), AT, False),
        (AT - timedelta(days=9), AT + timedelta(seconds=1), True),
    ],
)
def test_is_breached__counts_to_the_end_or_to_now(at: datetime, closed_at: datetime | None, breached: bool) -> None:
    assert replace(CASE, closed_at=closed_at).is_breached(at) is breached
