"""The frame around both contracts: count, fail on command, answer, and answer late on command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from infra.embedded.kyc.database import Database, Failure

MAX_BODY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the contracts see it; header names in lower case."""

    method: str
    target: str
    path_id: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `is_stored`: it is what its idempotency key gets from now on."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """The contract refuses the request."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"HTTP {reply.status}")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint: its name for failures, how it answers, and the provider's shape of an error.

    A failure on command is given to `handle`, which decides whether it is stored; a late answer has taken effect.
    """

    provider: str
    name: str
    handle: Callable[[Call, Reply | None], Reply]
    error: Callable[[int, str], Mapping[str, Any]]


async def serve(operation: Operation, database: Database, request: Request, path_id: str = "") -> Response:
    """The answer to a request; a commanded delay comes after its effect, so that who gives up has been heard."""
    body = await request.body()
    query = request.scope["query_string"].decode("latin-1")
    target = request.scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    headers = dict(request.headers.items())
    call = Call(request.method, target, path_id, dict(request.query_params), headers, body[:MAX_BODY_BYTES])
    failure = await run_in_threadpool(database.take, operation.provider, operation.name)
    reply = await run_in_threadpool(_handled, operation, call, failure)
    if failure is not None and failure.delay_s > 0:
        await asyncio.sleep(failure.delay_s)
    return JSONResponse(reply.body, reply.status, dict(reply.headers))


def _handled(operation: Operation, call: Call, failure: Failure | None) -> Reply:
    commanded = None
    if failure is not None and failure.status is not None:
        headers = {} if failure.reset_s is None else {"ratelimit-limit": "300", "ratelimit-remaining": "0"}
        if failure.reset_s is not None:
            headers["ratelimit-reset"] = str(failure.reset_s)
        commanded = Reply(failure.status, operation.error(failure.status, "failure on command"), headers)
    try:
        return operation.handle(call, commanded)
    except RefusedError as refused:
        return refused.reply
