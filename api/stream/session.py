"""One connection: it reads the client's frames and sends what its outbox gives, until one of both ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from api.stream.errors import CLOSE_POLICY, CLOSE_TRY_AGAIN, MistakeError, StreamClosedError
from api.stream.hub import Hub
from api.stream.messages import ErrorMessage, Ping, PongMessage, Subscribe, parse_client_message
from api.stream.outbox import Outbox
from api.stream.policy import MAX_FRAME_BYTES
from infra.runtime.logs import get_logger

CLOSE_TOO_LARGE = 1009
CLOSE_INTERNAL = 1011
_log = get_logger(__name__)


class Session:
    """An accepted connection; `run` lasts as long as it does."""

    def __init__(self, socket: WebSocket, hub: Hub) -> None:
        self._socket = socket
        self._hub = hub
        self._policy = hub.policy
        self._outbox = Outbox(hub)
        self._mistakes = 0
        self._received: deque[float] = deque()

    async def run(self, subprotocol: str | None) -> None:
        """Accept the client and serve it until it leaves or must leave."""
        loop = asyncio.get_running_loop()
        client, started = self._socket.client, loop.time()
        closed = StreamClosedError(1001, "cancelled")
        # Counted before it is accepted, so that no more than the limit are.
        self._hub.join(self._outbox)
        try:
            await self._socket.accept(subprotocol)
            _log.info("stream_opened", client=client.host if client else None)
            closed = await self._serve()
        finally:
            self._hub.leave(self._outbox)
            self._outbox.close()
            numbers = {"duration_s": round(loop.time() - started, 1), "data_sent": self._outbox.seq}
            _log.info("stream_closed", close_code=closed.close_code, reason=closed.message, **numbers)
        await self._close(closed)

    async def _serve(self) -> StreamClosedError:
        """Why the connection ended."""
        tasks = {asyncio.create_task(self._receive()), asyncio.create_task(self._send())}
        ended = self._outbox.ended
        try:
            waited: set[asyncio.Future[Any]] = {*tasks, ended}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return StreamClosedError(*ended.result())
            return next(task for task in tasks if task.done()).result()
        except Exception:
            _log.exception("stream_failed")
            return StreamClosedError(CLOSE_INTERNAL, "internal_error")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> StreamClosedError:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._policy.subscribe_within_s
        try:
            while True:
                async with asyncio.timeout_at(None if self._outbox.has_subscribed else deadline):
                    frame = await self._socket.receive()
                if frame["type"] == "websocket.disconnect":
                    return StreamClosedError(int(frame.get("code") or 1005), "client_left")
                try:
                    self._count(loop.time())
                    self._handle(frame.get("text"))
                except MistakeError as mistake:
                    self._mistake(mistake)
        except TimeoutError:
            return StreamClosedError(CLOSE_POLICY, "not_subscribed")
        except StreamClosedError as closed:
            return closed

    def _count(self, now: float) -> None:
        self._received.append(now)
        while self._received[0] < now - self._policy.message_window_s:
            self._received.popleft()
        if len(self._received) > self._policy.max_messages_in_window:
            raise StreamClosedError(CLOSE_POLICY, "too_many_messages")

    def _handle(self, text: str | None) -> None:
        if text is None:
            raise MistakeError("frame_not_text", "The stream takes text frames of JSON, no binary ones.")
        if len(text) > MAX_FRAME_BYTES:
            raise StreamClosedError(CLOSE_TOO_LARGE, "frame_too_large")
        match parse_client_message(text):
            case Subscribe() as request:
                self._outbox.subscribe(request)
            case Ping():
                self._outbox.answer(PongMessage(server_time=self._hub.clock.now()))
            case _:
                pass

    def _mistake(self, mistake: MistakeError) -> None:
        self._mistakes += 1
        if self._mistakes >= self._policy.max_mistakes:
            raise StreamClosedError(CLOSE_POLICY, "too_many_mistakes")
        self._outbox.answer(ErrorMessage(code=mistake.code, message=mistake.message))

    async def _send(self) -> StreamClosedError:
        while True:
            message = self._outbox.next()
            if message is None:
                await self._outbox.wait()
                continue
            try:
                async with asyncio.timeout(self._policy.send_timeout_s):
                    await self._socket.send_text(message.model_dump_json())
            except TimeoutError:
                return StreamClosedError(CLOSE_TRY_AGAIN, "send_timeout")
            except WebSocketDisconnect as gone:
                return StreamClosedError(gone.code, "client_left")
            # A send does not give way by itself while the socket takes everything.
            await asyncio.sleep(0)

    async def _close(self, closed: StreamClosedError) -> None:
        """Tell the client why; one that reads nothing is left after a moment, and sees the connection end."""
        if closed.message == "client_left":
            return
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(self._policy.close_timeout_s):
                await self._socket.close(closed.close_code, closed.message)
