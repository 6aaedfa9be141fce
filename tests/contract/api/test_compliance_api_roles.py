"""Every route of compliance asks for an action, and lets through exactly the roles that the matrix names for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import anyio.from_thread
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from api.app import create_app
from api.auth import COMPLIANCE_PREFIX, PROVEN_PREFIXES
from compliance.api.access import ACTIONS
from compliance.authorization import MATRIX
from compliance.model import Role
from infra.runtime.settings import Settings

API_TOKEN = "the-general-token-of-the-api"
TOKENS = {role: f"token-of-the-{role}-0123456789" for role in Role}
USERS = "\n".join(f"{role}-person:{role}:{token}" for role, token in TOKENS.items())
SETTINGS = Settings(api_token=SecretStr(API_TOKEN), compliance_users=SecretStr(USERS))
ROUTES = [
    (method.upper(), path, operation["operationId"])
    for path, operations in create_app(Settings()).openapi()["paths"].items()
    if path.startswith(COMPLIANCE_PREFIX) and not path.startswith(PROVEN_PREFIXES)
    for method, operation in operations.items()
]
IDS = {"case_id": "cas_1", "transaction_id": "evt-1", "hit_id": "hit_1", "version": "2026-01-01", "other": "2026-01-02"}
IDS["replay_id"] = "rpl_1"


class NoWarehouse:
    """Nothing of this needs prices."""

    def query(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        raise AssertionError("the warehouse was asked")


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    """The application with its lifespan, on a database without tables: what is let through ends as 422 or 503."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    app = create_app(SETTINGS, warehouse=NoWarehouse(), engine=engine)
    with anyio.from_thread.start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
        app.state.portal = portal
        yield app
    engine.dispose()


def ask(app: FastAPI, method: str, path: str, token: str | None) -> httpx.Response:
    async def run() -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.request(method, path.format(**IDS), headers=headers)

    answer: httpx.Response = app.state.portal.call(run)
    return answer


def test_routes__are_in_the_table_of_actions_and_nothing_else_is() -> None:
    assert len(ROUTES) >= 20
    assert {name for _, _, name in ROUTES} == set(ACTIONS)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path", "name"), ROUTES)
def test_route__lets_through_whom_the_matrix_names(app: FastAPI, method: str, path: str, name: str, role: Role) -> None:
    response = ask(app, method, path, TOKENS[role])
    is_forbidden = response.status_code == 403
    assert is_forbidden is (role not in MATRIX[ACTIONS[name]])
    if is_forbidden:
        assert response.json()["error"]["code"] == "forbidden"
    else:
        # Replays are in memory: of one that nobody started there is nothing.
        assert response.status_code in (200, 404 if "replay_id" in path else 200, 422, 503), response.text
    assert TOKENS[role] not in response.text


@pytest.mark.parametrize(("method", "path", "name"), ROUTES)
def test_route__takes_the_apis_token_for_a_viewer(app: FastAPI, method: str, path: str, name: str) -> None:
    response = ask(app, method, path, API_TOKEN)
    assert (response.status_code == 403) is (Role.VIEWER not in MATRIX[ACTIONS[name]])


@pytest.mark.parametrize(("method", "path", "name"), ROUTES)
@pytest.mark.parametrize("token", [None, "token-of-nobody-0123456789"])
def test_route__is_closed_to_strangers(app: FastAPI, method: str, path: str, name: str, token: str | None) -> None:
    assert ask(app, method, path, token).status_code == 401


@pytest.mark.parametrize("role", Role)
def test_persons_token__opens_nothing_but_compliance(app: FastAPI, role: Role) -> None:
    for path in ("/v1/book", "/v1/prices", "/v1/notifications", "/openapi.json", "/v1/compliance"):
        assert ask(app, "GET", path, TOKENS[role]).status_code == 401


def test_new_route__without_an_action_is_nobodys() -> None:
    from compliance.api.access import GUARDS

    app = create_app(SETTINGS)

    @app.get("/v1/compliance/forgotten", dependencies=GUARDS)
    def forgotten() -> str:
        return "shown"

    with anyio.from_thread.start_blocking_portal() as portal:
        app.state.portal = portal
        for token in (*TOKENS.values(), API_TOKEN):
            assert ask(app, "GET", "/v1/compliance/forgotten", token).status_code == 403
