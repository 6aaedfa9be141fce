"""The versions of the policy: what was decided by, when it counted, and what differs between two."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from compliance.api.access import GUARDS
from compliance.api.dependencies import ServicesDependency, errors
from compliance.api.errors import PolicyNotFoundError
from compliance.api.policy_schemas import (
    DifferenceView,
    PolicyDifferences,
    PolicyList,
    PolicySummary,
    PolicyView,
    country_names,
    rule_views,
)
from compliance.policy.book import PolicyBook
from compliance.policy.differences import differences
from compliance.policy.model import Policy
from compliance.policy.overdue import overdue_countries

router = APIRouter(prefix="/v1/compliance/policies", tags=["compliance"], dependencies=GUARDS)
_VERSION = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
VersionPath = Annotated[str, Path(pattern=_VERSION, description="version of a policy")]
OtherPath = Annotated[str, Path(pattern=_VERSION, description="version that it is compared with")]


@router.get("")
def list_policies(services: ServicesDependency) -> PolicyList:
    """Every version of the policy, newest first, and which one counts now; none may count."""
    book = services.policies
    current = _current(book, services)
    return PolicyList(policies=[PolicySummary(**_summary(book, each, current)) for each in reversed(book.policies)])


@router.get("/{version}", responses=errors(s404=PolicyNotFoundError.code))
def get_policy(services: ServicesDependency, version: VersionPath) -> PolicyView:
    """One version with all its limits, lists and rules."""
    book, today = services.policies, services.clock.now().date()
    policy = policy_named(book, version)
    return PolicyView(
        **_summary(book, policy, _current(book, services)),
        document=policy.model_dump(mode="json"),
        content=book.content(version),
        rules=list(rule_views(policy)),
        country_names=dict(country_names(policy)),
        countries_age_days=(today - policy.countries.as_of).days,
        countries_overdue=overdue_countries(policy, today),
    )


@router.get("/{version}/diff/{other}", responses=errors(s404=PolicyNotFoundError.code))
def compare_policies(services: ServicesDependency, version: VersionPath, other: OtherPath) -> PolicyDifferences:
    """What differs from one version to another, field by field and in words."""
    before, after = policy_named(services.policies, version), policy_named(services.policies, other)
    return PolicyDifferences(
        before=version,
        after=other,
        differences=[DifferenceView.model_validate(each) for each in differences(before, after)],
    )


def policy_named(book: PolicyBook, version: str) -> Policy:
    """The policy of that version; raises `PolicyNotFoundError`."""
    policy = next((each for each in book.policies if each.version == version), None)
    if policy is None:
        raise PolicyNotFoundError(f"There is no policy {version}; /v1/compliance/policies lists them.")
    return policy


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
