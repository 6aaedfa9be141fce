"""Every action with every role, against a table that is written by hand and not derived from the code."""

from __future__ import annotations

import itertools

import pytest

from compliance.authorization import MATRIX, Action, is_allowed, require
from compliance.errors import ForbiddenError
from compliance.model import SYSTEM, Actor, Role

# v viewer, a analyst, o officer, d admin, u auditor, s service.
ALLOWED = {
    "read_queue": "vaodu",
    "read_metrics": "vaodu",
    "read_policies": "vaodu",
    "read_lists": "vaodu",
    "read_replays": "aodu",
    "read_case": "aou",
    "read_kyc": "aou",
    "read_sar_draft": "aou",
    "read_personal_data": "ou",
    "read_ledger": "u",
    "start_kyc": "ao",
    "submit_transaction": "aos",
    "search_lists": "ao",
    "assign": "ao",
    "comment": "ao",
    "propose": "ao",
    "escalate": "ao",
    "approve": "o",
    "reject_proposal": "o",
    "close": "o",
    "decide_kyc": "o",
    "release": "o",
    "clear_hit": "o",
    "manage_policies": "d",
    "manage_lists": "d",
    "manage_keys": "d",
}
LETTERS = {
    Role.VIEWER: "v",
    Role.ANALYST: "a",
    Role.OFFICER: "o",
    Role.ADMIN: "d",
    Role.AUDITOR: "u",
    Role.SERVICE: "s",
}
READS = {action for action in Action if action.value.startswith("read_")}
DECIDES = {Action.APPROVE, Action.REJECT_PROPOSAL, Action.CLOSE, Action.DECIDE_KYC, Action.RELEASE, Action.CLEAR_HIT}


def test_matrix__has_a_row_for_each_action_and_a_letter_for_each_role() -> None:
    assert {action.value for action in Action} == set(ALLOWED) == {action.value for action in MATRIX}
    assert set(LETTERS) == set(Role)


@pytest.mark.parametrize(("action", "role"), list(itertools.product(Action, Role)))
def test_require__lets_exactly_the_roles_of_the_table_pass(action: Action, role: Role) -> None:
    expected = LETTERS[role] in ALLOWED[action]
    assert is_allowed(role, action) is expected
    if expected:
        require(Actor("p", role), action)
    else:
        with pytest.raises(ForbiddenError, match=f"role {role} may not {action}"):
            require(Actor("p", role), action)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("actor", [SYSTEM, Actor("officer")])
def test_require__refuses_whoever_has_no_role(actor: Actor, action: Action) -> None:
    with pytest.raises(ForbiddenError, match="role none"):
        require(actor, action)


def test_matrix__auditors_only_read_and_administrators_decide_nothing() -> None:
    assert {action for action in Action if is_allowed(Role.AUDITOR, action)} == READS
    assert not {action for action in DECIDES if any(is_allowed(role, action) for role in Role if role != Role.OFFICER)}
