"""Answers over HTTP: a failed query fails, and a repeated request is not run twice."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from bqemulator.domain.errors import AlreadyExistsError
from fastapi import Request
from fastapi.responses import JSONResponse

from infra.embedded.bigquery.handlers import Handlers

_STATUS_OF_REASON = {"notFound": 404, "duplicate": 409, "accessDenied": 403}
REMEMBERED_ANSWERS = 256


def answer_failed_queries_with_their_status(handlers: Handlers) -> None:
    """`jobs.query` answers a failed statement with its HTTP status.

    Stock answers 200 with an `errors` list, which `query_and_wait` reads as an empty result.
    """

    def make(handler: Any) -> Any:
        async def run(**arguments: Any) -> Any:
            answer = await handler(**arguments)
            failures = answer.get("errors") if isinstance(answer, dict) else None
            if not failures:
                return answer
            code = _STATUS_OF_REASON.get(failures[0].get("reason", ""), 400)
            error = {"code": code, "message": failures[0].get("message", ""), "errors": failures}
            return JSONResponse({"error": error}, code)

        return run

    handlers.wrap("query", make)


class Answers:
    """Answers to requests that carry an id, so that a repeat of the request gets the same one.

    Used from one event loop only. A request that failed is forgotten and may be repeated.
    """

    def __init__(self, limit: int = REMEMBERED_ANSWERS) -> None:
        self._limit = limit
        self._answers: OrderedDict[Hashable, tuple[str, asyncio.Future[Any]]] = OrderedDict()

    async def once(self, key: Hashable, body: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """The answer of `make`, run at most once for `key`; `AlreadyExistsError` when `body` is another request's."""
        known = self._answers.get(key)
        if known is None:
            future: asyncio.Future[Any] = asyncio.ensure_future(make())
            self._answers[key] = (body, future)
            future.add_done_callback(lambda done: self._forget_failure(key, done))
            while len(self._answers) > self._limit:
                self._answers.popitem(last=False)
        elif known[0] != body:
            raise AlreadyExistsError(f"Already Exists: Job {key}")
        else:
            future = known[1]
        return await asyncio.shield(future)

    def _forget_failure(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None or isinstance(done.result(), JSONResponse):
            self._answers.pop(key, None)
        elif done.result().get("rows"):
            self._answers.pop(key, None)  # a repeated read may run again; its rows are not kept twice


def run_repeated_requests_once(handlers: Handlers) -> None:
    """A repeat of `jobs.query` (same requestId) or `jobs.insert` (same job id) gets the first one's answer.

    Stock runs it again: a client that repeats a request whose answer was lost inserts its rows twice.
    """
    answers = Answers()

    def make(handler: Any) -> Any:
        async def run(**arguments: Any) -> Any:
            request: Request = arguments["request"]
            body = await request.json()
            request_id = body.get("requestId") or body.get("jobReference", {}).get("jobId")
            if not request_id or body.get("dryRun") or body.get("configuration", {}).get("dryRun"):
                return await handler(**arguments)
            text = (await request.body()).decode("utf-8", "replace")
            return await answers.once((arguments["project_id"], request_id), text, lambda: handler(**arguments))

        return run

    for name in ("query", "insert_job"):
        handlers.wrap(name, make)
