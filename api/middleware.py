"""What surrounds every request: an id, an access log line, security headers, a last catch, and a time limit."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from typing import Any

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api.auth import OPEN_PATHS
from api.errors import REQUEST_ID_KEY, RequestTimeoutError, error_response
from infra.runtime.logs import get_logger

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
MAX_LOGGED_PATH = 200
MAX_LENGTH_DIGITS = 15
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_log = get_logger(__name__)


class RequestContext:
    """Gives each request an id (the caller's, where it is well-formed), headers, and one line in the access log.

    An exception that nothing else answered ends here as a 500 without internals. The log names the path, never
    the query.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope[REQUEST_ID_KEY] = request_id
        started = time.perf_counter()
        answer = _Answer(send, request_id)
        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answer)
            except Exception as error:
                if answer.status is not None:
                    raise
                await error_response(scope, error)(scope, receive, answer)
            finally:
                _log_access(scope, answer.status, time.perf_counter() - started)


class _Answer:
    """`send` that adds our headers and remembers the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
        await self._send(message)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return uuid.uuid4().hex


def _log_access(scope: Scope, status: int | None, seconds: float) -> None:
    client = scope.get("client")
    line: dict[str, Any] = {
        "method": scope["method"],
        "path": scope["path"][:MAX_LOGGED_PATH],
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
        "client": client[0] if client else None,
    }
    if scope["path"] in OPEN_PATHS and status == 200:
        _log.debug("request", **line)
    else:
        _log.info("request", **line)


class BodyLimit:
    """Answers 413 to a body above `max_bytes`, before it is read where its length is told, else once it is passed."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        if told.isdecimal() and (len(told) > MAX_LENGTH_DIGITS or int(told) > self._max_bytes):
            await error_response(scope, HTTPException(413))(scope, receive, send)
            return
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                # FastAPI turns any other exception of a body into a 400.
                raise HTTPException(413)
            return message

        await self._app(scope, limited, send)


class RequestTimeout:
    """Answers 504 when a request lasts longer than `timeout_s` seconds and has not begun to answer.

    A blocking read in the threadpool cannot be stopped: it keeps its thread until its own time limit, so that late
    reads stay within the pool's size; a request that still waits for a thread is dropped.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s
        self._late: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request within the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        gate = _Gate(send)
        # A scope, not a task's cancel(): it waits for the thread, so that the pool's limit keeps counting it.
        within = anyio.CancelScope()
        task = asyncio.ensure_future(self._run(within, scope, receive, gate))
        try:
            await asyncio.wait({task}, timeout=self._timeout_s)
            if task.done() or gate.is_open:
                await task
                return
        except asyncio.CancelledError:
            self._leave(task, within, gate)
            raise
        self._leave(task, within, gate)
        raise RequestTimeoutError(
            f"The answer took longer than {self._timeout_s:g} s. Try again, or ask for fewer rows."
        )

    async def _run(self, within: anyio.CancelScope, scope: Scope, receive: Receive, gate: _Gate) -> None:
        with within:
            await self._app(scope, receive, gate)

    def _leave(self, task: asyncio.Task[None], within: anyio.CancelScope, gate: _Gate) -> None:
        gate.is_shut = True
        within.cancel()
        self._late.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._late.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("late_request_failed", reason=f"{type(error).__name__}: {error}")


class _Gate:
    """`send` that can be shut, after which a late answer goes nowhere."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_open = False
        self.is_shut = False

    async def __call__(self, message: Message) -> None:
        if self.is_shut:
            return
        self.is_open = True
        await self._send(message)
