"""The local providers as one web application: both contracts, the customer's page, and control."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import format_datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Form, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from infra.embedded.access import bearer_of, matches
from infra.embedded.kyc import persona, sumsub
from infra.embedded.kyc.courier import Courier
from infra.embedded.kyc.database import Database, Failure, Subject
from infra.embedded.kyc.frame import Operation, serve
from infra.embedded.kyc.page import OUTCOMES, done_page, verify_page
from infra.embedded.kyc.persona import Persona
from infra.embedded.kyc.sumsub import Sumsub
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings

# How long the providers seem to look at what a customer handed in.
DECISION_AFTER_S = 2.0


class FailureRequest(BaseModel):
    """Failure on command: the next `count` requests of an operation get `status`, or their answer `delay_s` late.

    Operations: create, read, find, link, token, webhook (not delivered). `reset_s`: what a 429 says of the wait.
    """

    model_config = ConfigDict(extra="forbid")

    provider: Literal["persona", "sumsub"]
    operation: Literal["create", "read", "find", "link", "token", "webhook"]
    status: int | None = Field(default=None, ge=300, le=599)
    count: int = Field(default=1, ge=0, le=100_000)
    delay_s: float = Field(default=0.0, ge=0, le=300)
    reset_s: int | None = Field(default=None, ge=0, le=86_400)


class StepRequest(BaseModel):
    """What becomes of an inquiry (`status`) or an applicant (`review`), `after_s` from now."""

    model_config = ConfigDict(extra="forbid")

    status: str | None = Field(default=None, min_length=1, max_length=64)
    review: dict[str, Any] | None = None
    after_s: float = Field(default=0.0, ge=0, le=86_400)


def create_app(settings: Settings, database: Database, clock: Clock, *, reports: bool = True) -> FastAPI:
    """Both providers on `database`, which they close at their end.

    Webhooks go to the API of the settings; without `reports` they stay in the queue.
    """
    courier = Courier(settings, database, clock, settings.api_url)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(courier.run()) if reports else None
        yield
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        database.close()

    app = FastAPI(title="Ballast KYC providers", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @app.middleware("http")
    async def date(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["date"] = format_datetime(clock.now(), usegmt=True)
        return response

    @app.get("/healthz")
    def get_health() -> dict[str, str]:
        database.requests()
        return {"status": "ok"}

    one, other = Persona(settings, database, clock), Sumsub(settings, database, clock)
    _add_persona(app, database, one)
    _add_sumsub(app, database, other)
    _add_page(app, database, clock, one, other)
    _add_control(app, settings, database, clock, one, other)
    return app


def _add_persona(app: FastAPI, database: Database, provider: Persona) -> None:
    create = Operation(persona.NAME, "create", provider.create, persona.error)
    find = Operation(persona.NAME, "find", provider.find, persona.error)
    read = Operation(persona.NAME, "read", provider.read, persona.error)
    link = Operation(persona.NAME, "link", provider.link, persona.error)

    @app.post("/api/v1/inquiries")
    async def post_inquiry(request: Request) -> Response:
        return await serve(create, database, request)

    @app.get("/api/v1/inquiries")
    async def get_inquiries(request: Request) -> Response:
        return await serve(find, database, request)

    @app.get("/api/v1/inquiries/{inquiry_id}")
    async def get_inquiry(request: Request, inquiry_id: str) -> Response:
        return await serve(read, database, request, inquiry_id)

    @app.post("/api/v1/inquiries/{inquiry_id}/generate-one-time-link")
    async def post_link(request: Request, inquiry_id: str) -> Response:
        return await serve(link, database, request, inquiry_id)


def _add_sumsub(app: FastAPI, database: Database, provider: Sumsub) -> None:
    create = Operation(sumsub.NAME, "create", provider.create, sumsub.error)
    find = Operation(sumsub.NAME, "find", provider.find, sumsub.error)
    read = Operation(sumsub.NAME, "read", provider.status, sumsub.error)
    token = Operation(sumsub.NAME, "token", provider.token, sumsub.error)

    @app.post("/resources/applicants")
    async def post_applicant(request: Request) -> Response:
        return await serve(create, database, request)

    @app.get("/resources/applicants/-;externalUserId={own_id}/one")
    async def get_applicant(request: Request, own_id: str) -> Response:
        return await serve(find, database, request, own_id)

    @app.get("/resources/applicants/{applicant_id}/status")
    async def get_status(request: Request, applicant_id: str) -> Response:
        return await serve(read, database, request, applicant_id)

    @app.post("/resources/accessTokens/sdk")
    async def post_token(request: Request) -> Response:
        return await serve(token, database, request)


def _add_page(app: FastAPI, database: Database, clock: Clock, one: Persona, other: Sumsub) -> None:
    """What a customer sees in place of the provider's own page: how it shall end is chosen there."""

    @app.get("/verify/{provider}/{subject_id}")
    def get_page(provider: Literal["persona", "sumsub"], subject_id: str, code: str | None = None) -> HTMLResponse:
        _subject(database, provider, subject_id)
        if code is not None and not database.use_code(subject_id, code):
            raise HTTPException(410, "This link was used, or was never given out; ask for a new one.")
        return verify_page(provider)

    @app.post("/verify/{provider}/{subject_id}")
    def post_page(
        provider: Literal["persona", "sumsub"], subject_id: str, outcome: Annotated[str, Form()]
    ) -> HTMLResponse:
        subject = _subject(database, provider, subject_id)
        if outcome not in OUTCOMES:
            raise HTTPException(422, f"Choose one of {', '.join(OUTCOMES)}.")
        status, review = OUTCOMES[outcome]
        now = clock.now().timestamp()
        if provider == persona.NAME:
            one.advance(subject, "completed", now)
            one.advance(subject, status, now + DECISION_AFTER_S)
        else:
            other.advance(subject, {"reviewStatus": "pending"}, now)
            other.advance(subject, review, now + DECISION_AFTER_S)
        return done_page()


