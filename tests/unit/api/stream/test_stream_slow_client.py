"""A client that reads slowly: figures are replaced by newer ones, alerts wait, and too many of them end it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from fastapi import WebSocket
from pydantic import SecretStr

from api.stream import outbox
from api.stream.hub import Hub
from api.stream.policy import StreamPolicy
from api.stream.session import Session
from infra.runtime.clock import FixedClock

WANTS = {"type": "subscribe", "accounts": ["acct-1", "acct-2"], "prices": "*", "alerts": True}


@dataclass
class SlowSocket:
    """A client's end that takes messages only while its gate is open."""

    client: Any = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    inbox: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    taken: list[dict[str, Any]] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def say(self, message: dict[str, Any]) -> None:
        self.inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def leave(self) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def accept(self, _: str | None) -> None:
        pass

    async def receive(self) -> dict[str, Any]:
        return await self.inbox.get()

    async def send_text(self, text: str) -> None:
        await self.gate.wait()
        self.taken.append(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    async def until(self, is_there: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_there():
                await asyncio.sleep(0.005)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.taken if message["type"] == kind]


@pytest.fixture
def run(book: Any, clock: FixedClock, quick: StreamPolicy) -> Callable[..., SlowSocket]:
    """Run a scene with a session on the book, whose heartbeats are seldom; give the socket."""

    def play(scene: Callable[[SlowSocket, Hub], Awaitable[None]], **limits: Any) -> SlowSocket:
        async def live() -> SlowSocket:
            hub = Hub(book, clock, replace(quick, heartbeat_s=3600.0, **limits), SecretStr("t"))
            hub.start()
            socket = SlowSocket(client=SimpleNamespace(host="127.0.0.1"))
            session = asyncio.create_task(Session(cast(WebSocket, socket), hub).run(None))
            socket.gate.set()
            socket.say(WANTS)
            await socket.until(lambda: bool(socket.of("snapshot")))
            await scene(socket, hub)
            async with asyncio.timeout(60):
                await session
            await hub.close()
            return socket

        return anyio.run(live)

    return play


def test_slow_client__gets_only_the_newest_figures_and_every_alert(run: Callable[..., SlowSocket], book: Any) -> None:
    async def scene(socket: SlowSocket, hub: Hub) -> None:
        socket.gate.clear()
        for number in range(1, 21):
            book.put_health("acct-1", health_pct=Decimal(number))
            await socket.until(lambda number=number: hub.health.rows["acct-1"].health_pct == number)
            book.put_price(f"p-{number:02}", price_usd=str(number), at=hub.clock.now() + timedelta(seconds=number))
            await socket.until(lambda number=number: hub.prices.latest["BTC"].price_usd == number)
            book.put_alert(f"event-{number:02}")
            await socket.until(lambda number=number: hub.alerts.log.end == number)
        socket.gate.set()
        await socket.until(lambda: len(socket.of("alert")) == 20 and socket.taken[-1]["type"] == "health")
        socket.leave()

    socket = run(scene)
    assert [each["margin_event_id"] for each in socket.of("alert")] == [f"event-{number:02}" for number in range(1, 21)]
    # One was on its way when the client stopped reading.
    assert len(socket.of("health")) <= 2
    assert len(socket.of("price")) <= 2
    assert socket.of("health")[-1]["health"]["health_pct"] == "20"
    assert socket.of("price")[-1]["price"]["price_usd"] == "20"
    assert socket.of("lagging")[0]["left_out"] >= 36
    assert socket.closed is None


def test_slow_client__with_too_many_alerts_waiting_is_closed_with_1013(
    run: Callable[..., SlowSocket], book: Any
) -> None:
    async def scene(socket: SlowSocket, hub: Hub) -> None:
        socket.gate.clear()
        for number in range(20):
            book.put_alert(f"event-{number:02}", "acct-2")
        await socket.until(lambda: socket.closed is not None)

    assert run(scene, max_waiting_alerts=5).closed == (1013, "alerts_waiting")


def test_slow_client__is_not_closed_for_alerts_of_others(run: Callable[..., SlowSocket], book: Any) -> None:
    async def scene(socket: SlowSocket, hub: Hub) -> None:
        socket.gate.clear()
        for number in range(20):
            book.put_alert(f"event-{number:02}", "acct-of-another")
        await socket.until(lambda: hub.alerts.log.end == 20)
        book.put_alert("own", "acct-2")
        socket.gate.set()
        await socket.until(lambda: bool(socket.of("alert")))
        socket.leave()

    socket = run(scene, max_waiting_alerts=5)
    assert [each["margin_event_id"] for each in socket.of("alert")] == ["own"]
    assert socket.closed is None


def test_slow_client__whose_send_takes_too_long_is_closed_with_1013(run: Callable[..., SlowSocket], book: Any) -> None:
    async def scene(socket: SlowSocket, hub: Hub) -> None:
        socket.gate.clear()
        book.put_alert("event-1")
        await socket.until(lambda: socket.closed is not None)

    assert run(scene, send_timeout_s=0.05).closed == (1013, "send_timeout")


def test_hub__that_closes_ends_its_connections_with_1012(run: Callable[..., SlowSocket]) -> None:
    async def scene(socket: SlowSocket, hub: Hub) -> None:
        await hub.close()

    assert run(scene).closed == (1012, "restart")


def test_burst__of_alerts_over_pages_closes_no_client_that_reads(run: Callable[..., SlowSocket], book: Any) -> None:
    wanted = [f"event-{number:03}" for number in range(200)]

    async def scene(socket: SlowSocket, hub: Hub) -> None:
        book.put_alerts(wanted)
        await socket.until(lambda: len(socket.of("alert")) == len(wanted))
        socket.leave()

    socket = run(scene, alert_page=10, max_waiting_alerts=100)
    assert [each["margin_event_id"] for each in socket.of("alert")] == wanted
    assert socket.closed is None


def test_fault__of_our_own_closes_with_1011(
    run: Callable[..., SlowSocket], book: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(socket: SlowSocket, hub: Hub) -> None:
        monkeypatch.setattr(outbox, "_content", None)
        book.put_alert("event-1")
        await socket.until(lambda: socket.closed is not None)

    assert run(scene).closed == (1011, "internal_error")
