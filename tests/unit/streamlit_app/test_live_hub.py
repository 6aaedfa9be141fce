"""The hub: who is told what and when, and what it costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from compliance.model import Role
from streamlit_app.server.channels import Listener, LivePage
from streamlit_app.server.live import Away, Hub
from tests.unit.streamlit_app.live_server import Source, sections_of

TICK_S = 0.01
PATIENCE_S = 10.0


def run(source: Source, act: Callable[[Hub], Awaitable[None]], **changes: Any) -> None:
    """Act on a hub with a fast tick whose topic `t` is the source."""

    async def main() -> None:
        hub = Hub(**{"tick_s": TICK_S, "beat_s": 5.0, **changes})
        hub.register("t", source.render)
        await asyncio.wait_for(act(hub), PATIENCE_S)

    asyncio.run(main())


def read(event: bytes) -> tuple[str, dict[str, Any]]:
    """Name and content of one event."""
    lines = event.decode().rstrip("\n").split("\n")
    fields = dict(line.split(": ", 1) for line in lines)
    assert event.endswith(b"\n\n")
    return fields["event"], json.loads(fields["data"])


async def next_page(listener: Listener, *, is_late: bool = False) -> dict[str, Any]:
    """The next page that is late or not."""
    while True:
        name, content = read(await listener.next())
        if name == "page" and content["is_late"] is is_late:
            return content


def test_hub__sends_the_whole_page_first_and_then_what_changed() -> None:
    source = Source(ages={"data": 3.0})

    async def act(hub: Hub) -> None:
        async with hub.listening("t") as listener:
            first = await next_page(listener)
            assert sections_of(first) == {"a": "<p>one</p>", "b": "<p>two</p>"}
            assert first["ages"]["data"] >= 3.0
            source.sections = {"a": "<p>one</p>", "b": "<p>2</p>\u2028\r\n", "c": "new"}
            second = await next_page(listener)
            assert sections_of(second) == {"b": "<p>2</p>\u2028\r\n", "c": "new"}
            assert second["order"] == ["a", "b", "c"]
            del source.sections["a"]
            assert (await next_page(listener))["order"] == ["b", "c"]

    run(source, act)


def test_hub__reads_nothing_while_nobody_listens() -> None:
    source = Source()

    async def act(hub: Hub) -> None:
        await asyncio.sleep(5 * TICK_S)
        assert source.looks == 0
        async with hub.listening("t") as listener:
            await listener.next()
        assert hub.listeners == 0
        looks = source.looks
        await asyncio.sleep(10 * TICK_S)
        # One look may have been under way.
        assert source.looks <= looks + 1

    run(source, act)


def test_hub__looks_once_for_all_listeners() -> None:
    source = Source()

    async def act(hub: Hub) -> None:
        source.block.clear()
        async with hub.listening("t") as one, hub.listening("t") as two, hub.listening("t") as three:
            waiting = [asyncio.create_task(next_page(each)) for each in (one, two, three)]
            await asyncio.sleep(5 * TICK_S)
            assert source.looks == 1
            source.block.set()
            pages = await asyncio.gather(*waiting)
            assert pages[0]["sections"] == pages[1]["sections"] == pages[2]["sections"]

    run(source, act)


def test_hub__a_slow_listener_gets_the_newest_state_and_no_queue() -> None:
    source = Source()

    async def act(hub: Hub) -> None:
        async with hub.listening("t") as slow, hub.listening("t") as quick:
            await next_page(slow)
            for number in range(3):
                source.sections["a"] = f"<p>{number}</p>"
                while sections_of(await next_page(quick)).get("a") != f"<p>{number}</p>":
                    pass
            assert sections_of(await next_page(slow)) == {"a": "<p>2</p>"}
            task = asyncio.create_task(slow.next())
            await asyncio.sleep(5 * TICK_S)
            assert not task.done()
            task.cancel()

    run(source, act)


def test_hub__beats_while_nothing_changes() -> None:
    source = Source(ages={"data": 1.0})

    async def act(hub: Hub) -> None:
        async with hub.listening("t") as listener:
            await next_page(listener)
            # Within the tolerance the browser counts by itself.
            name, content = read(await listener.next())
            assert (name, content["is_late"], content["is_old"]) == ("beat", False, False)
            assert content["ages"]["data"] >= 1.0

    run(source, act, beat_s=0.05)


def test_hub__an_age_that_the_browser_cannot_count_to_is_sent() -> None:
    source = Source(ages={"price": 30.0, "other": None})

    async def act(hub: Hub) -> None:
        async with hub.listening("t") as listener:
            await next_page(listener)
            source.ages = {"price": 0.5, "other": None}
            page = await next_page(listener)
            assert page["sections"] == []
            assert page["ages"]["price"] < 5

    run(source, act)


def test_hub__says_when_a_look_takes_too_long_and_when_it_is_over() -> None:
    source, other = Source(), Source()

    async def act(hub: Hub) -> None:
        hub.register("other", other.render)
        async with hub.listening("t") as listener, hub.listening("other") as neighbour:
            await next_page(listener)
            await next_page(neighbour)
            source.block.clear()
            late = await next_page(listener, is_late=True)
            assert late["sections"] == []
            other.sections["a"] = "on it goes"
            assert sections_of(await next_page(neighbour)) == {"a": "on it goes"}
            looks = source.looks
            await asyncio.sleep(5 * TICK_S)
            assert source.looks == looks
            source.block.set()
            await next_page(listener)

    run(source, act, render_deadline_s=0.05)


def test_hub__a_failing_page_is_late_and_comes_back() -> None:
    source = Source()

    async def act(hub: Hub) -> None:
        async with hub.listening("t") as listener:
            await next_page(listener)
            source.error = RuntimeError("a fault of ours")
            await next_page(listener, is_late=True)
            source.error = None
            await next_page(listener)

    run(source, act)


def test_hub__who_comes_while_nothing_is_known_hears_a_heartbeat() -> None:
    source = Source(error=RuntimeError("a fault of ours"))

    async def act(hub: Hub) -> None:
        async with hub.listening("t") as listener:
            name, content = read(await listener.next())
            assert (name, content) == ("beat", {"is_late": True})

    run(source, act)


def test_hub__gives_a_topic_its_argument() -> None:
    source = Source()

    async def act(hub: Hub) -> None:
        async with hub.listening("t:acct:7") as listener, hub.listening("t") as other:
            await listener.next()
            await other.next()

    run(source, act)
    assert set(source.arguments) == {"acct:7", None}


def test_hub__refuses_what_it_does_not_know_what_is_not_allowed_and_too_many() -> None:
    source = Source()

    async def act(hub: Hub) -> None:
        hub.register("secret", source.render, frozenset({Role.AUDITOR}))
        assert hub.refusal("t", Role.VIEWER) is None
        assert hub.refusal("nothing", Role.VIEWER) is Away.UNKNOWN
        assert hub.refusal("t:" + "x" * 1_000, Role.VIEWER) is Away.UNKNOWN
        assert hub.refusal("secret", Role.VIEWER) is Away.FORBIDDEN
        assert hub.refusal("secret:1", Role.AUDITOR) is None
        async with hub.listening("t"), hub.listening("t"):
            assert hub.refusal("t", Role.VIEWER) is Away.FULL
        assert hub.refusal("t", Role.VIEWER) is None

    run(source, act, max_listeners=2)


def test_page__is_made_for_the_asker_or_shared_with_listeners() -> None:
    source = Source(ages={"data": 1.0})

    async def act(hub: Hub) -> None:
        page = await hub.page("t", PATIENCE_S)
        assert page == LivePage(source.sections, {"data": 1.0}, False)
        async with hub.listening("t") as listener:
            await next_page(listener)
            source.block.clear()
            await next_page(listener, is_late=True)
            old = await hub.page("t", PATIENCE_S)
            assert old is not None
            assert old.is_old
            source.block.set()

    run(source, act, render_deadline_s=0.05)


@pytest.mark.parametrize("error", [None, RuntimeError("a fault of ours")])
def test_page__that_cannot_be_made_in_time_is_none(error: Exception | None) -> None:
    source = Source(error=error)

    async def act(hub: Hub) -> None:
        if error is None:
            source.block.clear()
        assert await hub.page("t", 0.05 if error is None else PATIENCE_S) is None
        source.block.set()

    run(source, act)
