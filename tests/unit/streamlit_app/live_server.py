"""A small server of live topics on a free port, behind a door that lets one visitor in until he is put out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from compliance.model import Role
from infra.embedded.ports import free_ports
from streamlit_app.server.channels import LivePage
from streamlit_app.server.session import STILL_IN_KEY, VISITOR_KEY, Visitor

PATIENCE_S = 20.0


@dataclass
class Guest:
    """Who is let in; `is_in` may change while an answer lasts."""

    visitor: Visitor = field(default_factory=lambda: Visitor("ann", Role.OFFICER))
    is_in: bool = True


@dataclass
class Source:
    """The page of a topic that a test changes; `block` makes looks wait, `error` makes them fail."""

    sections: dict[str, str] = field(default_factory=lambda: {"a": "<p>one</p>", "b": "<p>two</p>"})
    ages: dict[str, float | None] = field(default_factory=dict)
    is_old: bool = False
    error: Exception | None = None
    looks: int = 0
    arguments: list[str | None] = field(default_factory=list)
    block: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.block.set()

    def render(self, argument: str | None) -> LivePage:
        """The page now."""
        self.looks += 1
        self.arguments.append(argument)
        assert self.block.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return LivePage(dict(self.sections), dict(self.ages), self.is_old)


class GuestDoor:
    """Stands where the app's door does."""

    def __init__(self, app: ASGIApp, guest: Guest) -> None:
        self._app, self._guest = app, guest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the guest in, or answer 401."""
        if scope["type"] == "http":
            if not self._guest.is_in:
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            scope = {**scope, VISITOR_KEY: self._guest.visitor, STILL_IN_KEY: lambda: self._guest.is_in}
        await self._app(scope, receive, send)


def guarded(routes: Sequence[BaseRoute], guest: Guest) -> Starlette:
    """An application of these routes behind the guest's door."""
    return Starlette(routes=list(routes), middleware=[Middleware(GuestDoor, guest=guest)])


@dataclass
class Asker:
    """Asks an application without a server; `headers` go with every request."""

    app: ASGIApp
    headers: dict[str, str] = field(default_factory=lambda: {"accept-encoding": "identity"})

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The answer to a GET."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                return await client.get(path, headers={**self.headers, **(headers or {})})

        return asyncio.run(ask())


@contextmanager
def serving(app: ASGIApp, port: int | None = None) -> Iterator[str]:
    """The address of the application, served by uvicorn in a thread until the block ends."""
    port = port or free_ports(1)[0]
    # Streams that a test left open are cut: its client stands for a browser that goes.
    config = uvicorn.Config(app, port=port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="live-server")
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def until(check: object, patience_s: float = PATIENCE_S) -> None:
    """Wait until the check holds."""
    assert callable(check)
    ends = time.monotonic() + patience_s
    while not check():
        assert time.monotonic() < ends, "gave up waiting"
        time.sleep(0.01)


def sections_of(page: Mapping[str, object]) -> dict[str, str]:
    """The sections of an event as they came."""
    found = page["sections"]
    assert isinstance(found, list)
    return {str(name): str(html) for name, html in found}
