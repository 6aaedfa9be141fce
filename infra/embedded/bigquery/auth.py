"""Who may call: one static bearer token, over REST and over gRPC."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import grpc
from grpc.aio import ServerInterceptor

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_OPEN_SERVICES = ("/grpc.health.v1.Health/",)
_MESSAGE = "Request had invalid authentication credentials. Send the header Authorization: Bearer <token>."

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class BearerToken:
    """A token, and the comparison with what a caller sent, in constant time."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    def matches(self, authorization: bytes | str | None) -> bool:
        """Whether the value of an Authorization header carries the token."""
        sent = authorization.encode() if isinstance(authorization, str) else authorization or b""
        return hmac.compare_digest(sent, self._expected)


class RequireBearer:
    """ASGI middleware: 401 with BigQuery's error body unless the token is right; health checks are open.

    Stock ignores credentials: whoever reaches the port reads and writes everything.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], token: BearerToken) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            sent = [value for name, value in scope["headers"] if name == b"authorization"]
            if len(sent) != 1 or not self._token.matches(sent[0]):
                await self._refuse(send)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, send: Send) -> None:
        reason = {
            "domain": "global",
            "reason": "authError",
            "message": _MESSAGE,
            "location": "Authorization",
            "locationType": "header",
        }
        error = {"code": 401, "message": _MESSAGE, "errors": [reason], "status": "UNAUTHENTICATED"}
        body = json.dumps({"error": error}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"www-authenticate", b"Bearer"),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class RequireBearerMetadata(ServerInterceptor):  # type: ignore[misc]
    """gRPC interceptor: UNAUTHENTICATED unless the metadata `authorization` carries the token.

    On a channel without TLS a client sends it as plain metadata (gRPC refuses call credentials there).
    """

    def __init__(self, token: BearerToken) -> None:
        self._token = token

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Pass the call on, or put a refusal of the same kind of call in its place."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(_OPEN_SERVICES):
            return handler
        if self._token.matches(_authorization(handler_call_details.invocation_metadata or ())):
            return handler
        return _refusal(handler)


def _authorization(metadata: Iterable[tuple[str, str | bytes]]) -> str | bytes | None:
    sent = [value for name, value in metadata if name.lower() == "authorization"]
    return sent[0] if len(sent) == 1 else None


def _refusal(handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
    async def refuse(_request: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, _MESSAGE)

    async def refuse_stream(_request: Any, context: grpc.aio.ServicerContext) -> Any:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, _MESSAGE)
        yield b""  # never reached: it makes this a generator, as a streaming answer has to be

    make, behaviour = {
        (False, False): (grpc.unary_unary_rpc_method_handler, refuse),
        (True, False): (grpc.stream_unary_rpc_method_handler, refuse),
        (False, True): (grpc.unary_stream_rpc_method_handler, refuse_stream),
        (True, True): (grpc.stream_stream_rpc_method_handler, refuse_stream),
    }[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(behaviour, handler.request_deserializer, handler.response_serializer)
