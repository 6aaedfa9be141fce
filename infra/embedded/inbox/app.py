"""The inbox as a web application."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from infra.embedded.inbox.access import require_reader
from infra.embedded.inbox.page import render_page
from infra.embedded.inbox.reception import receive
from infra.embedded.inbox.sendgrid import ENDPOINT as SENDGRID
from infra.embedded.inbox.sendgrid import sendgrid_contract
from infra.embedded.inbox.store import Failure, InboxChannel, InboxStore
from infra.embedded.inbox.twilio import ENDPOINT as TWILIO
from infra.embedded.inbox.twilio import twilio_contract
from infra.embedded.inbox.webhooks import webhook_contract
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings

PAGE_MESSAGES = 100
MAX_LIMIT = 5_000

SinceId = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


class FailureRequest(BaseModel):
    """Failure on command: the next `count` requests get `status`; without a status they are accepted `delay_s` late."""

    model_config = ConfigDict(extra="forbid")

    channel: InboxChannel
    status: int | None = Field(default=None, ge=300, le=599)
    count: int = Field(default=1, ge=0, le=100_000)
    delay_s: float = Field(default=0.0, ge=0, le=300)
    retry_after: int | None = Field(default=None, ge=0, le=86_400)


def create_app(settings: Settings, store: InboxStore, clock: Clock) -> FastAPI:
    """The inbox on `store`, which it closes at its end."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(title="Ballast inbox", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    _add_provider_routes(app, settings, store, clock)
    _add_reader_routes(app, settings, store, clock)
    return app


def _add_provider_routes(app: FastAPI, settings: Settings, store: InboxStore, clock: Clock) -> None:
    webhook, sendgrid, twilio = (
        webhook_contract(settings),
        sendgrid_contract(settings),
        twilio_contract(settings, clock),
    )

    @app.post("/webhooks/{name}")
    async def post_webhook(request: Request, name: Annotated[str, Path(pattern=r"^[a-z0-9_-]{1,64}$")]) -> Response:
        return await receive(webhook, store, request, name)

    @app.post("/v3/mail/send")
    async def post_mail(request: Request) -> Response:
        return await receive(sendgrid, store, request, SENDGRID)

    @app.post("/2010-04-01/Accounts/{account_sid}/Messages.json")
    async def post_text(request: Request) -> Response:
        return await receive(twilio, store, request, TWILIO)


def _add_reader_routes(app: FastAPI, settings: Settings, store: InboxStore, clock: Clock) -> None:
    @app.get("/healthz")
    def get_health() -> dict[str, str]:
        store.counts()
        return {"status": "ok"}

    @app.get("/")
    def get_page(request: Request) -> HTMLResponse:
        require_reader(request, settings.inbox_token)
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"content-security-policy": policy, "cache-control": "no-store", "referrer-policy": "no-referrer"}
        return HTMLResponse(render_page(store.newest(PAGE_MESSAGES), store.counts(), clock.now(), nonce), 200, headers)

    @app.get("/api/messages")
    def get_messages(request: Request, since_id: SinceId = 0, limit: Limit = 1000) -> dict[str, Any]:
        require_reader(request, settings.inbox_token)
        rows = store.messages(since_id, limit)
        return {"messages": rows, "last_id": rows[-1]["id"] if rows else since_id, "counts": store.counts()}

    @app.get("/api/rejected")
    def get_rejected(request: Request, since_id: SinceId = 0, limit: Limit = 1000) -> dict[str, Any]:
        require_reader(request, settings.inbox_token)
        rows = store.rejected(since_id, limit)
        return {"rejected": rows, "last_id": rows[-1]["id"] if rows else since_id}

    @app.post("/api/failures")
    def post_failure(request: Request, wanted: FailureRequest) -> FailureRequest:
        # No browser sign-in here: another site could make a signed-in browser post.
        require_reader(request, settings.inbox_token, is_browser_allowed=False)
        store.set_failure(wanted.channel, Failure(wanted.status, wanted.delay_s, wanted.retry_after), wanted.count)
        return wanted
