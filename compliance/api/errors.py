"""What only the routes of compliance refuse."""

from __future__ import annotations

from compliance.errors import ComplianceError


class SettlementBlockedError(ComplianceError):
    """A settlement must not happen: a rule or a list blocks it, or officers rejected it (HTTP 409)."""

    code = "settlement_blocked"

    def __init__(self, message: str, case_id: str | None) -> None:
        super().__init__(message)
        self.case_id = case_id


class HitNotFoundError(ComplianceError):
    """There is no screening hit of that id (HTTP 404)."""

    code = "screening_hit_not_found"


class PolicyNotFoundError(ComplianceError):
    """No policy of that version was ever recorded (HTTP 404)."""

    code = "policy_not_found"


class ReplayNotFoundError(ComplianceError):
    """There is no replay of that id, or no longer (HTTP 404)."""

    code = "replay_not_found"


class ReplayBusyError(ComplianceError):
    """A replay runs already (HTTP 409)."""

    code = "replay_busy"
