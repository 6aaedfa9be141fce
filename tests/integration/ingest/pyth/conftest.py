"""The local Hermes as its own process, and a Pyth source that follows it and notes what it reports."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from infra.embedded.hermes.control import HermesControl
from infra.embedded.ports import free_ports
from infra.runtime.settings import PROJECT_ROOT, Settings
from ingest.prices.feeds import AssetFeeds, FeedTable, PythFeed, render_feeds
from ingest.prices.pyth.hermes import HermesOptions
from ingest.prices.pyth.source import PythOptions, PythSource
from ingest.prices.ticks import Rejection, SourceFailure, Tick

PATIENCE_S = 60.0
TOKEN = "market-token-of-the-tests"
FEEDS = {
    "BTC": "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43",
    "ETH": "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace",
    "USDC": "eaa020c61cc479712813461ce153894a96a6c00b21ed0cfc2798d1f9a9e9c94a",
}


def eventually(check: Callable[[], Any], what: Callable[[], object]) -> None:
    """Wait until `check` holds; fails telling `what` stands then."""
    ends = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < ends, what()
        time.sleep(0.01)


def table_of(feeds: dict[str, str]) -> FeedTable:
    assets = {asset: AssetFeeds(pyth=PythFeed(feed_id=feed_id, max_age_s=30)) for asset, feed_id in feeds.items()}
    return FeedTable(chain_id=1, read_on="2026-10-04", assets=assets)


@dataclass
class Server:
    """A running Hermes; `stop` and `start` keep its folder and port."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        return Settings(
            state_dir=self.folder,
            pyth_hermes_url=f"http://127.0.0.1:{self.port}",
            pyth_token=SecretStr(TOKEN),
            market_token=SecretStr(TOKEN),
            prices_are_simulated=True,
        )

    @property
    def control(self) -> HermesControl:
        return HermesControl(self.settings)

    def start(self) -> None:
        if not self.port:
            [self.port] = free_ports(1)
            (self.folder / "feeds.toml").write_text(render_feeds(table_of(FEEDS)), encoding="utf-8")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BALLAST_")}
        argv = [sys.executable, "-m", "infra.embedded.hermes", "--data-dir", str(self.folder / "hermes")]
        more = ["--feeds", str(self.folder / "feeds.toml"), "--period", "0.1", "--keep-alive", "0.1"]
        with (self.folder / "hermes.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*argv, "--port", str(self.port), *more],
                cwd=PROJECT_ROOT,
                env={**inherited, "BALLAST_STATE_DIR": str(self.folder), "BALLAST_MARKET_TOKEN": TOKEN},
                stdout=log,
                stderr=log,
            )
        eventually(self.is_ready, self.log)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            return self.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, token: str | None = TOKEN, **query: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(trust_env=False, timeout=10) as client:
            return client.get(f"http://127.0.0.1:{self.port}{path}", params=query, headers=headers)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def log(self) -> str:
        return (self.folder / "hermes.log").read_text(encoding="utf-8")

    def requests(self, path: str) -> int:
        return self.control.state().requests.get(path, 0)


@dataclass
class Notes:
    """A sink that remembers; `control` moves the prices that it waits for."""

    control: HermesControl
    ticks: list[Tick] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    failures: list[SourceFailure] = field(default_factory=list)
    answers: int = 0

    def tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def rejected(self, rejection: Rejection) -> None:
        self.rejections.append(rejection)

    def failed(self, failure: SourceFailure) -> None:
        self.failures.append(failure)

    def answered(self, source: str, at: datetime) -> None:
        assert source == "pyth"
        assert at.tzinfo is not None
        self.answers += 1

    @property
    def failed_codes(self) -> list[str]:
        return [each.code for each in self.failures]

    @property
    def rejected_codes(self) -> Counter[str]:
        return Counter(each.code for each in self.rejections)

    def last(self, asset: str) -> Tick | None:
        return next((each for each in reversed(self.ticks) if each.asset == asset), None)

    def wait_for(self, check: Callable[[], Any]) -> None:
        eventually(check, lambda: (self.failed_codes, self.rejected_codes, self.ticks[-3:], self.answers))

    def wait_for_news(self) -> None:
        """Until a new price has come through the stream, or through a new connection."""
        self.wait_for(lambda: self.ticks)
        last = self.last("BTC")
        assert last is not None
        wanted = last.price_usd + 1
        self.control.set_prices({"BTC": wanted})
        self.wait_for(lambda: any(each.price_usd == wanted for each in self.ticks[-50:]))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Hermes for the module."""
    running = Server(tmp_path_factory.mktemp("hermes"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def hermes(server: Server) -> Server:
    """The server, without a failure."""
    server.control.heal()
    return server


@pytest.fixture
def follow(hermes: Server) -> Callable[..., Any]:
    """A context in which a source runs with quick options; gives its notes."""

    @contextmanager
    def run(
        feeds: dict[str, str] | None = None,
        limits: dict[str, float] | None = None,
        token: str = TOKEN,
        generator: random.Random | None = None,
        **options: Any,
    ) -> Iterator[Notes]:
        notes, stop = Notes(hermes.control), threading.Event()
        waits = {"rate_limited_s": 0.05, "unauthorized_s": 0.05, **(limits or {})}
        quick = {"silent_s": 30.0, "frozen_s": 30.0, "backoff_base_s": 0.02, "backoff_max_s": 0.1, "poll_s": 0.02}
        source = PythSource(
            table_of(feeds or FEEDS),
            f"http://127.0.0.1:{hermes.port}",
            SecretStr(token),
            is_simulated=True,
            generator=generator,
            options=PythOptions(**{**quick, **options}, hermes=HermesOptions(**waits)),
        )
        thread = threading.Thread(target=source.run, args=(notes, stop))
        thread.start()
        try:
            yield notes
        finally:
            stop.set()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    return run
