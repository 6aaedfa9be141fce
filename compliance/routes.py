"""All routers of compliance that the API mounts: those of people, and the webhooks, which carry their own proof.

Services and prices come from `app.state` (`compliance`, `compliance_prices`), who asks from the request's scope.
"""

from __future__ import annotations

from fastapi import APIRouter

from compliance.api.aml_routes import router as aml_router
from compliance.api.case_routes import router as case_router
from compliance.api.evidence_routes import router as evidence_router
from compliance.api.kyc_routes import router as kyc_router
from compliance.api.list_routes import router as list_router
from compliance.api.metrics_routes import router as metrics_router
from compliance.api.policy_routes import router as policy_router
from compliance.api.replay_routes import router as replay_router
from compliance.api.sar_routes import router as sar_router
from compliance.api.screening_routes import router as screening_router
from compliance.api.settlement_routes import router as settlement_router
from compliance.api.webhook_routes import router as webhooks_router

router = APIRouter()
for each in (
    kyc_router,
    settlement_router,
    metrics_router,
    screening_router,
    case_router,
    evidence_router,
    sar_router,
    policy_router,
    replay_router,
    list_router,
    aml_router,
):
    router.include_router(each)

__all__ = ["router", "webhooks_router"]
