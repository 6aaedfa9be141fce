"""A local chain for a module, a sink that records, and sources that end with their test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from infra.embedded.chain.addresses import MULTICALL, local_feed_table
from infra.embedded.chain.control import ChainControl
from infra.embedded.chain.market import Market
from infra.embedded.chain.server import ChainServer
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.prices.chainlink.source import ChainlinkOptions, ChainlinkSource
from ingest.prices.feeds import FeedTable, load_feeds
from ingest.prices.ticks import Rejection, SourceFailure, Tick

TOKEN = "market-token-for-tests"
ASSETS = ("BTC", "ETH", "USDC")


@dataclass
class RecordingSink:
    ticks: list[Tick] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    failures: list[SourceFailure] = field(default_factory=list)
    answers: int = 0
    heard: threading.Condition = field(default_factory=threading.Condition)

    def tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def rejected(self, rejection: Rejection) -> None:
        self.rejections.append(rejection)

    def failed(self, failure: SourceFailure) -> None:
        with self.heard:
            self.failures.append(failure)
            self.heard.notify_all()

    def answered(self, source: str, at: datetime) -> None:
        with self.heard:
            self.answers += 1
            self.heard.notify_all()

    def prices(self) -> dict[str, Decimal]:
        return {tick.asset: tick.price_usd for tick in self.ticks}


@dataclass(frozen=True)
class Chain:
    """A served local chain; lanes of it stand for several RPC addresses."""

    port: int
    table: FeedTable
    control: ChainControl
    data_dir: Path

    def rpc(self, lane: str = "main") -> SecretStr:
        return SecretStr(f"http://127.0.0.1:{self.port}/{TOKEN}/{lane}")


@contextmanager
def serve(data_dir: Path, port: int = 0, assets: Sequence[str] = ASSETS) -> Iterator[Chain]:
    table = local_feed_table(assets, load_feeds())
    server = ChainServer(port, Market(table, data_dir, SystemClock()), SecretStr(TOKEN))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    bound = int(server.server_address[1])
    settings = Settings(
        state_dir=data_dir, ethereum_control_url=f"http://127.0.0.1:{bound}", market_token=SecretStr(TOKEN)
    )
    try:
        with ChainControl(settings) as control:
            yield Chain(bound, table, control, data_dir)
    finally:
        server.failures.set(None)
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def served_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with serve(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


@pytest.fixture
def chain(served_chain: Chain) -> Iterator[Chain]:
    """The module's chain without failures, with a fresh price of every asset."""
    served_chain.control.set_prices({"BTC": Decimal("65000.12"), "ETH": Decimal("2500.5"), "USDC": Decimal("0.9998")})
    yield served_chain
    served_chain.control.heal()


@pytest.fixture
def serve_chain() -> Callable[..., Any]:
    return serve


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def new_sink() -> type[RecordingSink]:
    return RecordingSink


def _sources(chain: Chain) -> Iterator[Callable[..., ChainlinkSource]]:
    made: list[ChainlinkSource] = []

    def make(
        lanes: Sequence[str] = ("main",),
        *,
        table: FeedTable | None = None,
        rpcs: Sequence[SecretStr] | None = None,
        multicall: str | None = MULTICALL,
        monotonic: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> ChainlinkSource:
        source = ChainlinkSource(
            table or chain.table,
            rpcs if rpcs is not None else [chain.rpc(lane) for lane in lanes],
            SystemClock(),
            is_simulated=True,
            options=ChainlinkOptions(multicall=multicall, **({"poll_s": 0.02, "timeout_s": 3.0} | options)),
            monotonic=monotonic,
        )
        made.append(source)
        return source

    yield make
    for source in made:
        source.close()


@pytest.fixture
def new_source(chain: Chain) -> Iterator[Callable[..., ChainlinkSource]]:
    """Makes sources on lanes of a chain with fresh prices; `multicall` chooses the path."""
    yield from _sources(chain)


@pytest.fixture
def plain_source(served_chain: Chain) -> Iterator[Callable[..., ChainlinkSource]]:
    """As `new_source`, on a chain whose rounds only the test writes."""
    yield from _sources(served_chain)
