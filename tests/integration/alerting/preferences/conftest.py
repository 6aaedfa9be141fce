"""The real application on a real PostgreSQL, and what it has stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio.from_thread
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, text

from alerting.preferences.codes import verification_code
from api.app import create_app
from infra.runtime.clock import FixedClock
from infra.runtime.sealing import Sealer, new_key
from infra.runtime.settings import Settings

TOKEN = "a token of these tests"
ATTRIBUTION = {"set_by": "ann", "reason": "asked by the client"}


class NoWarehouse:
    """A warehouse without rows; alert preferences read none."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return []


class InProcess(httpx.BaseTransport):
    """Sends requests to an ASGI application that runs in another thread's event loop."""

    def __init__(self, app: FastAPI, portal: anyio.from_thread.BlockingPortal) -> None:
        self._asgi = httpx.ASGITransport(app=app)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._portal.call(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._asgi.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())


@dataclass
class Api:
    """The API as a client with the token sees it, and its database."""

    app: FastAPI
    client: httpx.Client
    stranger: httpx.Client
    engine: Engine
    sealer: Sealer
    clock: FixedClock

    def put(self, contacts: list[dict[str, Any]], owner: str = "accounts/acc-1", **more: Any) -> httpx.Response:
        """Replace the preferences of an owner."""
        body = {"contacts": contacts, **ATTRIBUTION, **more}
        return self.client.put(f"/v1/{owner}/alert-preferences", json=body)

    def get(self, owner: str = "accounts/acc-1") -> dict[str, Any]:
        """The preferences of an owner."""
        return ok(self.client.get(f"/v1/{owner}/alert-preferences"))

    def changes(self, owner: str = "accounts/acc-1") -> list[dict[str, Any]]:
        """The audit history of an owner, newest first."""
        found: list[dict[str, Any]] = ok(self.client.get(f"/v1/{owner}/alert-preferences/changes"))["changes"]
        return found

    def post(self, contact_id: str, action: str, body: Any = None, owner: str = "accounts/acc-1") -> httpx.Response:
        """Do something with a contact."""
        return self.client.post(f"/v1/{owner}/alert-preferences/contacts/{contact_id}/{action}", json=body)

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """Rows of the database."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(sql), values).all())

    def codes(self, contact_id: str) -> list[str]:
        """The codes that were sent to a contact, the first one first, as the worker derives them."""
        sent = self.rows(
            "select e.payload ->> 'verification_id' as id, n.channel from alerting.notifications n"
            " join alerting.events e using (event_id) where n.recipient = :contact and e.kind = 'verification'"
            " order by n.created_at, e.received_at",
            contact=contact_id,
        )
        return [verification_code(self.sealer, row.id, row.channel) for row in sent]

    def verified(self, contact_id: str) -> None:
        """Verify a contact by its last code."""
        ok(self.post(contact_id, "verify", {"code": self.codes(contact_id)[-1]}))


def ok(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code in (200, 201, 202), response.text
    content: dict[str, Any] = response.json()
    return content


@pytest.fixture
def api(engine: Engine, clock: FixedClock) -> Iterator[Api]:
    """The application with its lifespan."""
    key = SecretStr(new_key())
    settings = Settings(
        api_token=SecretStr(TOKEN), sealing_key=key, webhook_allowed_networks="127.0.0.0/8, 10.1.0.0/16, fd00::/8"
    )
    app = create_app(settings, warehouse=NoWarehouse(), engine=engine, clock=clock)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        httpx.Client(transport=InProcess(app, portal), base_url="http://api", headers=headers) as client,
        httpx.Client(transport=InProcess(app, portal), base_url="http://api") as stranger,
    ):
        yield Api(app, client, stranger, engine, Sealer(key), clock)
