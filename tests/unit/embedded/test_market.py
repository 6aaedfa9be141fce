"""The local market: Hermes gets every price, the chain a round where its feed would write one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from infra.embedded.feed_table import write_feeds
from infra.embedded.market import Market, next_prices
from infra.runtime.settings import Settings
from ingest.closes import Close
from ingest.messages import SIMULATED
from ingest.prices.feeds import FeedTable, load_feeds


class Board:
    def __init__(self) -> None:
        self.calls: list[dict[str, Decimal]] = []

    def set_prices(self, prices: Mapping[str, Decimal]) -> None:
        self.calls.append(dict(prices))


@pytest.fixture
def table() -> FeedTable:
    return load_feeds()


def test_market__writes_rounds_by_deviation_and_heartbeat(table: FeedTable) -> None:
    chain, hermes, now = Board(), Board(), [0.0]
    market = Market(table, chain, hermes, lambda: now[0])
    for seconds, price in ((0, "100"), (10, "100.49"), (20, "100.5"), (30, "100.5"), (3620, "100.5")):
        now[0] = seconds
        market.move({"BTC": Decimal(price)})
    assert [call["BTC"] for call in hermes.calls] == [Decimal(p) for p in ("100", "100.49", "100.5", "100.5", "100.5")]
    assert [call["BTC"] for call in chain.calls] == [Decimal(p) for p in ("100", "100.5", "100.5")]


def test_market__jump_reaches_both_sources(table: FeedTable) -> None:
    chain, hermes = Board(), Board()
    market = Market(table, chain, hermes, lambda: 0.0)
    market.jump({"BTC": Decimal(80)})
    market.move({"BTC": Decimal(80)})
    assert chain.calls == [{"BTC": Decimal(80)}]
    assert hermes.calls == [{"BTC": Decimal(80)}] * 2


def test_next_prices__only_simulated_volatile_assets_move() -> None:
    day = date(2026, 3, 1)
    closes = {
        "BTC": Close("BTC", day, Decimal(60_000), SIMULATED),
        "ETH": Close("ETH", day, Decimal(2_000), "csv"),
        "USDC": Close("USDC", day, Decimal("0.9998"), SIMULATED),
    }
    prices = next_prices(closes, {"BTC": Decimal(61_000)}, random.Random(1))
    assert prices["BTC"] != Decimal(61_000)
    assert abs(prices["BTC"] / 61_000 - 1) < Decimal("0.01")
    assert prices["ETH"] == Decimal(2_000)
    assert prices["USDC"] == Decimal("0.9998")
    assert all(price.as_tuple().exponent == -8 for price in prices.values())


def test_write_feeds__adds_assets_that_have_a_price_file(tmp_path: Path) -> None:
    closes = tmp_path / "closes"
    closes.mkdir()
    for name in ("ADA.csv", "daily closes.csv", "notes.txt"):
        (closes / name).write_text("date,close_usd\n")
    settings = Settings.model_validate({"state_dir": tmp_path, "prices_dir": closes})
    write_feeds(settings)
    table = load_feeds(tmp_path / "feeds.toml")
    assert set(table.assets) == {*load_feeds().assets, "ADA"}
    assert table.chain_id != 1
