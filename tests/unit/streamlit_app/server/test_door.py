"""The door: who comes in, what it refuses, what it hands on, and when it ends a page's connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from compliance.api.people import people_of
from infra.runtime.clock import FixedClock
from streamlit_app.server.door import CookieIdentifier, Door, is_same_origin
from streamlit_app.server.headers import SecurityHeaders, content_policy, script_hash
from streamlit_app.server.session import COOKIE, LIFETIME, SESSION_HEADER, Sessions, is_still_in, request_visitor

APP_URL = "http://127.0.0.1:8601"
PAGE = {"Accept": "text/html"}


async def _who(request: Request) -> JSONResponse:
    found = request_visitor(request)
    return JSONResponse({"name": found.name, "in": is_still_in(request), "header": request.headers.get(SESSION_HEADER)})


async def _open(request: Request) -> JSONResponse:
    return JSONResponse({"header": request.headers.get(SESSION_HEADER), "in": is_still_in(request)})


@pytest.fixture
def app(sessions: Sessions) -> SecurityHeaders:
    methods = ["GET", "POST", "PUT", "DELETE"]
    routes = [Route("/healthz", _open), Route("/sign-in", _open, methods=methods), Route("/who", _who, methods=methods)]
    door = Door(Starlette(routes=routes), CookieIdentifier(sessions), sessions, APP_URL, frozenset({"/sign-in"}))
    return SecurityHeaders(door, is_https=False)


def _cookie(token: str) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={token}"}


@pytest.mark.parametrize("name", ["ann", "bob", "cid", "dot", "eve"])
def test_door__lets_in_each_role_by_its_cookie(ask, app, sessions: Sessions, name: str) -> None:
    answer = ask(app, "/who", headers=_cookie(sessions.open(name)))
    assert answer.json() == {"name": name, "in": True, "header": None}


@pytest.mark.parametrize(
    "path", ["/who", "/", "/app/", "/app/_stcore/health", "/app/media/x", "/live/book", "/nothing"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_door__refuses_a_stranger_everywhere(ask, app, path: str, method: str) -> None:
    answer = ask(app, path, method)
    assert answer.status_code == 401
    if method != "HEAD":
        assert answer.json()["error"]["code"] == "not_signed_in"


def test_door__leads_a_stranger_from_a_page_to_the_sign_in(ask, app) -> None:
    answer = ask(app, "/app/alerts?account=a%26b&x=1", headers=PAGE)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?to=%2Fapp%2Falerts%3Faccount%3Da%2526b%26x%3D1"
    assert ask(app, "/app/x.js", headers=PAGE | {"Sec-Fetch-Dest": "script"}).status_code == 401


def test_door__refuses_cookies_that_do_not_count(ask, app, sessions: Sessions, register, clock: FixedClock) -> None:
    token = sessions.open("ann")
    revoked = sessions.open("ann")
    sessions.revoke(revoked)
    for wrong in ("", "x", token[:-2], token + "x", token.upper(), revoked, sessions.open("nobody")):
        assert ask(app, "/who", headers=_cookie(wrong)).status_code == 401, wrong
    assert ask(app, "/who", headers={"Cookie": f"other={token}"}).status_code == 401
    assert ask(app, "/who", headers={SESSION_HEADER: token}).status_code == 401
    clock.advance(LIFETIME)
    assert ask(app, "/who", headers=_cookie(token)).status_code == 401
    clock.advance(-LIFETIME)
    assert ask(app, "/who", headers=_cookie(token)).status_code == 200
    register.people = people_of(SecretStr("bob:viewer:token-of-bob-0123456789"))
    assert ask(app, "/who", headers=_cookie(token)).status_code == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/healthz/", 401),
        ("/Healthz", 401),
        ("/healthz/../who", 401),
        (f"{APP_URL}//healthz", 400),
        ("/healthz%2F..%2Fwho", 400),
        ("/%5Cwho", 400),
        ("/healthz%0A", 400),
        ("/app/auth/login", 404),
        ("/app/oauth2callback", 404),
        ("/app/_stcore/agent/mcp", 404),
        ("/app/_stcore/metrics", 404),
    ],
)
def test_door__open_is_only_what_is_listed(ask, app, path: str, status: int) -> None:
    assert ask(app, path).status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/who", "/sign-in"])
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"Origin": APP_URL}, 200),
        ({"Origin": APP_URL, "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:8602"}, 403),
        ({"Origin": f"{APP_URL}.evil.example"}, 403),
        ({"Origin": APP_URL, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_door__takes_changes_from_its_own_pages_only(
    ask, app, sessions: Sessions, method: str, path: str, sent: dict[str, str], status: int
) -> None:
    answer = ask(app, path, method, headers=_cookie(sessions.open("ann")) | sent)
    assert answer.status_code == status


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "CONNECT", "X"])
def test_door__takes_no_other_methods(ask, app, sessions: Sessions, method: str) -> None:
    headers = _cookie(sessions.open("ann")) | {"Origin": APP_URL}
    assert ask(app, "/who", method, headers=headers).status_code == 405


def test_same_origin__is_https_where_the_app_is() -> None:
    def sent(origin: str) -> Headers:
        return Headers({"origin": origin, "host": "desk.example"})

    assert is_same_origin(sent("https://desk.example"), "https://desk.example/")
    assert not is_same_origin(sent("http://desk.example"), "https://desk.example/")
    assert is_same_origin(sent("https://desk.example"), "http://127.0.0.1:8601")


def test_open_paths__get_no_visitor_and_no_header_of_a_visitor(ask, app, sessions: Sessions) -> None:
    headers = {SESSION_HEADER: sessions.open("ann")}
    assert ask(app, "/healthz", headers=headers).json() == {"header": None, "in": False}


def test_request_visitor__fails_before_a_route_without_a_door_answers(ask) -> None:
    with pytest.raises(RuntimeError, match="not behind the door"):
        ask(Starlette(routes=[Route("/who", _who)]), "/who")


class _Socket:
    """A connection as a server hands it to the door, and what the door sends."""

    def __init__(self, headers: dict[str, str], *messages: dict[str, Any], extensions: bool = True) -> None:
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/app/_stcore/stream",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "extensions": {"websocket.http.response": {}} if extensions else {},
        }
        self.messages = [{"type": "websocket.connect"}, *messages]
        self.sent: list[dict[str, Any]] = []
        self.got: list[dict[str, Any]] = []
        self.inner: dict[str, Any] | None = None

    async def receive(self) -> dict[str, Any]:
        if not self.messages:
            await asyncio.Event().wait()
        message = self.messages.pop(0)
        action = message.pop("before", None)
        if action:
            action()
        return message

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.inner = scope
        while not self.got or self.got[-1]["type"] != "websocket.disconnect":
            self.got.append(await receive())

    def run(self, sessions: Sessions) -> _Socket:
        door = Door(self.app, CookieIdentifier(sessions), sessions, APP_URL, frozenset({"/sign-in"}))
        asyncio.run(SecurityHeaders(door, is_https=True)(self.scope, self.receive, self.send))
        return self


@pytest.mark.parametrize("headers", [{}, {"Cookie": f"{COOKIE}=x"}, {SESSION_HEADER: "x"}])
def test_socket__is_refused_without_a_session(sessions: Sessions, headers: dict[str, str]) -> None:
    refused = _Socket(headers).run(sessions)
    assert refused.inner is None
    assert refused.sent[0]["status"] == 401
    closed = _Socket(headers, extensions=False).run(sessions)
    assert closed.sent == [{"type": "websocket.close", "code": 1008, "reason": "not_signed_in"}]


def test_socket__is_refused_to_pages_of_other_hosts(sessions: Sessions) -> None:
    refused = _Socket(_cookie(sessions.open("ann")) | {"Origin": "http://evil.example"}).run(sessions)
    assert refused.inner is None
    assert refused.sent[0]["status"] == 403


def test_socket__carries_the_session_that_the_door_checked(sessions: Sessions) -> None:
    token = sessions.open("ann")
    made_up = {SESSION_HEADER: sessions.open("bob"), "Origin": APP_URL}
    passed = _Socket(_cookie(token) | made_up, {"type": "websocket.disconnect"}).run(sessions)
    assert passed.inner is not None
    assert Headers(scope=passed.inner).getlist(SESSION_HEADER) == [token]


def test_socket__ends_before_the_first_message_after_a_sign_out(sessions: Sessions) -> None:
    token = sessions.open("ann")
    message = {"type": "websocket.receive", "bytes": b"one"}
    late = {"type": "websocket.receive", "bytes": b"two", "before": lambda: sessions.revoke(token)}
    passed = _Socket(_cookie(token), message, late).run(sessions)
    assert [each["type"] for each in passed.got] == ["websocket.connect", "websocket.receive", "websocket.disconnect"]
    assert passed.sent == [{"type": "websocket.close", "code": 1008, "reason": "signed_out"}]


def test_socket__ends_without_a_message_too(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlit_app.server.door.CHECK_S", 0.01)
    token = sessions.open("ann")
    message = {"type": "websocket.receive", "bytes": b"one"}
    silent = _Socket(_cookie(token), message)
    monkeypatch.setattr(sessions, "visitor", _once_more(sessions.visitor, 3))
    silent.run(sessions)
    assert silent.got[-2:] == [message, {"type": "websocket.disconnect", "code": 1008}]
    assert silent.sent[-1]["reason"] == "signed_out"


def _once_more(visitor: Any, times: int) -> Any:
    """A session that ends after it was asked for some times."""
    left = iter(range(times))
    return lambda token: visitor(token) if next(left, None) is not None else None


def test_headers__stand_on_every_answer(ask, app, sessions: Sessions) -> None:
    for answer in (
        ask(app, "/who"),
        ask(app, "/who", headers=_cookie(sessions.open("ann"))),
        ask(app, "/nothing", headers=_cookie(sessions.open("ann"))),
        ask(app, "/app/", headers=PAGE),
        ask(app, f"{APP_URL}//", headers=PAGE),
    ):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in answer.headers
    assert b"strict-transport-security" in dict(_Socket({}).run(sessions).sent[0]["headers"])


def test_content_policy__lets_run_exactly_the_scripts_it_knows() -> None:
    policy = content_policy(["let a = 1"], is_streamlit=True)
    assert f"script-src 'self' {script_hash('let a = 1')} blob:;" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "blob:" not in content_policy().split("script-src")[1].split(";")[0]