def _add_control(
    app: FastAPI, settings: Settings, database: Database, clock: Clock, one: Persona, other: Sumsub
) -> None:
    """Commands for tests, chaos and the demo; who has a provider's credential may give them."""

    def require(request: Request) -> None:
        given = bearer_of(request.headers.get("authorization", ""))
        keys: tuple[SecretStr | None, ...] = (settings.persona_api_key, settings.sumsub_app_token)
        if not any([matches(given, key) for key in keys]):  # noqa: C419 - in constant time
            raise HTTPException(401, "A provider's credential is needed.")

    @app.put("/control/failures")
    def put_failure(request: Request, wanted: FailureRequest) -> dict[str, str]:
        require(request)
        failure = Failure(wanted.status, wanted.delay_s, wanted.reset_s)
        database.fail(wanted.provider, wanted.operation, failure, wanted.count)
        return {"status": "ok"}

    @app.post("/control/{provider}/{subject_id}/steps")
    def post_step(
        request: Request, provider: Literal["persona", "sumsub"], subject_id: str, wanted: StepRequest
    ) -> dict[str, Any]:
        require(request)
        subject = _subject(database, provider, subject_id)
        at = clock.now().timestamp() + wanted.after_s
        if provider == persona.NAME and wanted.status is not None:
            step = one.advance(subject, wanted.status, at)
            return {"event": one.event(subject, step)}
        if provider == sumsub.NAME and wanted.review is not None:
            step = other.advance(subject, wanted.review, at)
            return {"event": other.event(subject, step)}
        raise HTTPException(422, "Persona needs a status, Sumsub a review.")

    @app.get("/control/state")
    def get_state(request: Request) -> dict[str, Any]:
        require(request)
        subjects = {
            name: [{"id": each.subject_id, "own_id": each.own_id} for each in database.subjects(name)]
            for name in (persona.NAME, sumsub.NAME)
        }
        return {"requests": database.requests(), "subjects": subjects}


def _subject(database: Database, provider: str, subject_id: str) -> Subject:
    subject = database.subject(provider, subject_id)
    if subject is None:
        raise HTTPException(404, "There is no such inquiry or applicant.")
    return subject
