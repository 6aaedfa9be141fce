"""Nothing but the health checks answers without the token: a table over every route of the application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from api.app import create_app
from api.auth import OPEN_PATHS, has_token
from infra.runtime.settings import Settings

ROUTES = sorted(
    (
        method,
        (context.path or "")
        .replace("{account_id}", "acct-00001")
        .replace("{notification_id}", "n-1")
        .replace("{asset}", "BTC"),
    )
    for context in iter_route_contexts(create_app(Settings()).routes)
    for method in context.methods or set()
)
CLOSED = [(method, path) for method, path in ROUTES if path not in OPEN_PATHS]
BAD_HEADERS: dict[str, list[tuple[str, str]]] = {
    "none": [],
    "empty": [("Authorization", "")],
    "scheme only": [("Authorization", "Bearer")],
    "blank token": [("Authorization", "Bearer   ")],
    "other scheme": [("Authorization", "Basic a-token-of-the-tests")],
    "bare token": [("Authorization", "a-token-of-the-tests")],
    "wrong token": [("Authorization", "Bearer another-token")],
    "part of the token": [("Authorization", "Bearer a-token-of-the-test")],
    "longer token": [("Authorization", "Bearer a-token-of-the-tests2")],
    "other case": [("Authorization", "Bearer A-TOKEN-OF-THE-TESTS")],
    "twice": [("Authorization", "Bearer a-token-of-the-tests"), ("Authorization", "Bearer a-token-of-the-tests")],
    "in another header": [("X-Api-Key", "a-token-of-the-tests")],
}
INVALID_TOKENS = ("wrong token", "part of the token", "longer token", "other case")


def test_open_paths__are_the_health_checks_and_exist() -> None:
    assert set(OPEN_PATHS) == {"/healthz", "/readyz"}
    assert {path for _, path in ROUTES} >= OPEN_PATHS
    assert len(CLOSED) >= 8


@pytest.mark.parametrize("case", BAD_HEADERS)
@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_closed_route__refuses_without_the_token(
    make_app: Callable[..., FastAPI],
    serve: Callable[..., httpx.Client],
    reader: Any,
    method: str,
    path: str,
    case: str,
) -> None:
    response = serve(make_app(), token=None).request(method, path, headers=BAD_HEADERS[case])
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer realm=")
    if method != "HEAD":
        code = "token_invalid" if case in INVALID_TOKENS else "token_missing"
        assert response.json()["error"]["code"] == code
    assert "a-token-of-the-tests" not in response.text
    assert reader.asked == []


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_closed_route__lets_the_token_through(client: httpx.Client, method: str, path: str) -> None:
    # 422: the request was read, so the token was good.
    assert client.request(method, path).status_code in (200, 404, 422)


def test_token__scheme_is_read_in_any_case(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]
) -> None:
    response = serve(make_app(), token=None).get("/v1/book", headers={"Authorization": "bEARER a-token-of-the-tests"})
    assert response.status_code == 200


@pytest.mark.parametrize("token", [None, SecretStr(""), SecretStr("  ")])
@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_closed_route__is_never_open_where_no_token_is_configured(
    make_app: Callable[..., FastAPI],
    serve: Callable[..., httpx.Client],
    reader: Any,
    method: str,
    path: str,
    token: SecretStr | None,
) -> None:
    app = make_app(settings=Settings(api_token=token))
    for given in (None, "", " ", "None"):
        response = serve(app, token=given).request(method, path)
        assert response.status_code == 503
        if method != "HEAD":
            assert response.json()["error"]["code"] == "token_not_configured"
    assert reader.asked == []
    assert not has_token(token)


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_open_route__answers_without_a_token(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client], path: str
) -> None:
    assert serve(make_app(), token=None).get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/redoc", "/v1/none", "/healthz/", "/healthz/../v1/book", "//healthz", "/HEALTHZ", "/readyz/x"],
)
def test_unknown_address__is_closed_so_that_a_stranger_learns_nothing(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client], path: str
) -> None:
    assert serve(make_app(), token=None).get(path).status_code == 401


def test_new_route__is_closed_without_doing_anything_for_it(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]
) -> None:
    app = make_app()

    @app.get("/v1/forgotten")
    def forgotten() -> dict[str, str]:
        return {"secret": "shown"}

    assert serve(app, token=None).get("/v1/forgotten").status_code == 401
    assert serve(app).get("/v1/forgotten").json() == {"secret": "shown"}


def test_websocket__without_the_token_is_closed_before_the_handshake(make_app: Callable[..., FastAPI]) -> None:
    app = make_app()
    sent: list[dict[str, Any]] = []

    @app.websocket("/v1/live")
    async def live(_: Any) -> None:
        raise AssertionError("the endpoint was reached")

    async def connect() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "websocket", "path": "/v1/live", "headers": []}, receive, send)

    anyio.run(connect)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]
