"""Readings and feeds of one asset, to be changed field by field, and a publisher that can be away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError
from ingest.prices.feeds import AssetFeeds, ChainlinkFeed, FeedTable, PythFeed
from ingest.prices.ticks import Rejection, Tick

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
FEEDS = AssetFeeds(
    chainlink=ChainlinkFeed(
        proxy="0x" + "1" * 40, description="BTC / USD", decimals=8, heartbeat_s=3600, grace_s=600, deviation_bp=50
    ),
    pyth=PythFeed(feed_id="a" * 64, max_age_s=30),
)


@dataclass
class FakePublisher:
    """Keeps what it took; while `is_away` it takes nothing."""

    is_away: bool = False
    taken: list[tuple[str, bytes]] = field(default_factory=list)

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        if self.is_away:
            raise NotReadyError("away")
        self.taken += [(topic, message) for message in messages]
        return [str(len(self.taken))] * len(messages)

    def of(self, topic: str) -> list[bytes]:
        return [message for name, message in self.taken if name == topic]


@pytest.fixture
def now() -> datetime:
    """Noon, when the tests of this folder happen."""
    return NOW


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def feeds() -> AssetFeeds:
    """Both feeds; limits: confidence 100 bp, spread 200 bp, jump 1,000 bp; published at 10 bp and each 60 s."""
    return FEEDS


@pytest.fixture
def table(feeds: AssetFeeds) -> FeedTable:
    """A table of BTC only."""
    return FeedTable(chain_id=1, read_on="2026-01-31", assets={"BTC": feeds})


@pytest.fixture
def tick() -> Callable[..., Tick]:
    """A reading of BTC, two seconds old at `at` (noon), with some fields changed."""

    def make(source: str, price_usd: str, *, at: datetime = NOW, age_s: float = 2.0, **changes: Any) -> Tick:
        observed_at = at - timedelta(seconds=age_s)
        fields: dict[str, Any] = {
            "source": source,
            "asset": "BTC",
            "price_usd": Decimal(price_usd),
            "confidence_usd": Decimal("10") if source == "pyth" else None,
            "observed_at": observed_at,
            "received_at": at,
            "reference": f"{source} {observed_at.isoformat()} {price_usd}",
        }
        return Tick(**(fields | changes))

    return make


@pytest.fixture
def rejection() -> Callable[..., Rejection]:
    """A rejected reading of BTC."""

    def make(source: str, code: str = "zero_answer", *, at: datetime = NOW) -> Rejection:
        return Rejection(source=source, asset="BTC", code=code, reason="the answer is 0", received_at=at)

    return make


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()
