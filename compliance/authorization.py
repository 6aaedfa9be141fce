"""Who may do what: one matrix of actions and roles, which every route and every change of a case asks.

An officer decides; an analyst prepares; an administrator keeps policies, lists and keys and decides no case; an auditor
reads everything and changes nothing. A program (`service`, such as the escrow) submits what is to be judged and is told
the decision, and sees nothing else. The system itself has no role and may do nothing that is asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from compliance.errors import ForbiddenError
from compliance.model import Actor, Role


class Action(StrEnum):
    """What somebody may want to do; names of routes do not matter here."""

    READ_QUEUE = "read_queue"
    READ_METRICS = "read_metrics"
    READ_POLICIES = "read_policies"
    READ_LISTS = "read_lists"
    READ_REPLAYS = "read_replays"
    READ_CASE = "read_case"
    READ_KYC = "read_kyc"
    READ_SAR_DRAFT = "read_sar_draft"
    READ_PERSONAL_DATA = "read_personal_data"
    READ_LEDGER = "read_ledger"

    START_KYC = "start_kyc"
    SUBMIT_TRANSACTION = "submit_transaction"
    SEARCH_LISTS = "search_lists"

    ASSIGN = "assign"
    COMMENT = "comment"
    PROPOSE = "propose"
    ESCALATE = "escalate"

    APPROVE = "approve"
    REJECT_PROPOSAL = "reject_proposal"
    CLOSE = "close"
    DECIDE_KYC = "decide_kyc"
    RELEASE = "release"
    CLEAR_HIT = "clear_hit"

    MANAGE_POLICIES = "manage_policies"
    MANAGE_LISTS = "manage_lists"
    MANAGE_KEYS = "manage_keys"


_PEOPLE = frozenset(Role) - {Role.SERVICE}
_READERS = frozenset({Role.ANALYST, Role.OFFICER, Role.AUDITOR})
_WORKERS = frozenset({Role.ANALYST, Role.OFFICER})
_OFFICER = frozenset({Role.OFFICER})
_ADMIN = frozenset({Role.ADMIN})

MATRIX: Mapping[Action, frozenset[Role]] = {
    Action.READ_QUEUE: _PEOPLE,
    Action.READ_METRICS: _PEOPLE,
    Action.READ_POLICIES: _PEOPLE,
    Action.READ_LISTS: _PEOPLE,
    # A replay changes nothing; it is read, however long that takes.
    Action.READ_REPLAYS: _PEOPLE - {Role.VIEWER},
    Action.READ_CASE: _READERS,
    Action.READ_KYC: _READERS,
    Action.READ_SAR_DRAFT: _READERS,
    Action.READ_PERSONAL_DATA: frozenset({Role.OFFICER, Role.AUDITOR}),
    Action.READ_LEDGER: frozenset({Role.AUDITOR}),
    Action.START_KYC: _WORKERS,
    Action.SUBMIT_TRANSACTION: _WORKERS | {Role.SERVICE},
    Action.SEARCH_LISTS: _WORKERS,
    Action.ASSIGN: _WORKERS,
    Action.COMMENT: _WORKERS,
    Action.PROPOSE: _WORKERS,
    Action.ESCALATE: _WORKERS,
    Action.APPROVE: _OFFICER,
    Action.REJECT_PROPOSAL: _OFFICER,
    Action.CLOSE: _OFFICER,
    Action.DECIDE_KYC: _OFFICER,
    Action.RELEASE: _OFFICER,
    Action.CLEAR_HIT: _OFFICER,
    Action.MANAGE_POLICIES: _ADMIN,
    Action.MANAGE_LISTS: _ADMIN,
    Action.MANAGE_KEYS: _ADMIN,
}


def is_allowed(role: Role | None, action: Action) -> bool:
    """Whether the role may do it; no role may do nothing, and an action without a row is nobody's."""
    return role is not None and role in MATRIX.get(action, frozenset())


def require(actor: Actor, action: Action) -> None:
    """Let the actor pass; raises `ForbiddenError` that names the role and the roles that may."""
    if not is_allowed(actor.role, action):
        allowed = ", ".join(sorted(MATRIX.get(action, frozenset()))) or "nobody"
        raise ForbiddenError(f"Who has the role {actor.role or 'none'} may not {action}: {allowed} may.")
