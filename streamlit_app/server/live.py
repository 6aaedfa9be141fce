"""The live topics: one look at the warehouse for all who watch a topic, sent to each as Server-Sent Events.

A browser gets the whole page first and then the sections that changed. Nothing is queued for anybody: who is slow gets
the newest state when it is ready for it. Nobody watches: nothing is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from compliance.model import Role
from infra.runtime.logs import get_logger
from streamlit_app.server.channels import Channel, Listener, LivePage
from streamlit_app.server.session import is_still_in, request_visitor

TICK_S = 0.5
# A look that takes longer leaves the rest of the process at least as much time as it took itself.
REST_SHARE = 1.0
RENDER_DEADLINE_S = 4.0
BEAT_S = 5.0
RETRY_MS = 1_000
SESSION_CHECK_S = 30.0
SEND_DEADLINE_S = 30.0
MAX_LISTENERS = 400
MAX_TOPIC_LENGTH = 250
__all__ = ["Away", "EventStream", "Hub", "LivePage", "Topic", "routes"]
_log = get_logger(__name__)


class Away(StrEnum):
    """Why somebody cannot listen."""

    UNKNOWN = "unknown"
    FORBIDDEN = "forbidden"
    FULL = "full"


Render = Callable[[str | None], LivePage]


@dataclass(frozen=True)
class Topic:
    """A registered kind of topic: how its page is made, and who may see it (None: everybody who is signed in)."""

    render: Render
    roles: frozenset[Role] | None = None


class Hub:
    """Renders each watched topic once a tick for all its listeners, in threads, each look with a deadline."""

    def __init__(
        self,
        *,
        tick_s: float = TICK_S,
        render_deadline_s: float = RENDER_DEADLINE_S,
        beat_s: float = BEAT_S,
        max_listeners: int = MAX_LISTENERS,
        workers: int = 6,
    ) -> None:
        self._tick_s, self._deadline_s, self._beat_s = tick_s, render_deadline_s, beat_s
        self._max_listeners = max_listeners
        self._topics: dict[str, Topic] = {}
        self._channels: dict[str, Channel] = {}
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="hub")
        self._closed = asyncio.Event()

    def register(self, topic: str, render: Render, roles: frozenset[Role] | None = None) -> None:
        """Offer a topic; `render` runs in a thread and gets what stands after the colon of `name:argument`, or None."""
        self._topics[topic] = Topic(render, roles)

    @property
    def listeners(self) -> int:
        """How many browsers listen now."""
        return sum(channel.listeners for channel in self._channels.values())

    def refusal(self, topic: str, role: Role) -> Away | None:
        """Why this role cannot listen to this topic now; None where it can."""
        kind = self._topics.get(topic.partition(":")[0])
        if kind is None or len(topic) > MAX_TOPIC_LENGTH:
            return Away.UNKNOWN
        if kind.roles is not None and role not in kind.roles:
            return Away.FORBIDDEN
        return Away.FULL if self.listeners >= self._max_listeners else None

    @asynccontextmanager
    async def listening(self, topic: str) -> AsyncIterator[Listener]:
        """Listen while the block lasts; the first listener starts the looks and the last one ends them."""
        channel = self._channels.setdefault(topic, Channel(topic))
        channel.listeners += 1
        if channel.task is None:
            channel.task = asyncio.create_task(self._look(channel), name=f"live {topic}")
        try:
            yield Listener(channel, asyncio.get_running_loop().time, self._beat_s)
        finally:
            channel.listeners -= 1
            if channel.listeners == 0:
                self._channels.pop(topic, None)
                channel.task.cancel()

    async def page(self, topic: str, patience_s: float) -> LivePage | None:
        """The page of a topic now: the one that listeners see, or one made for the asker; None if that takes longer."""
        channel, now = self._channels.get(topic), asyncio.get_running_loop().time()
        if channel is not None and channel.page is not None:
            return channel.page.later(now - channel.made_at, True if channel.is_late else None)
        making = self._start(topic)
        done, _ = await asyncio.wait({making}, timeout=patience_s)
        if not done:
            return None
        error = making.exception()
        if error is not None:
            _log.error("live_page_failed", topic=topic.partition(":")[0], error=type(error).__name__)
            return None
        return making.result()

    async def closed(self) -> None:
        """Wait until the process ends."""
        await self._closed.wait()

    def close(self) -> None:
        """End all streams, because the process ends; browsers come back by themselves."""
        self._closed.set()

    def _start(self, topic: str) -> asyncio.Future[LivePage]:
        name, colon, argument = topic.partition(":")
        render = self._topics[name].render
        making = asyncio.get_running_loop().run_in_executor(self._pool, render, argument if colon else None)
        # Nobody may be waiting any more when it fails.
        making.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return making

    async def _look(self, channel: Channel) -> None:
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            making = self._start(channel.topic)
            done, _ = await asyncio.wait({making}, timeout=self._deadline_s)
            if not done:
                # A thread cannot be stopped: wait for it rather than start another one.
                channel.late()
                await asyncio.wait({making})
            error = making.exception()
            if error is None:
                channel.put(making.result(), now())
            else:
                name = channel.topic.partition(":")[0]
                _log.error("live_page_failed", topic=name, error=type(error).__name__, exc_info=error)
                channel.late()
            took = now() - began
            await asyncio.sleep(max(self._tick_s - took, took * REST_SHARE))


class EventStream(Response):
    """The answer to one browser: events until it goes, its session ends, it takes nothing, or the process ends."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, topic: str, is_still_in: Callable[[], bool], check_s: float = SESSION_CHECK_S) -> None:
        super().__init__(headers={"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub, self._topic, self._is_still_in, self._check_s = hub, topic, is_still_in, check_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until one of the reasons to end."""
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        ends = [
            asyncio.create_task(self._feed(send)),
            asyncio.create_task(_gone(receive)),
            asyncio.create_task(self._hub.closed()),
        ]
        try:
            ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        for task in ended:
            error = task.exception()
            if error is not None and not isinstance(error, TimeoutError | OSError):
                raise error
        # Harmless where the browser is gone already.
        await send({"type": "http.response.body", "body": b""})

    async def _feed(self, send: Send) -> None:
        async def put(body: bytes) -> None:
            async with asyncio.timeout(SEND_DEADLINE_S):
                await send({"type": "http.response.body", "body": body, "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await put(f"retry: {RETRY_MS}\n\n".encode())
        now = asyncio.get_running_loop().time
        check_at = now() + self._check_s
        async with self._hub.listening(self._topic) as listener:
            while True:
                event = await listener.next()
                if now() >= check_at:
                    if not self._is_still_in():
                        await put(b"event: end\ndata: signed out\n\n")
                        return
                    check_at = now() + self._check_s
                await put(event)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def routes(hub: Hub, check_s: float = SESSION_CHECK_S) -> list[Route]:
    """`/live/<topic>`, which must stand behind the door; it asks each `check_s` seconds whether the visitor is in."""

    async def live(request: Request) -> Response:
        topic = request.path_params["topic"]
        match hub.refusal(topic, request_visitor(request).role):
            case Away.UNKNOWN:
                return PlainTextResponse("No such topic.", 404)
            case Away.FORBIDDEN:
                return PlainTextResponse("Your role may not see this.", 403)
            case Away.FULL:
                return PlainTextResponse("Too many listeners: try again later.", 503, {"Retry-After": "10"})
            case None:
                return EventStream(hub, topic, lambda: is_still_in(request), check_s)

    return [Route("/live/{topic:path}", live, methods=["GET"])]
