"""The addresses that SendGrid and Twilio call; their signatures stand in place of the API's token.

The engine, the clock and the settings come from `app.state` (`postgres_engine`, `clock`, `settings`). What is answered
2xx is durable; what is not (the database away) is sent again by the provider.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from sqlalchemy import Engine

from alerting.callbacks import sendgrid, twilio
from alerting.callbacks.outcomes import Provider
from alerting.callbacks.store import Callback, apply
from alerting.errors import AlertingError, CallbackInvalidError
from infra.runtime.clock import Clock
from infra.runtime.errors import NotReadyError
from infra.runtime.logs import get_logger
from infra.runtime.settings import Settings

MAX_BODY_BYTES = 1_000_000
_log = get_logger(__name__)

router = APIRouter(prefix="/v1/callbacks", tags=["callbacks"])
_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"description": "callback_invalid"},
    403: {"description": "callback_refused"},
    413: {"description": "body_too_large"},
    503: {"description": "callback_not_configured, not_ready"},
}
_EVENTS = {"schema": {"type": "array", "items": {"type": "object", "additionalProperties": True}}}
_FORM = {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}
_EVENTS_BODY = {"requestBody": {"required": True, "content": {"application/json": _EVENTS}}}
_FORM_BODY = {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": _FORM}}}


def get_engine(request: Request) -> Engine:
    """The application's PostgreSQL engine; `NotReadyError` when the application has none."""
    return cast(Engine, _of_state(request, "postgres_engine"))


def get_clock(request: Request) -> Clock:
    """The application's clock; `NotReadyError` when the application has none."""
    return cast(Clock, _of_state(request, "clock"))


def get_settings(request: Request) -> Settings:
    """The application's settings; `NotReadyError` when the application has none."""
    return cast(Settings, _of_state(request, "settings"))


async def raw_body(request: Request) -> bytes:
    """The body as it came, for the signature is over its bytes; 413 above 1 MB, before it is read where it is told."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and (len(told) > len(str(MAX_BODY_BYTES)) or int(told) > MAX_BODY_BYTES):
        raise HTTPException(413)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413)
    return bytes(body)


EngineDependency = Annotated[Engine, Depends(get_engine)]
ClockDependency = Annotated[Clock, Depends(get_clock)]
SettingsDependency = Annotated[Settings, Depends(get_settings)]
RawBody = Annotated[bytes, Depends(raw_body)]


@router.post("/sendgrid", status_code=204, responses=_RESPONSES, openapi_extra=_EVENTS_BODY)
def report_mail_events(
    request: Request, engine: EngineDependency, clock: ClockDependency, settings: SettingsDependency, body: RawBody
) -> None:
    """SendGrid's event webhook: an array of events, signed over timestamp and raw body, at most 300 s old."""
    given, timestamp = _header(request, sendgrid.SIGNATURE_HEADER), _header(request, sendgrid.TIMESTAMP_HEADER)
    try:
        sendgrid.verify(settings.sendgrid_webhook_key, given, timestamp, body, clock.now())
        _expect(request, "application/json")
        callbacks = sendgrid.read(body)
    except AlertingError as error:
        raise _refused(Provider.SENDGRID, error) from None
    _apply(engine, clock, Provider.SENDGRID, callbacks)


@router.post("/twilio", status_code=204, responses=_RESPONSES, openapi_extra=_FORM_BODY)
def report_text_status(
    request: Request,
    engine: EngineDependency,
    clock: ClockDependency,
    settings: SettingsDependency,
    body: RawBody,
    notification_id: Annotated[str | None, Query(description="the notification that the text is for")] = None,
) -> None:
    """Twilio's status callback: a form, signed together with the address that it was sent to."""
    query = request.scope["query_string"].decode("latin-1")
    url = f"{settings.reachable_url}{router.prefix}/twilio" + (f"?{query}" if query else "")
    try:
        form = twilio.parse_form(body)
        twilio.verify(settings.twilio_auth_token, _header(request, twilio.SIGNATURE_HEADER), url, form)
        _expect(request, "application/x-www-form-urlencoded")
        callback = twilio.read(form, notification_id)
    except AlertingError as error:
        raise _refused(Provider.TWILIO, error) from None
    _apply(engine, clock, Provider.TWILIO, [callback])


def _apply(engine: Engine, clock: Clock, provider: Provider, callbacks: list[Callback]) -> None:
    applied = apply(engine, clock, callbacks)
    _log.info(
        "callbacks_applied",
        provider=provider.value,
        received=len(callbacks),
        recorded=applied.recorded,
        changed=applied.changed,
        contacts_disabled=applied.disabled,
    )


def _refused(provider: Provider, error: AlertingError) -> AlertingError:
    _log.warning("callback_not_taken", provider=provider.value, code=error.code, reason=error.message)
    return error


def _header(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    return values[0] if len(values) == 1 else None


def _expect(request: Request, content_type: str) -> None:
    given = (_header(request, "content-type") or "").partition(";")[0].strip().lower()
    if given != content_type:
        raise CallbackInvalidError(f"The content type is not {content_type}.")


def _of_state(request: Request, name: str) -> object:
    found: object = getattr(request.app.state, name, None)
    if found is None:
        raise NotReadyError(f"The API has no {name}; set app.state.{name} when it starts.")
    return found
