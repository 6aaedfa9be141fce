"""How handlers become gRPC methods: wire types in and out, and every refusal as a status with a message."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from infra.embedded.pubsub.commit import store_refusal
from infra.embedded.pubsub.model import Proto, PubsubError
from infra.runtime.logs import get_logger

Context = Any
"""`grpc.aio.ServicerContext`, which carries no types."""
Unary = Any
"""A gRPC method handler."""


def unary(method: Callable[[Proto, Context], Awaitable[Proto]], request_type: Any) -> Unary:
    """A method of one request and one answer."""

    async def handle(request: Proto, context: Context) -> Proto:
        async with _Refusals(context):
            return await method(request, context)

    return grpc.unary_unary_rpc_method_handler(handle, request_type.pb().FromString, _serialize)


def streaming(method: Callable[[AsyncIterator[Proto], Context], Awaitable[None]], request_type: Any) -> Unary:
    """A method of streams both ways, which writes to its context."""

    async def handle(requests: AsyncIterator[Proto], context: Context) -> None:
        async with _Refusals(context):
            await method(requests, context)

    return grpc.stream_stream_rpc_method_handler(handle, request_type.pb().FromString, _serialize)


def _serialize(message: Proto) -> bytes:
    return bytes(message.SerializeToString())


class _Refusals:
    """Ends the call with the status of the error that leaves the block; an unforeseen one is logged, and INTERNAL."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            error = store_refusal(error)
        if isinstance(error, PubsubError):
            await self._context.abort(error.status, error.message)
        elif isinstance(error, Exception):
            get_logger(__name__).error("call_failed", exc_info=error)
            await self._context.abort(grpc.StatusCode.INTERNAL, "The server failed. Its log has the reason.")
