"""The application: routers, authentication, errors, and clients that live as long as it runs."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from alerting.callbacks.routes import router as callbacks_router
from alerting.routes import (
    PagePolicy,
    accounts_router,
    preferences_router,
    silences_router,
    teams_router,
    verification_router,
)
from alerting.routes import router as notifications_router
from api.auth import PROVEN_PREFIXES, BearerAuthentication, has_token
from api.errors import add_error_handlers, documented
from api.health.endpoints import router as health_router
from api.health.service import ReadinessChecks, bigquery_probe, postgres_probe
from api.middleware import BodyLimit, RequestContext, RequestTimeout
from api.openapi import complete
from api.risk.endpoints import router as risk_router
from api.risk.model_endpoints import router as risk_model_router
from api.risk.what_if import WhatIfs
from api.stream.endpoints import router as stream_router
from api.stream.hub import Hub
from api.stream.policy import StreamPolicy
from assets.risk.queries import Reader
from compliance.api.people import People, people_of
from compliance.api.services import Services, build_services
from compliance.api.valuation import LatestPrices
from compliance.routes import router as compliance_router
from compliance.routes import webhooks_router
from infra.runtime.assertions import check_assertion_key
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import SettingsError
from infra.runtime.heartbeats import read_heartbeats
from infra.runtime.postgres import postgres_engine
from infra.runtime.sealing import Sealer
from infra.runtime.settings import Settings
from ingest.prices.feeds import PINNED_FEEDS, load_feeds
from ingest.routes import router as prices_router

API_VERSION = "1.0.0"
REQUEST_TIMEOUT_S = 20.0
# Shorter than a request may last, so that a read of a server that is away ends as 503, not as 504.
WAREHOUSE_DEADLINE_S = 5.0
MAX_BODY_BYTES = 1_000_000
WARMING_WAIT_S = 5.0
# As many as work at once when all goes well: those beyond are opened and closed again, each time anew.
POSTGRES_CONNECTIONS = 10
_PROTECTED_ERRORS = documented(
    *("token_missing", "token_invalid", "token_not_configured", "request_invalid", "not_ready", "marts_not_built"),
    *("warehouse_failed", "request_timeout", "internal_error"),
)
_COMPLIANCE_ERRORS = documented(
    *("token_missing", "token_invalid", "token_not_configured", "forbidden", "body_unreadable", "request_invalid"),
    *("compliance_input_invalid", "compliance_not_ready", "not_ready", "warehouse_failed", "request_timeout"),
    "internal_error",
)
# These have no token of ours; they answer with proofs, and pages, of their own.
_PROVEN_ERRORS = documented("request_invalid", "not_ready", "request_timeout", "internal_error")
_DESCRIPTION = (
    "Risk of a book that lends against crypto collateral. Amounts and ratios are strings that keep every digit, times "
    "are ISO 8601 in UTC. What is not known is null with a reason, never zero. Errors have one shape, with a stable "
    "code."
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """FastAPI whose document names our security scheme and error shape."""

    def openapi(self) -> dict[str, Any]:
        """The completed OpenAPI document; addresses that check a proof of their own need no token."""
        document = complete(super().openapi())
        for path, operations in document["paths"].items():
            if path.startswith(PROVEN_PREFIXES):
                for operation in operations.values():
                    operation["security"] = []
        return document


def create_app(
    settings: Settings,
    *,
    warehouse: Reader | None = None,
    engine: Engine | None = None,
    clock: Clock | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    request_timeout_s: float = REQUEST_TIMEOUT_S,
    stream_policy: StreamPolicy | None = None,
) -> FastAPI:
    """The application for these settings; it opens nothing before its lifespan begins.

    A `warehouse` or `engine` that is given is used and left open; otherwise the application makes and closes its own.
    `monotonic` is the clock, in seconds, that deadlines of requests are measured by. Raises `SettingsError` where the
    people of compliance cannot be read from the settings.
    """
    own_clock, policy = clock or SystemClock(), stream_policy or StreamPolicy()
    people = _people(settings)
    app = Application(
        title="Ballast",
        version=API_VERSION,
        description=_DESCRIPTION,
        # A browser cannot send the token with a page load, so there are no pages; /openapi.json is behind the token.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(settings, warehouse, engine, own_clock, monotonic, policy),
        generate_unique_id_function=_operation_id,
    )
    app.include_router(health_router)
    app.include_router(risk_router, responses=_PROTECTED_ERRORS)
    app.include_router(risk_model_router, responses=_PROTECTED_ERRORS)
    app.include_router(notifications_router, responses=_PROTECTED_ERRORS)
    app.include_router(prices_router, responses=_PROTECTED_ERRORS)
    app.include_router(accounts_router, responses=_PROTECTED_ERRORS)
    for router in (preferences_router, teams_router, silences_router):
        app.include_router(router, responses=_PROTECTED_ERRORS)
    app.include_router(verification_router, responses=_PROVEN_ERRORS)
    app.include_router(callbacks_router, responses=_PROVEN_ERRORS)
    app.include_router(compliance_router, responses=_COMPLIANCE_ERRORS)
    app.include_router(webhooks_router, responses=_PROVEN_ERRORS)
    app.include_router(stream_router)
    add_error_handlers(app)
    # The last added is the outermost.
    app.add_middleware(RequestTimeout, timeout_s=request_timeout_s)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(
        BearerAuthentication,
        token=settings.api_token,
        people=people,
        assertion_key=_assertion_key(settings),
        clock=own_clock,
    )
    app.add_middleware(RequestContext)
    app.add_middleware(PagePolicy)
    return app


def _sealer(settings: Settings) -> Sealer | None:
    """What opens contacts; None without a key, and then routes that need it are not ready."""
    key = settings.sealing_key
    return Sealer(key) if key is not None and key.get_secret_value().strip() else None


def _people(settings: Settings) -> People:
    """Who may use compliance; the API's token, which many hold, must not be a person's."""
    people = people_of(settings.compliance_users)
    if has_token(settings.api_token) and people.holds(settings.api_token):
        raise SettingsError("BALLAST_API_TOKEN is also the token of a person of BALLAST_COMPLIANCE_USERS; change one.")
    return people


def _assertion_key(settings: Settings) -> SecretStr | None:
    """What the app signs its statements with; None: the app cannot ask for a person."""
    key = settings.app_assertion_key
    if not has_token(key) or key is None:
        return None
    check_assertion_key(key)
    return key


def _warm(services: Services) -> None:
    services.warm()
    # What is loaded now stays: the collector need not walk it again, which stops every request for a tenth of a second.
    gc.collect()
    gc.freeze()


def _operation_id(route: APIRoute) -> str:
    return route.name


def _lifespan(
    settings: Settings,
    warehouse: Reader | None,
    engine: Engine | None,
    clock: Clock,
    monotonic: Callable[[], float],
    policy: StreamPolicy,
) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        is_screening = engine is None and bool(people_of(settings.compliance_users))
        if is_screening:
            Services.load_name_data()
        async with AsyncExitStack() as stack:
            reader, database = warehouse, engine
            if reader is None:
                own = await run_in_threadpool(Warehouse, settings, WAREHOUSE_DEADLINE_S)
                stack.callback(own.client.close)
                reader = own
            if database is None:
                database = postgres_engine(settings, application_name="ballast-api", pool_size=POSTGRES_CONNECTIONS)
                stack.callback(database.dispose)
            probes = {"bigquery": bigquery_probe(reader), "postgres": postgres_probe(database)}
            beats = partial(read_heartbeats, database)
            checks = ReadinessChecks(probes, has_token(settings.api_token), clock, beats=beats)
            stack.callback(checks.close)
            hub = Hub(reader, clock, policy, settings.api_token)
            hub.start()
            stack.push_async_callback(hub.close)
            app.state.hub = hub
            app.state.reader = reader
            app.state.what_ifs = WhatIfs(reader, clock, monotonic)
            app.state.postgres_engine = database
            app.state.readiness = checks
            app.state.clock = clock
            app.state.settings = settings
            app.state.sealer = _sealer(settings)
            feeds = app.state.price_feeds = settings.price_feeds or PINNED_FEEDS
            services = app.state.compliance = build_services(settings, database, clock)
            stack.callback(services.close)
            if is_screening:
                # Reading the lists takes seconds, which the first person who searches should not wait for.
                warming = threading.Thread(target=_warm, args=(services,), name="compliance-warm", daemon=True)
                warming.start()
                stack.callback(warming.join, WARMING_WAIT_S)
            app.state.compliance_prices = LatestPrices(reader, clock, partial(load_feeds, feeds))
            yield

    return lifespan
