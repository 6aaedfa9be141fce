"""The numbers of compliance for a dashboard."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter

from compliance.api.access import GUARDS
from compliance.api.dependencies import ServicesDependency
from compliance.api.metrics import PROVIDERS_WINDOW, WINDOW, metrics_view
from compliance.api.metrics_schemas import MetricsView, PolicyState
from compliance.api.metrics_store import read_metrics
from compliance.api.services import Services
from compliance.errors import ComplianceNotReadyError
from compliance.policy.model import Policy
from compliance.policy.overdue import overdue_countries

router = APIRouter(prefix="/v1/compliance", tags=["compliance"], dependencies=GUARDS)


@router.get("/compliance-metrics")
def get_compliance_metrics(services: ServicesDependency) -> MetricsView:
    """Funnel of KYC, open cases, breached deadlines, undecided transactions, lists, policy and providers, as of now.

    It answers also where nothing can be judged, and says why.
    """
    now = services.clock.now()
    policy, reason = _policy(services)
    target_s = float(policy.kyc.decide_within_s) if policy is not None else None
    with services.engine.connect() as connection:
        # Without a policy there is no target, so that nothing is within it.
        found = read_metrics(connection, now, now - WINDOW, now - PROVIDERS_WINDOW, target_s or 0.0)
    if reason is None and not any(row["list_version_id"] for row in found["lists"]):
        reason = "no list is active; load one with `ballast compliance load-list`"
    return metrics_view(
        found,
        now,
        policy=_state(policy, now.date()) if policy is not None else None,
        target_s=target_s,
        not_ready_reason=reason,
        provider_names=policy.kyc.provider_order if policy is not None else (),
    )


def _policy(services: Services) -> tuple[Policy | None, str | None]:
    try:
        return services.policies.current(services.clock.now()), None
    except ComplianceNotReadyError as error:
        return None, error.message


def _state(policy: Policy, today: date) -> PolicyState:
    return PolicyState(
        version=policy.version,
        name=policy.name,
        effective_from=policy.effective_from,
        countries_as_of=policy.countries.as_of,
        countries_age_days=(today - policy.countries.as_of).days,
        countries_overdue=overdue_countries(policy, today),
    )
