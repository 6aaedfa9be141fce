"""The event stream of prices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from infra.embedded.hermes.board import Snapshot
from infra.embedded.hermes.failures import ENDING
from infra.embedded.hermes.hub import END, Hub, Note, StreamQueue
from infra.embedded.hermes.models import FailureMode

_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class PriceStream(Response):
    """Sends an event for each update until the client leaves, the server ends, or a failure ends it.

    `body_of` writes the data of an event. Between events a comment keeps the connection alive.
    """

    def __init__(self, hub: Hub, body_of: Callable[[Snapshot], str], keep_alive_s: float) -> None:
        super().__init__()
        self._hub = hub
        self._body_of = body_of
        self._keep_alive_s = keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- the signature of ASGI
        """Serve one client."""
        queue = self._hub.join()
        watcher = asyncio.create_task(_end_with_client(receive, queue))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await _send(send, ":\n\n")
            if await self._serve(queue, send):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            # Without the last message the server drops the connection: a reset.
        finally:
            watcher.cancel()
            self._hub.leave(queue)

    async def _serve(self, queue: StreamQueue, send: Send) -> bool:
        """Send events; whether the stream ends properly."""
        while True:
            if ending := self._hub.failures.take(ENDING):
                if ending.mode is FailureMode.RESET:
                    return False
                await _send(send, f"event: error\ndata: {ending.text}\n\n")
                return True
            if self._hub.refuses_streams():
                return True
            try:
                item = await asyncio.wait_for(queue.get(), self._keep_alive_s)
            except TimeoutError:
                await _send(send, ":\n\n")
                continue
            if item is END:
                return True
            if isinstance(item, Note):
                continue
            if self._hub.failures.is_active(FailureMode.SILENT):
                await _send(send, ":\n\n")
                continue
            if slow := self._hub.failures.take(frozenset({FailureMode.SLOW})):
                await asyncio.sleep(slow.delay_s)
            await _send(send, f"data: {self._body_of(item)}\n\n")


async def _end_with_client(receive: Receive, queue: StreamQueue) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(END)


async def _send(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
