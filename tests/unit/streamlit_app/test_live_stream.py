"""The stream over HTTP: what a browser gets, and that whoever goes is forgotten."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from compliance.model import Role
from streamlit_app.server import live
from streamlit_app.server.live import Hub
from tests.unit.streamlit_app.live_server import Guest, Source, guarded, sections_of, serving, until


@dataclass
class Stage:
    """A served hub with its source and its guest."""

    url: str
    hub: Hub
    source: Source
    guest: Guest


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A hub of the topic `t`, which beats and checks its visitors often."""
    source, guest = Source(), Guest()
    hub = Hub(tick_s=0.01, beat_s=0.05, max_listeners=3)
    hub.register("t", source.render)
    hub.register("secret", source.render, frozenset({Role.AUDITOR}))
    with serving(guarded(live.routes(hub, check_s=0.1), guest)) as url:
        yield Stage(url, hub, source, guest)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that waits for a while."""
    with httpx.Client(timeout=20) as found:
        yield found


def page_of(events: Iterator[ServerSentEvent]) -> dict[str, Any]:
    """The next event that is a page."""
    return next(json.loads(event.data) for event in events if event.event == "page")


def test_stream__sends_the_page_and_what_changes(stage: Stage, client: httpx.Client) -> None:
    with connect_sse(client, "GET", f"{stage.url}/live/t") as source:
        assert source.response.headers["cache-control"] == "no-store, no-transform"
        events = source.iter_sse()
        assert next(events).retry == 1000
        first = next(events)
        assert (first.event, first.id) == ("page", "1")
        stage.source.sections["b"] = "<p>\u00fc</p>"
        assert sections_of(page_of(events)) == {"b": "<p>\u00fc</p>"}


def test_stream__who_comes_back_gets_the_whole_page(stage: Stage, client: httpx.Client) -> None:
    for _ in range(2):
        with connect_sse(client, "GET", f"{stage.url}/live/t", headers={"Last-Event-ID": "99"}) as source:
            assert set(sections_of(page_of(source.iter_sse()))) == {"a", "b"}
        until(lambda: stage.hub.listeners == 0)


def test_stream__ends_when_the_visitor_is_signed_out(stage: Stage, client: httpx.Client) -> None:
    with connect_sse(client, "GET", f"{stage.url}/live/t") as source:
        events = source.iter_sse()
        page_of(events)
        stage.guest.is_in = False
        assert [event.event for event in events][-1] == "end"
    assert stage.hub.listeners == 0


def test_stream__ends_with_the_hub(stage: Stage, client: httpx.Client) -> None:
    with connect_sse(client, "GET", f"{stage.url}/live/t") as source:
        events = source.iter_sse()
        page_of(events)
        stage.hub.close()
        assert {event.event for event in events} <= {"page", "beat"}
    assert stage.hub.listeners == 0


def test_stream__a_browser_that_takes_nothing_harms_nobody_and_is_forgotten_when_it_goes(
    stage: Stage, client: httpx.Client
) -> None:
    address = urlsplit(stage.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(b"GET /live/t HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: stage.hub.listeners == 1)
        with connect_sse(client, "GET", f"{stage.url}/live/t") as source:
            events = source.iter_sse()
            for number in range(20):
                stage.source.sections["a"] = f"{number}" + "x" * 100_000
                while not sections_of(page_of(events)).get("a", "").startswith(f"{number}x"):
                    pass
    until(lambda: stage.hub.listeners == 0)


@pytest.mark.parametrize(
    ("path", "status"), [("/live/nothing", 404), ("/live/secret", 403), ("/live/" + "t" * 300, 404), ("/live/", 404)]
)
def test_stream__of_what_is_not_there_or_not_allowed_is_refused(
    stage: Stage, client: httpx.Client, path: str, status: int
) -> None:
    assert client.get(stage.url + path).status_code == status
    assert stage.source.looks == 0


def test_stream__is_refused_beyond_its_limit(stage: Stage, client: httpx.Client) -> None:
    with ExitStack() as held:
        for number in range(1, 4):
            held.enter_context(connect_sse(client, "GET", f"{stage.url}/live/t"))
            until(lambda wanted=number: stage.hub.listeners == wanted)
        refused = client.get(f"{stage.url}/live/t")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    until(lambda: stage.hub.listeners == 0)


def test_stream__asked_by_head_says_who_may_listen_and_begins_nothing(stage: Stage, client: httpx.Client) -> None:
    assert client.head(f"{stage.url}/live/t").status_code == 200
    stage.guest.is_in = False
    assert client.head(f"{stage.url}/live/t").status_code == 401
    assert (stage.source.looks, stage.hub.listeners) == (0, 0)


def test_stream__an_account_with_any_name_is_its_argument(stage: Stage, client: httpx.Client) -> None:
    account = "acct/1 \u00fc?&#"
    with connect_sse(client, "GET", f"{stage.url}/live/t:{quote(account, safe='')}") as source:
        page_of(source.iter_sse())
    assert stage.source.arguments[0] == account


def test_stream__without_a_door_answers_nobody() -> None:
    from starlette.applications import Starlette

    hub, source = Hub(), Source()
    hub.register("t", source.render)

    async def ask() -> None:
        transport = httpx.ASGITransport(Starlette(routes=live.routes(hub)))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            await client.get("/live/t")

    with pytest.raises(RuntimeError, match="not behind the door"):
        asyncio.run(ask())
    assert source.looks == 0
