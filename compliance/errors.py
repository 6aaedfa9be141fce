"""Errors of compliance."""

from __future__ import annotations

from infra.runtime.errors import BallastError


class ComplianceError(BallastError):
    """Something could not be verified, screened, judged or decided."""

    code = "compliance_failed"


class ComplianceNotReadyError(ComplianceError):
    """No policy or no list is loaded, so that nothing can be judged (HTTP 503)."""

    code = "compliance_not_ready"


class ComplianceInputError(ComplianceError):
    """A request contradicts itself or names what does not exist (HTTP 422)."""

    code = "compliance_input_invalid"


class CaseNotFoundError(ComplianceError):
    """There is no case of that id (HTTP 404)."""

    code = "case_not_found"


class CaseConflictError(ComplianceError):
    """The case is in another state, or somebody changed it meanwhile (HTTP 409)."""

    code = "case_conflict"


class ForbiddenError(ComplianceError):
    """The role may not do this (HTTP 403)."""

    code = "forbidden"


class PolicyInvalidError(ComplianceError):
    """A policy file cannot be used; the message says where and why."""

    code = "policy_invalid"


class ListRefusedError(ComplianceError):
    """A list file is empty, damaged or has shrunk; the version before stays active."""

    code = "list_refused"


class ChainBrokenError(ComplianceError):
    """The record of events or decisions does not follow from itself."""

    code = "chain_broken"
