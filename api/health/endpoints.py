"""The open addresses: liveness and readiness."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies import get_readiness
from api.health.schemas import Liveness, Readiness
from api.health.service import ReadinessChecks

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def liveness() -> Liveness:
    """Whether the process lives; it asks no other server."""
    return Liveness()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "A part is down."}})
async def readiness(response: Response, checks: Annotated[ReadinessChecks, Depends(get_readiness)]) -> Readiness:
    """Whether the API can serve: token, BigQuery and PostgreSQL, checked now. Workers are told beside."""
    found = await checks.check()
    if found.status != "ready":
        response.status_code = 503
        response.headers["Retry-After"] = "5"
    return found
