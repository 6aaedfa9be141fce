"""The local Hermes as a web application."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import SecretStr

from infra.embedded.access import bearer_of, matches
from infra.embedded.errors import EmbeddedError
from infra.embedded.hermes.board import Snapshot
from infra.embedded.hermes.bodies import feed_metadata, update_body
from infra.embedded.hermes.failures import HTTP_STATUS, SPOILING
from infra.embedded.hermes.history import History
from infra.embedded.hermes.hub import Hub
from infra.embedded.hermes.models import FailureMode, FailureRequest, HermesState, PriceRequest
from infra.embedded.hermes.stream import PriceStream
from infra.runtime.settings import Settings
from ingest.prices.pyth.wire import Encoding

KEEP_ALIVE_S = 15.0
_FEED_ID = re.compile(r"(0x)?([0-9a-f]{64})")

IgnoreInvalid = Annotated[bool, Query(alias="ignore_invalid_price_ids")]
PublishTime = Annotated[int, Query(ge=0, lt=2**62)]


def create_app(settings: Settings, hub: Hub, history: History, keep_alive_s: float = KEEP_ALIVE_S) -> FastAPI:
    """Hermes, Pyth's history and the control of both."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        publisher = asyncio.create_task(hub.publish_for_ever())
        yield
        publisher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await publisher

    app = FastAPI(title="Ballast Hermes", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @app.exception_handler(HTTPException)
    async def as_text(_request: Request, error: HTTPException) -> Response:
        # Hermes words its errors as plain text.
        return PlainTextResponse(str(error.detail), error.status_code, error.headers)

    _add_health(app)
    _add_prices(app, settings, hub, keep_alive_s)
    _add_history(app, settings, hub, history)
    _add_control(app, settings, hub)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/live")
    @app.get("/ready")
    async def get_ready() -> Response:
        return PlainTextResponse("OK")

    @app.get("/healthz")
    async def get_health() -> dict[str, str]:
        return {"status": "ok"}


def _data_route(settings: Settings, hub: Hub) -> Any:
    """What every data route does first: count, authenticate, fail as wanted."""

    async def check(request: Request) -> None:
        hub.requests[request.scope["route"].path] += 1
        _require(request, settings.market_token, settings.pyth_token)
        if failure := hub.failures.take(frozenset(HTTP_STATUS)):
            status = HTTP_STATUS[failure.mode]
            headers = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
            raise HTTPException(status, f"Failure on command: {status}.", headers)
        if slow := hub.failures.take(frozenset({FailureMode.SLOW})):
            await asyncio.sleep(slow.delay_s)

    return [Depends(check)]


def _add_prices(app: FastAPI, settings: Settings, hub: Hub, keep_alive_s: float) -> None:
    routes: dict[str, Any] = {"dependencies": _data_route(settings, hub)}

    def body(snapshot: Snapshot, feed_ids: list[str], encoding: Encoding, is_parsed: bool) -> str:
        failure = hub.failures.take(SPOILING)
        return update_body(snapshot, feed_ids, encoding, is_parsed, failure.mode if failure else None)

    @app.get("/v2/updates/price/latest", **routes)
    async def get_latest(
        request: Request, encoding: Encoding = Encoding.HEX, parsed: bool = True, ignore: IgnoreInvalid = False
    ) -> Response:
        snapshot = hub.shown
        feed_ids = _feed_ids(request, snapshot, ignore)
        return Response(body(snapshot, feed_ids, encoding, parsed), media_type="application/json")

    # Before the route of a publish time, which would take "stream" for one.
    @app.get("/v2/updates/price/stream", **routes)
    async def get_stream(
        request: Request, encoding: Encoding = Encoding.HEX, parsed: bool = True, ignore: IgnoreInvalid = False
    ) -> Response:
        feed_ids = _feed_ids(request, hub.shown, ignore)
        return PriceStream(hub, lambda snapshot: body(snapshot, feed_ids, encoding, parsed), keep_alive_s)

    @app.get("/v2/updates/price/{publish_time}", **routes)
    async def get_since(
        request: Request,
        publish_time: int,
        encoding: Encoding = Encoding.HEX,
        parsed: bool = True,
        ignore: IgnoreInvalid = False,
    ) -> Response:
        feed_ids = _feed_ids(request, hub.shown, ignore)
        snapshot = hub.board.since(publish_time, feed_ids)
        if snapshot is None:
            raise HTTPException(404, "Update data not found")
        return Response(body(snapshot, feed_ids, encoding, parsed), media_type="application/json")

    @app.get("/v2/price_feeds", **routes)
    async def get_feeds(query: str = "", asset_type: str | None = None) -> Response:
        rows = [feed_metadata(asset, feed_id) for asset, feed_id in sorted(hub.board.feeds.items())]
        is_wanted = asset_type in (None, "crypto")
        return JSONResponse([row for row in rows if is_wanted and query.lower() in str(row["attributes"]).lower()])


def _add_history(app: FastAPI, settings: Settings, hub: Hub, history: History) -> None:
    @app.get("/v1/shims/tradingview/history", dependencies=_data_route(settings, hub))
    async def get_history(
        symbol: str,
        resolution: str,
        begins: Annotated[PublishTime, Query(alias="from")],
        ends: Annotated[PublishTime, Query(alias="to")],
    ) -> Response:
        return Response(history.answer(symbol, resolution, begins, ends), media_type="application/json")


def _add_control(app: FastAPI, settings: Settings, hub: Hub) -> None:
    async def check(request: Request) -> None:
        _require(request, settings.market_token)

    routes: dict[str, Any] = {"dependencies": [Depends(check)]}

    @app.post("/control/prices", **routes)
    async def post_prices(wanted: PriceRequest) -> HermesState:
        try:
            hub.set_prices(wanted)
        except EmbeddedError as error:
            raise HTTPException(422, error.message) from None
        return hub.state()

    @app.post("/control/failures", **routes)
    async def post_failure(wanted: FailureRequest) -> HermesState:
        hub.fail(wanted)
        return hub.state()

    @app.delete("/control/failures", **routes)
    async def delete_failure() -> HermesState:
        hub.heal()
        return hub.state()

    @app.get("/control/state", **routes)
    async def get_state() -> HermesState:
        return hub.state()


def _require(request: Request, *tokens: SecretStr | None) -> None:
    given = bearer_of(request.headers.get("authorization", ""))
    if not any(matches(given, token) for token in tokens):
        raise HTTPException(401, "Unauthorized", {"www-authenticate": "Bearer"})


def _feed_ids(request: Request, snapshot: Snapshot, is_lenient: bool) -> list[str]:
    """The requested feeds without repetition; 400 and 404 as Hermes words them."""
    wanted = list(dict.fromkeys(_plain_ids(request.query_params.getlist("ids[]"))))
    if not wanted:
        raise HTTPException(400, "Failed to deserialize query string: missing field `ids`")
    missing = [feed_id for feed_id in wanted if feed_id not in snapshot.messages]
    if missing and not is_lenient:
        raise HTTPException(404, f"Price ids not found: {', '.join(f'0x{feed_id}' for feed_id in missing)}")
    return [feed_id for feed_id in wanted if feed_id in snapshot.messages]


def _plain_ids(given: Iterable[str]) -> list[str]:
    found = [_FEED_ID.fullmatch(text.lower()) for text in given]
    if None in found:
        raise HTTPException(400, "Failed to deserialize query string: invalid price id")
    return [match.group(2) for match in found if match]
