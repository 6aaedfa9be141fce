"""The door before every route: who has no session gets no further than the ways to sign in; refused by default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.runtime.errors import BallastError
from streamlit_app.server.plain_page import problem_page
from streamlit_app.server.session import COOKIE, SESSION_HEADER, STILL_IN_KEY, VISITOR_KEY, Sessions, Visitor

OPEN_PATHS = frozenset({"/healthz", "/favicon.svg", "/favicon.ico"})
SIGN_IN_PATH = "/sign-in"
# How long a page's connection may outlive its session.
CHECK_S = 5.0
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _SAFE_METHODS | {"POST", "PUT", "DELETE"}
# Streamlit's own sign-in, its counters and its interface for programs: no way around the door's rules.
_CLOSED_PREFIXES = ("/app/auth/", "/app/oauth2callback", "/app/_stcore/agent/", "/app/_stcore/metrics")


class RefusedError(BallastError):
    """The door does not let a request in; `status` is that of the answer."""

    code = "not_signed_in"

    def __init__(self, message: str, status: int = 401) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody who may come in, and the session that the page's connection lives by."""

    visitor: Visitor
    session: str


class Identifier(Protocol):
    """Tells who asks by the headers of a request."""

    async def identify(self, headers: Headers) -> Entry:
        """Who it is; raises `RefusedError`."""
        ...


class CookieIdentifier:
    """Whoever holds a session of ours."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def identify(self, headers: Headers) -> Entry:
        """The person of the session's cookie; raises `RefusedError`."""
        token = session_of(headers)
        visitor = self._sessions.visitor(token)
        if visitor is None or token is None:
            raise RefusedError("You are not signed in, or not any more. Load the page anew to sign in.")
        return Entry(visitor, token)


def session_of(headers: Headers) -> str | None:
    """The session's cookie."""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


class Door:
    """Middleware that lets open paths and visitors through, and puts the visitor into the scope.

    `open_paths` are the ways to sign in, besides `OPEN_PATHS`; `app_url` is where people reach the app.
    """

    def __init__(
        self, app: ASGIApp, identifier: Identifier, sessions: Sessions, app_url: str, open_paths: frozenset[str]
    ) -> None:
        self._app = app
        self._identifier = identifier
        self._sessions = sessions
        self._app_url = app_url
        self._open = OPEN_PATHS | open_paths
        self._leads_to_sign_in = SIGN_IN_PATH in open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it: 303 to the sign-in for a page, 401 or 403 for anything else."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_form(scope, headers)
            is_open = scope["type"] == "http" and scope["path"] in self._open
            entry = None if is_open else await self._identifier.identify(headers)
        except RefusedError as refusal:
            await self._refuse(scope, receive, send, headers, refusal)
            return
        await self._let_in(scope, receive, send, entry)

    def _check_form(self, scope: Scope, headers: Headers) -> None:
        """Refuse what nobody may ask, signed in or not."""
        path: str = scope["path"]
        if "//" in path or "\\" in path or "/../" in f"{path}/" or not path.isprintable():
            raise RefusedError("This address is not usable.", 400)
        if path.startswith(_CLOSED_PREFIXES):
            raise RefusedError("There is no such address.", 404)
        if scope["type"] == "websocket":
            if "origin" in headers and not is_same_origin(headers, self._app_url):
                raise RefusedError("A page of another host may not connect.", 403)
        elif scope["method"] not in _METHODS:
            raise RefusedError("This method is not taken.", 405)
        elif scope["method"] not in _SAFE_METHODS and not is_same_origin(headers, self._app_url):
            raise RefusedError("A page of another host may not send this.", 403)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, entry: Entry | None) -> None:
        inner = dict(scope)
        kept = [(name, value) for name, value in scope["headers"] if name.lower() != SESSION_HEADER.encode()]
        inner["headers"] = kept
        if entry is None:
            await self._app(inner, receive, send)
            return
        inner[VISITOR_KEY] = entry.visitor
        inner[STILL_IN_KEY] = lambda: self._sessions.visitor(entry.session) is not None
        if scope["type"] == "websocket":
            inner["headers"] = [*kept, (SESSION_HEADER.encode(), entry.session.encode())]
            receive = _WhileSignedIn(receive, send, inner[STILL_IN_KEY], CHECK_S)
        await self._app(inner, receive, send)

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, refusal: RefusedError
    ) -> None:
        response = self._answer(scope, headers, refusal)
        if scope["type"] == "http":
            await response(scope, receive, send)
        elif "websocket.http.response" in scope.get("extensions", {}):
            await response(scope, receive, send)
            # uvicorn logs a fault unless the connection has ended before the application returns.
            await asyncio.sleep(0)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})

    def _answer(self, scope: Scope, headers: Headers, refusal: RefusedError) -> Response:
        wants_page = (
            scope["type"] == "http"
            and scope["method"] in ("GET", "HEAD")
            and "text/html" in headers.get("accept", "")
            and headers.get("sec-fetch-dest", "document") == "document"
        )
        if not wants_page:
            body = {"error": {"code": refusal.code, "message": refusal.message}}
            return JSONResponse(body, refusal.status)
        if refusal.status == 401 and self._leads_to_sign_in:
            return RedirectResponse(f"{SIGN_IN_PATH}?to={quote(wanted(scope), safe='')}", 303)
        return problem_page(refusal.message, refusal.status)


class _WhileSignedIn:
    """Messages of a page as long as its visitor is signed in.

    The connection ends before the next message counts, and at the latest `check_s` seconds after the session.
    """

    def __init__(self, receive: Receive, send: Send, still_in: Callable[[], bool], check_s: float) -> None:
        self._receive, self._send = receive, send
        self._still_in = still_in
        self._check_s = check_s

    async def __call__(self) -> Message:
        """The next message, or that the connection has ended."""
        coming = asyncio.ensure_future(self._receive())
        try:
            while True:
                await asyncio.wait({coming}, timeout=self._check_s)
                if coming.done() and coming.result()["type"] != "websocket.receive":
                    return coming.result()
                if not self._still_in():
                    await self._send({"type": "websocket.close", "code": 1008, "reason": "signed_out"})
                    return {"type": "websocket.disconnect", "code": 1008}
                if coming.done():
                    return coming.result()
        finally:
            coming.cancel()


def is_same_origin(headers: Headers, app_url: str) -> bool:
    """Whether a page of this app sends the request, as its browser says; a request that says nothing does not count."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        return False
    if origin is None:
        return site is not None
    if origin == origin_of(app_url):
        return True
    parts = urlsplit(origin)
    schemes = ("https",) if app_url.startswith("https:") else ("http", "https")
    return bool(parts.netloc) and parts.netloc == headers.get("host") and parts.scheme in schemes


def origin_of(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def wanted(scope: Scope) -> str:
    """The path and query that were asked for."""
    query = scope.get("query_string", b"").decode("latin-1")
    return quote(scope["path"]) + (f"?{query}" if query else "")
