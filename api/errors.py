"""The one place where an error becomes an HTTP status: rules by stable code, handlers, and their documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from traceback import extract_tb
from typing import Any

import requests
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from google.api_core.exceptions import NotFound
from pydantic import BaseModel, Field
from sqlalchemy import exc as sql
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Scope

from alerting.errors import (
    AddressRefusedError,
    CallbackInvalidError,
    CallbackNotConfiguredError,
    CallbackRefusedError,
    ContactConflictError,
    ContactNotFoundError,
    NotificationNotFoundError,
    PreferencesInvalidError,
    SilenceInvalidError,
    SilenceNotFoundError,
    TeamUnknownError,
    ThresholdsInvalidError,
    TrialLimitError,
    VerificationCodeError,
    VerificationEndedError,
    VerificationLimitError,
)
from assets.risk.engine.errors import RiskInputError
from compliance.aml.errors import TransactionConflictError, TransactionUnknownError
from compliance.api import errors as routes
from compliance.errors import (
    CaseConflictError,
    CaseNotFoundError,
    ComplianceInputError,
    ComplianceNotReadyError,
    ForbiddenError,
    PolicyInvalidError,
)
from compliance.kyc.errors import WebhookInvalidError, WebhookNotConfiguredError, WebhookRefusedError
from infra.runtime import sealing
from infra.runtime.cursors import CursorInvalidError
from infra.runtime.errors import AppendError, BallastError, NotReadyError, SettingsError, WarehouseError
from infra.runtime.logs import get_logger
from ingest.errors import AssetUnknownError, FeedTableError

REQUEST_ID_KEY = "ballast.request_id"
MAX_VALIDATION_REASONS = 5
MAX_NAME_LENGTH = 80
PERSONAL_PREFIX = "/v1/compliance/"
_RETRY_SOON = {"Retry-After": "5"}
_RETRY_LATER = {"Retry-After": "30"}
# What the clients let through when their server is away.
_AWAY = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    sql.OperationalError,
    sql.InterfaceError,
    sql.TimeoutError,
)
_log = get_logger(__name__)


class ApiError(BallastError):
    """The API refuses a request."""

    code = "api_failed"


class TokenMissingError(ApiError):
    """The request carries no usable bearer token."""

    code = "token_missing"


class TokenInvalidError(ApiError):
    """The request's bearer token is not the API's."""

    code = "token_invalid"


class TokenNotConfiguredError(ApiError):
    """The API was started without a token, so nobody can be let in."""

    code = "token_not_configured"


class AccountUnknownError(ApiError):
    """No position was ever settled for the account."""

    code = "account_unknown"


class AssetsUnknownError(ApiError):
    """The price set has no closes of assets that the request names."""

    code = "assets_unknown"


class ScenarioUnknownError(ApiError):
    """No stress scenario of the last build has that id, or the book has no account."""

    code = "scenario_unknown"


class MartsNotBuiltError(ApiError):
    """A mart that the read needs has not been built yet."""

    code = "marts_not_built"


class StreamOriginError(ApiError):
    """A page of another host wants to open the stream."""

    code = "origin_refused"


class StreamsFullError(ApiError):
    """As many streams are open as the API serves."""

    code = "streams_full"


class RequestTimeoutError(ApiError):
    """The answer took longer than a request may last."""

    code = "request_timeout"


class InternalError(ApiError):
    """A fault of the API itself; the log tells it, never the response."""

    code = "internal_error"


@dataclass(frozen=True)
class Rule:
    """How one error code is answered; without `message` the error's own words are shown."""

    status: int
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


RULES: Mapping[str, Rule] = {
    TokenMissingError.code: Rule(401, headers={"WWW-Authenticate": 'Bearer realm="ballast"'}),
    TokenInvalidError.code: Rule(401, headers={"WWW-Authenticate": 'Bearer realm="ballast", error="invalid_token"'}),
    TokenNotConfiguredError.code: Rule(503),
    AccountUnknownError.code: Rule(404),
    ScenarioUnknownError.code: Rule(404),
    NotificationNotFoundError.code: Rule(404),
    AssetUnknownError.code: Rule(404),
    FeedTableError.code: Rule(
        503,
        "The feed table cannot be used; the API's log tells why. Mend the file of BALLAST_PRICE_FEEDS.",
        _RETRY_LATER,
    ),
    TeamUnknownError.code: Rule(404),
    ContactNotFoundError.code: Rule(404),
    SilenceNotFoundError.code: Rule(404),
    ContactConflictError.code: Rule(409),
    VerificationEndedError.code: Rule(410),
    CursorInvalidError.code: Rule(422),
    ThresholdsInvalidError.code: Rule(422),
    PreferencesInvalidError.code: Rule(422),
    AddressRefusedError.code: Rule(422),
    VerificationCodeError.code: Rule(422),
    SilenceInvalidError.code: Rule(422),
    VerificationLimitError.code: Rule(429, headers={"Retry-After": "3600"}),
    TrialLimitError.code: Rule(429, headers={"Retry-After": "60"}),
    CallbackInvalidError.code: Rule(400),
    CallbackRefusedError.code: Rule(403),
    CallbackNotConfiguredError.code: Rule(503, headers=_RETRY_LATER),
    ComplianceNotReadyError.code: Rule(503, headers=_RETRY_LATER),
    ComplianceInputError.code: Rule(422),
    ForbiddenError.code: Rule(403),
    CaseNotFoundError.code: Rule(404),
    CaseConflictError.code: Rule(409),
    TransactionUnknownError.code: Rule(404),
    routes.HitNotFoundError.code: Rule(404),
    routes.PolicyNotFoundError.code: Rule(404),
    routes.ReplayNotFoundError.code: Rule(404),
    routes.ReplayBusyError.code: Rule(409),
    PolicyInvalidError.code: Rule(422),
    TransactionConflictError.code: Rule(409),
    routes.SettlementBlockedError.code: Rule(409),
    WebhookInvalidError.code: Rule(400),
    WebhookRefusedError.code: Rule(403),
    WebhookNotConfiguredError.code: Rule(503, headers=_RETRY_LATER),
    AssetsUnknownError.code: Rule(422),
    RiskInputError.code: Rule(422),
    MartsNotBuiltError.code: Rule(
        503, "A mart that this read needs is not built yet; try again when the first build has ended.", _RETRY_LATER
    ),
    NotReadyError.code: Rule(
        503, "A server that this read needs does not answer; see /readyz and try again.", _RETRY_SOON
    ),
    WarehouseError.code: Rule(502, "The warehouse refused a read; look up the request id in the API's log."),
    AppendError.code: Rule(502, "The warehouse refused rows; look up the request id in the API's log."),
    StreamOriginError.code: Rule(403),
    StreamsFullError.code: Rule(503, headers=_RETRY_SOON),
    RequestTimeoutError.code: Rule(504, headers=_RETRY_SOON),
    InternalError.code: Rule(500, "The API failed; look up the request id in its log."),
    "request_invalid": Rule(422),
    "body_unreadable": Rule(400),
}
_HTTP_CODES: Mapping[int, tuple[str, str]] = {
    400: ("body_unreadable", "The request body cannot be read; send JSON in UTF-8."),
    404: ("not_found", "There is no such address; /openapi.json lists them."),
    405: ("method_not_allowed", "This address does not take that method; /openapi.json lists them."),
    413: ("body_too_large", "The request body is too large."),
}


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(description="stable, for programs", examples=["account_unknown"])
    message: str = Field(description="what was wrong and what to do, for people")
    request_id: str = Field(description="also in the header X-Request-ID; finds the request in the log")
    case_id: str | None = Field(default=None, description="where an officer decides; only for a blocked settlement")


