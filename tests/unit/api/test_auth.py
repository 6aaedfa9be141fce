"""Only health checks, and routes with a proof of their own, answer without the token: a table over every route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import anyio
import httpx
import pytest
import structlog
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from api.app import create_app
from api.auth import OPEN_PATHS, PROVEN_PREFIXES, has_own_proof, has_token
from infra.runtime.settings import Settings

ROUTES = sorted(
    (
        method,
        (context.path or "")
        .replace("{account_id}", "acct-00001")
        .replace("{notification_id}", "n-1")
        .replace("{contact_id}", "con_1")
        .replace("{silence_id}", "sil_1")
        .replace("{team}", "risk")
        .replace("{token}", "ver_1.proof")
        .replace("{asset}", "BTC")
        .replace("{case_id}", "cas_1")
        .replace("{transaction_id}", "evt-1")
        .replace("{hit_id}", "hit_1")
        .replace("{version}", "2026-01-01"),
    )
    for context in iter_route_contexts(create_app(Settings()).routes)
    for method in context.methods or set()
)
PROVEN = [(method, path) for method, path in ROUTES if path.startswith(PROVEN_PREFIXES)]
CLOSED = [each for each in ROUTES if each[1] not in OPEN_PATHS and each not in PROVEN]
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
def test_closed_routes__refuse_without_the_token(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client], reader: Any, case: str
) -> None:
    client = serve(make_app(), token=None)
    for method, path in CLOSED:
        response = client.request(method, path, headers=BAD_HEADERS[case])
        assert response.status_code == 401, f"{method} {path}"
        assert response.headers["WWW-Authenticate"].startswith("Bearer realm=")
        if method != "HEAD":
            code = "token_invalid" if case in INVALID_TOKENS else "token_missing"
            assert response.json()["error"]["code"] == code
        assert "a-token-of-the-tests" not in response.text
    assert reader.asked == []


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_closed_route__lets_the_token_through(client: httpx.Client, method: str, path: str) -> None:
    # 422: the request was read, so the token was good; not_ready: it came as far as the database, which has no tables;
    # forbidden: at compliance the token of the API is a viewer's.
    response = client.request(method, path)
    passed = ("not_ready", "forbidden") if path.startswith("/v1/compliance/") else ("not_ready",)
    assert response.status_code in (200, 404, 422) or response.json()["error"]["code"] in passed


def test_token__scheme_is_read_in_any_case(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]
) -> None:
    response = serve(make_app(), token=None).get("/v1/book", headers={"Authorization": "bEARER a-token-of-the-tests"})
    assert response.status_code == 200


@pytest.mark.parametrize("token", [None, SecretStr(""), SecretStr("  ")])
def test_closed_routes__are_never_open_where_no_token_is_configured(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client], reader: Any, token: SecretStr | None
) -> None:
    app = make_app(settings=Settings(api_token=token))
    for given in (None, "", " ", "None"):
        client = serve(app, token=given)
        for method, path in CLOSED:
            response = client.request(method, path)
            assert response.status_code == 503, f"{method} {path}"
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


def test_routes_with_a_proof_of_their_own__are_these() -> None:
    assert PROVEN == [
        ("GET", "/v1/alert-verifications/ver_1.proof"),
        ("POST", "/v1/alert-verifications/ver_1.proof"),
        ("POST", "/v1/callbacks/sendgrid"),
        ("POST", "/v1/callbacks/twilio"),
        ("POST", "/v1/compliance/webhooks/persona"),
        ("POST", "/v1/compliance/webhooks/sumsub"),
    ]


@pytest.mark.parametrize(("method", "path"), PROVEN)
def test_route_with_a_proof_of_its_own__is_reached_without_a_token(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client], method: str, path: str
) -> None:
    response = serve(make_app(), token=None).request(method, path)
    # Either the proof is refused, or the database without tables is asked for it.
    assert response.json()["error"]["code"] in ("not_ready", "callback_not_configured", "compliance_not_ready")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/callbacks",
        "/v1/callbacks/",
        "/v1/callbacks//twilio",
        "/v1/callbacks/../book",
        "/v1/callbacks/./twilio",
        "/v1/callbacks/%2e%2e/book",
        "/v1/callbacks/..%2fbook",
        "/v1/callbacks/twilio/",
        "/v1/callbacks/twilio/../../book",
        "/v1/callbacks/twilio%2f..%2f..%2fbook",
        "/v1/callbacks/twilio%00",
        "/v1/callbacks/twi%6cio",
        "/v1/callbacks/twilio;x=1",
        "/v1/callbacks\\twilio",
        "/v1%2fcallbacks/twilio",
        "/V1/callbacks/twilio",
        "//v1/callbacks/twilio",
        "/v1//callbacks/twilio",
        "/x/v1/callbacks/twilio",
        "/v1/callbacksx/twilio",
        "/v1/compliance/webhooks",
        "/v1/compliance/webhooks/",
        "/v1/compliance/webhooks/../cases",
        "/v1/compliance/webhooks/%2e%2e/cases",
        "/v1/alert-verifications",
        "/v1/alert-verifications/",
        "/v1/alert-verifications//",
        "/v1/alert-verifications/../accounts/acct-00001/alert-preferences",
        "/v1/alert-verifications/%2e%2e/book",
        "/v1/alert-verifications/.hidden",
    ],
)
def test_prefix_with_a_proof_of_its_own__opens_nothing_else(make_app: Callable[..., FastAPI], path: str) -> None:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }

    # Not by a client, which would tidy the path.
    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await make_app()(scope, receive, send)

    anyio.run(ask)
    assert sent[0]["status"] == 401
    assert not has_own_proof(unquote(path), path.encode())


def test_own_proof__does_not_open_a_websocket(make_app: Callable[..., FastAPI]) -> None:
    sent: list[dict[str, Any]] = []

    async def connect() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await make_app()({"type": "websocket", "path": "/v1/callbacks/twilio", "headers": []}, receive, send)

    anyio.run(connect)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


def test_mailed_token__does_not_reach_the_log(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]
) -> None:
    with structlog.testing.capture_logs() as lines:
        serve(make_app(), token=None).get("/v1/alert-verifications/ver_1.proof-of-somebody")
    assert [line["path"] for line in lines if line["event"] == "request"] == ["/v1/alert-verifications/..."]
    assert "proof-of-somebody" not in str(lines)


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
