"""The inbox as a web application: the providers' contracts, and what arrived for those who read it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from infra.embedded.inbox.access import require_reader
from infra.embedded.inbox.callback_queue import CallbackQueue
from infra.embedded.inbox.courier import Courier, Keys
from infra.embedded.inbox.database import Database
from infra.embedded.inbox.models import Failure, InboxChannel
from infra.embedded.inbox.page import Shown, render_page
from infra.embedded.inbox.pagerduty import ENDPOINT as PAGERDUTY
from infra.embedded.inbox.pagerduty import pagerduty_contract
from infra.embedded.inbox.reception import receive
from infra.embedded.inbox.sendgrid import ENDPOINT as SENDGRID
from infra.embedded.inbox.sendgrid import sendgrid_contract
from infra.embedded.inbox.store import InboxStore
from infra.embedded.inbox.twilio import ENDPOINT as TWILIO
from infra.embedded.inbox.twilio import twilio_contract, twilio_list
from infra.embedded.inbox.webhooks import webhook_contract
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings

PAGE_MESSAGES = 100
MAX_LIMIT = 5_000
# A mail's HTML is somebody else's: nothing of it runs, loads or sends.
MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
_PRIVATE = {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}

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


def create_app(
    settings: Settings, database: Database, clock: Clock, signing_key: ec.EllipticCurvePrivateKey | None
) -> FastAPI:
    """The inbox on `database`, which it closes at its end; without a signing key, nothing is reported of mails."""
    queue = CallbackQueue(database)
    store = InboxStore(database, queue, clock)
    courier = Courier(queue, Keys(signing_key, settings.twilio_auth_token), clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(courier.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        database.close()

    app = FastAPI(title="Ballast inbox", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    _add_provider_routes(app, settings, store, clock, reports_mail=signing_key is not None)
    _add_page_routes(app, settings, store, clock)
    _add_reader_routes(app, settings, store, queue)
    return app


def _add_provider_routes(
    app: FastAPI, settings: Settings, store: InboxStore, clock: Clock, *, reports_mail: bool
) -> None:
    webhook, pagerduty = webhook_contract(settings), pagerduty_contract(settings)
    sendgrid = sendgrid_contract(settings, clock, reports=reports_mail)
    twilio, list_texts = twilio_contract(settings, clock), twilio_list(settings, store, clock)

    @app.post("/webhooks/{name}")
    async def post_webhook(request: Request, name: Annotated[str, Path(pattern=r"^[a-z0-9_-]{1,64}$")]) -> Response:
        return await receive(webhook, store, request, name)

    @app.post("/v3/mail/send")
    async def post_mail(request: Request) -> Response:
        return await receive(sendgrid, store, request, SENDGRID)

    @app.post("/2010-04-01/Accounts/{account_sid}/Messages.json")
    async def post_text(request: Request) -> Response:
        return await receive(twilio, store, request, TWILIO)

    @app.get("/2010-04-01/Accounts/{account_sid}/Messages.json")
    async def get_texts(request: Request) -> Response:
        return await run_in_threadpool(list_texts, request)

    @app.post("/v2/enqueue")
    async def post_page(request: Request) -> Response:
        return await receive(pagerduty, store, request, PAGERDUTY)


def _add_page_routes(app: FastAPI, settings: Settings, store: InboxStore, clock: Clock) -> None:
    @app.get("/")
    def get_page(request: Request, channel: InboxChannel | None = None) -> HTMLResponse:
        require_reader(request, settings.inbox_token)
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        shown = Shown(store.newest(PAGE_MESSAGES, channel), store.counts(), store.counts_by_channel(), channel)
        return HTMLResponse(
            render_page(shown, clock.now(), nonce), 200, {**_PRIVATE, "content-security-policy": policy}
        )

    @app.get("/messages/{message_id}/html")
    def get_mail_html(request: Request, message_id: int) -> HTMLResponse:
        require_reader(request, settings.inbox_token)
        html = store.html(message_id)
        if html is None:
            raise HTTPException(404, "There is no mail of that number with an HTML part.")
        return HTMLResponse(html, 200, {**_PRIVATE, "content-security-policy": MAIL_POLICY})


def _add_reader_routes(app: FastAPI, settings: Settings, store: InboxStore, queue: CallbackQueue) -> None:
    @app.get("/healthz")
    def get_health() -> dict[str, str]:
        store.has_failure(InboxChannel.WEBHOOK)
        return {"status": "ok"}

    @app.get("/api/messages")
    def get_messages(request: Request, since_id: SinceId = 0, limit: Limit = 1000) -> dict[str, Any]:
        require_reader(request, settings.inbox_token)
        rows = store.messages(since_id, limit)
        return {
            "messages": rows,
            "last_id": rows[-1]["id"] if rows else since_id,
            "counts": store.counts(),
            "by_channel": store.counts_by_channel(),
        }

    @app.get("/api/rejected")
    def get_rejected(request: Request, since_id: SinceId = 0, limit: Limit = 1000) -> dict[str, Any]:
        require_reader(request, settings.inbox_token)
        rows = store.rejected(since_id, limit)
        return {"rejected": rows, "last_id": rows[-1]["id"] if rows else since_id}

    @app.get("/api/incidents")
    def get_incidents(request: Request, limit: Limit = 1000) -> dict[str, Any]:
        require_reader(request, settings.inbox_token)
        return {"incidents": store.incidents(limit)}

    @app.get("/api/callbacks")
    def get_callbacks(request: Request) -> dict[str, int]:
        require_reader(request, settings.inbox_token)
        return {"waiting": queue.waiting()}

    @app.post("/api/failures")
    def post_failure(request: Request, wanted: FailureRequest) -> FailureRequest:
        # No browser sign-in here: another site could make a signed-in browser post.
        require_reader(request, settings.inbox_token, is_browser_allowed=False)
        store.set_failure(wanted.channel, Failure(wanted.status, wanted.delay_s, wanted.retry_after), wanted.count)
        return wanted