class ErrorBody(BaseModel):
    """The body of every response with a status of 400 or above."""

    error: ErrorDetail


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for these error codes, by status."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(RULES[code].status, []).append(code)
    return {
        status: {"model": ErrorBody, "description": "Error codes: " + ", ".join(f"`{code}`" for code in found) + "."}
        for status, found in by_status.items()
    }


def error_response(scope: Scope, error: Exception) -> JSONResponse:
    """The response to `error`; a server fault is logged with its cause and answered without it."""
    if isinstance(error, HTTPException) and error.status_code < 500:
        code, message = _HTTP_CODES.get(error.status_code, (f"http_{error.status_code}", str(error.detail)))
        return _response(scope, error.status_code, code, message, error.headers or {})
    known = as_ballast_error(error)
    if isinstance(known, SettingsError | sealing.UnsealError) and _is_personal(scope):
        _log.error("key_ring_unusable", code=known.code, reason=known.message)
        known = ComplianceNotReadyError("Personal data cannot be sealed or opened now; the API's log tells why.")
    rule = RULES.get(known.code)
    if rule is None:
        known = InternalError(known.message)
        rule = RULES[InternalError.code]
    if rule.status in (500, 502):
        _log_failure(scope, known, error)
    elif rule.status > 502:
        _log.warning("request_not_served", code=known.code, reason=known.message)
    case_id = known.case_id if isinstance(known, routes.SettlementBlockedError) else None
    return _response(scope, rule.status, known.code, rule.message or known.message, rule.headers, case_id)


def _log_failure(scope: Scope, known: BallastError, error: Exception) -> None:
    if not _is_personal(scope):
        _log.error("request_failed", code=known.code, reason=known.message, exc_info=error)
        return
    # What a library says of a failure may quote what it was given, which is of persons here.
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)]
    _log.error("request_failed", code=known.code, reason=type(error).__name__, frames=frames)


def _is_personal(scope: Scope) -> bool:
    return str(scope.get("path", "")).startswith(PERSONAL_PREFIX)


def as_ballast_error(error: Exception) -> BallastError:
    """`error` as one of ours: servers that are away become `not_ready`, absent tables `marts_not_built`."""
    if isinstance(error, WarehouseError) and isinstance(error.__cause__, NotFound):
        return MartsNotBuiltError(error.message)
    if isinstance(error, BallastError):
        return error
    if isinstance(error, _AWAY):
        return NotReadyError(str(error))
    return InternalError(f"{type(error).__name__}: {error}")


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of routing, validation and of our own in one shape."""
    for kind in (BallastError, HTTPException, *_AWAY):
        app.add_exception_handler(kind, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    return error_response(request.scope, error)


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Name each field and its rule; the value itself is not repeated, for it may be a secret."""
    assert isinstance(error, RequestValidationError)
    reasons = [f"{_place(e['loc'])}: {e['msg']}" for e in error.errors()[:MAX_VALIDATION_REASONS]]
    return _response(request.scope, 422, "request_invalid", "; ".join(reasons), {})


def _place(location: Sequence[object]) -> str:
    """Where in the request; a name is the caller's own where the field is unknown, so that it is cut and cleaned."""
    names = [str(part)[:MAX_NAME_LENGTH] for part in location]
    return ".".join(names).encode("utf-8", "backslashreplace").decode()


def _response(
    scope: Scope, status: int, code: str, message: str, headers: Mapping[str, str], case_id: str | None = None
) -> JSONResponse:
    detail = ErrorDetail(code=code, message=message, request_id=scope.get(REQUEST_ID_KEY, ""), case_id=case_id)
    return JSONResponse(ErrorBody(error=detail).model_dump(exclude_none=True), status, dict(headers))
