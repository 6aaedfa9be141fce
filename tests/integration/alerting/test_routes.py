"""The ledger over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Engine

from alerting.channels.base import Accepted
from alerting.errors import NotificationNotFoundError
from alerting.events import MarginEvent
from alerting.ledger import Ledger, PlannedNotification
from alerting.routes import router
from infra.runtime.clock import FixedClock
from infra.runtime.errors import BallastError

Make = Callable[..., MarginEvent]


class Client:
    """Reads from the application without a server."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def get(self, path: str) -> httpx.Response:
        async def read() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=30) as client:
                return await client.get(path)

        return asyncio.run(read())


@pytest.fixture
def client(engine: Engine) -> Client:
    app = FastAPI()
    app.include_router(router)
    app.state.postgres_engine = engine

    @app.exception_handler(BallastError)
    def on_error(_request: Request, error: BallastError) -> JSONResponse:
        status = 404 if isinstance(error, NotificationNotFoundError) else 503
        return JSONResponse({"code": error.code, "message": error.message}, status)

    return Client(app)


def ok(response: httpx.Response) -> dict[str, object]:
    assert response.status_code == 200, response.text
    content: dict[str, object] = response.json()
    return content


def test_routes__show_a_notification_with_its_history(
    client: Client, ledger: Ledger, make_event: Make, clock: FixedClock
) -> None:
    ledger.plan([PlannedNotification(make_event(), "webhook", "operator")])
    [claim] = ledger.claim(["webhook"], 1, timedelta(seconds=6))
    ledger.begin_attempt(claim, timedelta(seconds=6))
    clock.advance(timedelta(seconds=1.25))
    ledger.record(claim, Accepted("HTTP 204"), None)
    found = ok(client.get(f"/v1/notifications/{claim.message.notification_id}"))
    assert (found["terminal_state"], found["attempts"], found["next_attempt_at"]) == ("accepted", 1, None)
    states = found["states"]
    assert isinstance(states, list)
    assert [s["state"] for s in states] == ["planned", "claimed", "sent", "accepted"]
    assert states[-1]["seconds_since_detected"] == 1.25
    assert isinstance(found["event"], dict)
    assert found["event"]["health"] == "29.5"
    assert "claim_token" not in found
    assert "payload" not in found


def test_routes__list_newest_first_by_account_within_a_limit(
    client: Client, ledger: Ledger, make_event: Make, clock: FixedClock
) -> None:
    for number, account in enumerate(["acc-1", "acc-2", "acc-1", "acc-1"], start=1):
        ledger.plan([PlannedNotification(make_event(number, account_id=account), "webhook", "operator")])
        clock.advance(timedelta(seconds=1))

    def events(query: str) -> list[str]:
        rows = ok(client.get(f"/v1/notifications{query}"))["notifications"]
        assert isinstance(rows, list)
        return [row["margin_event_id"] for row in rows]

    assert events("") == ["mev_4", "mev_3", "mev_2", "mev_1"]
    assert events("?account_id=acc-1&limit=2") == ["mev_4", "mev_3"]
    assert events("?account_id=nobody") == []


@pytest.mark.parametrize("query", ["?limit=0", "?limit=201", "?limit=x", "?account_id="])
def test_routes__refuse_bad_queries(client: Client, query: str) -> None:
    assert client.get(f"/v1/notifications{query}").status_code == 422


def test_routes__an_unknown_notification_has_a_code(client: Client) -> None:
    response = client.get("/v1/notifications/ntf_none")
    assert (response.status_code, response.json()["code"]) == (404, "notification_not_found")


def test_routes__without_an_engine_are_not_ready() -> None:
    app = FastAPI()
    app.include_router(router)
    with pytest.raises(BallastError, match="postgres_engine"):
        Client(app).get("/v1/notifications")
