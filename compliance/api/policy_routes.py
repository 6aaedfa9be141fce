"""The versions of the policy: what was decided by, and when it counted."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from compliance.api.access import GUARDS
from compliance.api.dependencies import ServicesDependency, errors
from compliance.api.errors import PolicyNotFoundError
from compliance.api.schemas import Shown, UtcTime
from compliance.policy.book import PolicyBook
from compliance.policy.model import Policy

router = APIRouter(prefix="/v1/compliance/policies", tags=["compliance"], dependencies=GUARDS)
VersionPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="version of a policy")]


class PolicySummary(Shown):
    """One version of the policy."""

    version: str
    name: str
    effective_from: UtcTime
    is_current: bool
    changes: str = Field(description="what differs from the version before")
    countries_as_of: date
    content_hash: str = Field(description="SHA-256 of the file")


class PolicyList(Shown):
    """All versions, newest first."""

    policies: list[PolicySummary]


class PolicyView(PolicySummary):
    """One version with all that it says."""

    document: dict[str, Any] = Field(description="the policy with every parameter, amounts as strings")
    content: str = Field(description="the file as it was recorded")


@router.get("")
def list_policies(services: ServicesDependency) -> PolicyList:
    """Every version of the policy, newest first, and which one counts now; none may count."""
    book = services.policies
    current = _current(book, services)
    return PolicyList(policies=[PolicySummary(**_summary(book, each, current)) for each in reversed(book.policies)])


@router.get("/{version}", responses=errors(s404=PolicyNotFoundError.code))
def get_policy(services: ServicesDependency, version: VersionPath) -> PolicyView:
    """One version with all its limits, lists and rules."""
    book = services.policies
    policy = next((each for each in book.policies if each.version == version), None)
    if policy is None:
        raise PolicyNotFoundError(f"There is no policy {version}; /v1/compliance/policies lists them.")
    return PolicyView(
        **_summary(book, policy, _current(book, services)),
        document=policy.model_dump(mode="json"),
        content=book.content(version),
    )


def _current(book: PolicyBook, services: ServicesDependency) -> str | None:
    now = services.clock.now()
    return next((each.version for each in reversed(book.policies) if each.effective_from <= now), None)


def _summary(book: PolicyBook, policy: Policy, current: str | None) -> dict[str, Any]:
    return {
        "version": policy.version,
        "name": policy.name,
        "effective_from": policy.effective_from,
        "is_current": policy.version == current,
        "changes": policy.changes,
        "countries_as_of": policy.countries.as_of,
        "content_hash": book.content_hashes()[policy.version],
    }
