"""The addresses that Persona and Sumsub call; a signature over the raw body stands in place of a token.

What is answered 2xx is durable; what is not (the database away) is sent again by the provider.
"""

from __future__ import annotations

from fastapi import APIRouter, Request

from compliance.api.dependencies import RawBody, ServicesDependency, errors
from compliance.api.services import Services
from compliance.errors import ComplianceError
from infra.runtime.logs import get_logger

_log = get_logger(__name__)
router = APIRouter(prefix="/v1/compliance/webhooks", tags=["compliance"])
_RESPONSES = errors(
    s400="webhook_invalid", s403="webhook_refused", s413="body_too_large", s503="webhook_not_configured, not_ready"
)
_JSON_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "additionalProperties": True}}},
    }
}


@router.post("/persona", status_code=204, responses=_RESPONSES, openapi_extra=_JSON_BODY)
def report_persona_event(request: Request, services: ServicesDependency, body: RawBody) -> None:
    """Persona's webhook, proven by `Persona-Signature` over its time and the raw body, at most 300 s old."""
    _apply(services, "persona", request, body)


@router.post("/sumsub", status_code=204, responses=_RESPONSES, openapi_extra=_JSON_BODY)
def report_sumsub_event(request: Request, services: ServicesDependency, body: RawBody) -> None:
    """Sumsub's webhook, proven by `X-Payload-Digest` over the raw body."""
    _apply(services, "sumsub", request, body)


def _apply(services: Services, provider: str, request: Request, body: bytes) -> None:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        # A header that comes twice is joined, so that neither of two signatures passes for the only one.
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    try:
        applied = services.kyc.apply_webhook(provider, headers, body)
    except ComplianceError as error:
        _log.warning("kyc_webhook_not_taken", provider=provider, code=error.code, reason=error.message)
        raise
    _log.info("kyc_webhook_applied", provider=provider, is_new=applied.is_new, kyc_case_id=applied.kyc_case_id)
