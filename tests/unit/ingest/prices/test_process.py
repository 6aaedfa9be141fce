"""The oracle's threads, its server, and what it does at its start."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from infra.embedded.ports import free_ports
from infra.runtime.clock import FixedClock, SystemClock
from infra.runtime.errors import NotReadyError, SettingsError
from infra.runtime.settings import Settings
from ingest import topics
from ingest.errors import FeedTableError
from ingest.messages import BreakerState, PriceMessage
from ingest.prices import process
from ingest.prices.feeds import FeedTable
from ingest.prices.inbox import Answered, Broken, Inbox
from ingest.prices.metrics import OracleMetrics
from ingest.prices.oracle import Oracle
from ingest.prices.outbox import Outbox
from ingest.prices.reads import LAST_GOOD_PRICES_SQL
from ingest.prices.selection import GoodPrice
from ingest.prices.sources import sources
from ingest.prices.supervision import Restarts, keep_running, start_sources
from ingest.prices.ticks import Sink, Tick

Make = Callable[..., Tick]
AT_ONCE = Restarts(first_s=0.001, longest_s=0.002)


class Scripted:
    """A source that does, run by run, what it is told; after the last it reports until it is stopped."""

    def __init__(self, name: str, *runs: Exception | None, reading: Callable[[], Tick] | None = None) -> None:
        self._name, self.runs, self.reading, self.made = name, list(runs), reading, 0

    def __call__(self) -> Scripted:
        self.made += 1
        return self

    @property
    def name(self) -> str:
        return self._name

    def run(self, sink: Sink, stop: threading.Event) -> None:
        if self.runs:
            ending = self.runs.pop(0)
            if ending is not None:
                raise ending
            return
        while not stop.is_set():
            tick = self.reading() if self.reading else None
            if tick is not None:
                sink.tick(tick)
                sink.answered(self._name, tick.received_at)
            else:
                sink.answered(self._name, SystemClock().now())
            stop.wait(0.05)


def test_supervision__starts_a_source_anew_and_tells_what_ended_it() -> None:
    inbox, stop = Inbox(), threading.Event()
    secret = "https://rpc.example/v3/KEY"
    source = Scripted("chainlink", RuntimeError(secret), None, FeedTableError("0x1 is not BTC / USD"))
    [thread] = start_sources({"chainlink": source}, inbox, stop, SystemClock(), AT_ONCE)
    events: list[Any] = []
    while not any(isinstance(each, Answered) for each in events):
        events += inbox.take(5)
    stop.set()
    thread.join()
    broken = [each for each in events if isinstance(each, Broken)]
    assert [each.code for each in broken] == ["source_died", "source_died", "invalid_feed_table"]
    assert "RuntimeError at test_process.py:" in broken[0].reason
    assert broken[2].reason == "0x1 is not BTC / USD"
    assert source.made == 4
    assert secret not in repr(events)


def test_supervision__tells_why_a_source_cannot_be_made() -> None:
    def make() -> Scripted:
        stop.set()
        raise SettingsError("set BALLAST_PYTH_HERMES_URL")

    inbox, stop = Inbox(), threading.Event()
    keep_running("pyth", make, inbox, stop, SystemClock(), AT_ONCE)
    assert inbox.take(0) == []
    stop.clear()
    made: list[int] = []

    def make_twice() -> Scripted:
        made.append(1)
        if len(made) == 2:
            stop.set()
        raise SettingsError("set BALLAST_PYTH_HERMES_URL")

    keep_running("pyth", make_twice, inbox, stop, SystemClock(), AT_ONCE)
    [event] = inbox.take(0)
    assert isinstance(event, Broken)
    assert (event.code, event.reason) == ("settings_invalid", "set BALLAST_PYTH_HERMES_URL")


def test_process__publishes_with_one_source_dead_and_serves_its_health(
    table: FeedTable, publisher: Any, tick: Make
) -> None:
    [port] = free_ports(1)
    settings = Settings(oracle_port=port, api_token=SecretStr("token"))
    clock, stop = SystemClock(), threading.Event()
    factories = {
        "chainlink": Scripted("chainlink", *[RuntimeError("dead")] * 1000),
        "pyth": Scripted("pyth", reading=lambda: tick("pyth", "65000", at=clock.now(), age_s=0)),
    }
    # The warm-up is over for a good price only, so the table has no other feed.
    own = table.model_copy(update={"assets": {"BTC": table.assets["BTC"].model_copy(update={"chainlink": None})}})
    ended: list[bool] = []
    running = threading.Thread(
        target=lambda: ended.append(process.run(settings, own, factories, publisher, clock, stop, {}))
    )
    running.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            health = eventually_healthy(client, publisher)
    finally:
        stop.set()
        running.join()
    assert ended == [True]
    assert health["status"] == "ok"
    assert health["sources"]["chainlink"]["state"] == "open"
    assert health["assets"]["BTC"]["quality"] == "ok"
    price = PriceMessage.model_validate_json(publisher.of(topics.PRICES.name)[0])
    assert price.price_usd == Decimal("65000")


def eventually_healthy(client: httpx.Client, publisher: Any) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for _ in range(500):
        try:
            answer = client.get("/healthz")
        except httpx.ConnectError:
            threading.Event().wait(0.02)
            continue
        body = answer.json()
        is_dead = body["sources"]["chainlink"]["state"] == "open"
        if answer.status_code == 200 and is_dead and publisher.of(topics.PRICES.name):
            return body
        threading.Event().wait(0.02)
    raise AssertionError(body)


def test_health__is_well_only_while_decisions_are_made(
    table: FeedTable, clock: FixedClock, publisher: Any, now: datetime
) -> None:
    metrics = OracleMetrics()
    outbox = Outbox(publisher, clock, metrics)
    oracle = Oracle(table, ("pyth",), outbox, metrics, clock)
    assert not process.health(oracle, outbox, now).is_well
    oracle.decide()
    assert process.health(oracle, outbox, now + timedelta(seconds=10)).is_well
    late = process.health(oracle, outbox, now + timedelta(seconds=11))
    assert (late.is_well, late.body["decided_age_seconds"]) == (False, 11.0)
    assert late.body["sources"]["chainlink"]["state"] == BreakerState.OPEN
    json.dumps(late.body)


class _Rows:
    def __init__(self, answer: Callable[[], list[dict[str, Any]]]) -> None:
        self._answer = answer

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        assert sql == LAST_GOOD_PRICES_SQL
        return self._answer()


def test_restore__takes_only_prices_of_our_sources(now: datetime) -> None:
    def row(asset: str, *names: str) -> dict[str, Any]:
        told = json.dumps([{"name": name} for name in names])
        return {"asset": asset, "price_usd": Decimal(2), "published_at": now, "sources": told}

    rows = [row("BTC", "chainlink", "pyth"), row("ETH", "pyth"), row("SOL", "simulated"), row("XRP", "close_replay")]
    found = process.restore_last_good(lambda: _Rows(lambda: rows), now)
    assert found == {"BTC": GoodPrice(Decimal(2), now), "ETH": GoodPrice(Decimal(2), now)}


def test_restore__goes_on_without_a_warehouse(now: datetime) -> None:
    def away() -> list[dict[str, Any]]:
        raise NotReadyError("away")

    assert process.restore_last_good(lambda: _Rows(away), now) == {}
    release = threading.Event()

    def slow() -> list[dict[str, Any]]:
        release.wait()
        return []

    assert process.restore_last_good(lambda: _Rows(slow), now, within_s=0.01) == {}
    release.set()


def test_sources__are_those_that_the_settings_name(table: FeedTable) -> None:
    rpc, hermes = SecretStr("http://127.0.0.1:1, http://127.0.0.1:2"), "http://127.0.0.1:3"
    clock = SystemClock()
    assert set(sources(Settings(ethereum_rpc_urls=rpc, pyth_hermes_url=hermes), table, clock)) == {"chainlink", "pyth"}
    only = sources(Settings(pyth_hermes_url=hermes), table, clock)
    assert [factory().name for factory in only.values()] == ["pyth"]
    with pytest.raises(SettingsError, match=r"BALLAST_ETHEREUM_RPC_URLS.*BALLAST_PYTH_HERMES_URL"):
        sources(Settings(), table, clock)
