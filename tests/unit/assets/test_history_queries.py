"""Closes that are kept between reads: when they are read again, by whom, and how much stays in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from assets.risk import history_queries
from assets.risk.history_queries import KEPT_HISTORIES, AssetPosition, ClosesCache
from infra.runtime.errors import NotReadyError

LAST = date(2026, 1, 30)


@dataclass
class FakeReader:
    """A price set of two assets; `gate`, where one is given, holds its closes back."""

    price_set_id: str = "px-1"
    gate: threading.Event | None = None
    asked: list[str] = field(default_factory=list)
    parameters: list[Mapping[str, Any]] = field(default_factory=list)
    has_closes: bool = True

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self.asked.append(sql)
        self.parameters.append(dict(parameters or {}))
        if sql == history_queries.ACTIVE_PRICE_SET_SQL:
            return [{"price_set_id": self.price_set_id}]
        if self.gate is not None:
            self.gate.wait(30)
        if not self.has_closes:
            return []
        days = [LAST - timedelta(days=back) for back in range(3)]
        return [
            {
                "price_set_id": self.price_set_id,
                "as_of_date": LAST,
                "asset": asset,
                "is_simulated": asset == "ETH",
                "closes": ",".join(f"{day} {price}.000000001" for day in days if not (asset == "ETH" and day == LAST)),
            }
            for asset, price in (("BTC", 60000), ("ETH", 2000))
        ]


class FakeTime:
    """A monotonic clock that a test moves."""

    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def now() -> FakeTime:
    return FakeTime()


@pytest.fixture
def cache(now: FakeTime) -> ClosesCache:
    return ClosesCache(check_every_s=10, monotonic=now)


def test_read_closes__keeps_every_digit_and_who_is_simulated() -> None:
    found = history_queries.read_closes(FakeReader())
    assert found is not None
    assert found.closes.by_asset["BTC"][LAST] == Decimal("60000.000000001")
    assert (found.assets, found.simulated_assets) == (("BTC", "ETH"), {"ETH"})
    assert found.first_date == LAST - timedelta(days=2)


def test_read_closes__passes_assets_and_the_last_day_on() -> None:
    reader = FakeReader()
    history_queries.read_closes(reader, ["BTC"], LAST)
    history_queries.read_closes(reader)
    assert reader.parameters == [
        {"is_every_asset": False, "assets": ["BTC"], "until": LAST},
        {"is_every_asset": True, "assets": [], "until": date.max},
    ]


def test_latest__is_the_last_close_up_to_a_day() -> None:
    found = history_queries.read_closes(FakeReader())
    assert found is not None
    assert found.latest("BTC", LAST) == (LAST, Decimal("60000.000000001"))
    assert found.latest("ETH", LAST) == (LAST - timedelta(days=1), Decimal("2000.000000001"))
    assert found.latest("ETH", LAST - timedelta(days=9)) is None
    assert found.latest("DOGE", LAST) is None


def test_account_positions__end_with_the_day_and_tell_an_account_without_events() -> None:
    class Positions(FakeReader):
        def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
            self.parameters.append(dict(parameters or {}))
            row = {"asset": "BTC", "collateral_quantity": Decimal(3), "borrow_quantity": Decimal(1)}
            return [row] if (parameters or {})["account_id"] in ("", "a") else []

    reader = Positions()
    assert history_queries.account_positions(reader, "b", LAST) is None
    found = history_queries.account_positions(reader, "a", LAST)
    assert found == history_queries.book_positions(reader, LAST) == [AssetPosition("BTC", Decimal(3), Decimal(1))]
    assert found[0].net_quantity == 2
    assert {each["day_end"] for each in reader.parameters} == {datetime(2026, 1, 31, tzinfo=UTC)}


def test_cache__reads_closes_once_for_many_threads(cache: ClosesCache) -> None:
    reader = FakeReader(gate=threading.Event())
    assert reader.gate is not None
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(cache.price_set, reader) for _ in range(8)]
        reader.gate.set()
        found = {id(each.result()) for each in waiting}
    assert len(found) == 1
    assert reader.asked == [history_queries.CLOSES_SQL]


def test_cache__gives_the_former_set_while_another_thread_reads_the_new_one(cache: ClosesCache, now: FakeTime) -> None:
    reader = FakeReader()
    cache.price_set(reader)
    now.at += 10
    reader.price_set_id, reader.gate = "px-2", threading.Event()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(cache.price_set, reader)
        while reader.asked[-2:] != [history_queries.ACTIVE_PRICE_SET_SQL, history_queries.CLOSES_SQL]:
            pass
        assert cache.price_set(reader).price_set_id == "px-1"
        reader.gate.set()
        assert renewing.result().price_set_id == "px-2"
    assert cache.price_set(reader).price_set_id == "px-2"


def test_cache__asks_again_after_a_read_that_failed(cache: ClosesCache) -> None:
    reader = FakeReader(has_closes=False)
    with pytest.raises(NotReadyError, match="has no closes"):
        cache.price_set(reader)
    reader.has_closes = True
    assert cache.price_set(reader).price_set_id == "px-1"


def test_cache__keeps_few_histories_and_the_last_used_ones(cache: ClosesCache) -> None:
    reader = FakeReader()
    first = cache.histories(reader, window=60)
    others = [cache.histories(reader, window=window) for window in range(61, 60 + KEPT_HISTORIES)]
    assert cache.histories(reader, window=60) is first
    cache.histories(reader, window=1000)
    assert cache.histories(reader, window=60) is first
    assert cache.histories(reader, window=61) is not others[0]


def test_cache__tells_histories_of_days_and_assets_apart(cache: ClosesCache) -> None:
    reader = FakeReader()
    every = cache.histories(reader)
    assert (every.assets, every.as_of, every.label) == (("BTC", "ETH"), LAST, "px-1")
    assert cache.histories(reader, ["BTC"]).assets == ("BTC",)
    assert cache.histories(reader, as_of=LAST - timedelta(days=1)).as_of == LAST - timedelta(days=1)
    assert cache.histories(reader) is every
