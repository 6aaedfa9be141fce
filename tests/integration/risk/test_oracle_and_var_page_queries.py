"""The reads behind the pages of the risk models and of the oracle over the built warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from assets.market_data import oracle_queries, price_quality_queries
from assets.risk import queries, var_page_queries, var_queries
from assets.risk.stress_queries import stress_results
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.tables import MARKET_PRICES, PRICE_TICKS

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(600)]

CENT = Decimal("0.01")
# Assets that nobody holds, so that the rows of these tests change no other figure.
QUIET, LOUD = "ORACLEA", "ORACLEB"


@pytest.fixture(scope="module")
def warehouse(built_warehouse: Settings) -> Iterator[Warehouse]:
    made = Warehouse(built_warehouse)
    yield made
    made.client.close()  # type: ignore[no-untyped-call]


def _worst(reader: Warehouse, account_id: str | None, window: int, horizon: int, confidence: Decimal) -> Decimal:
    found = var_page_queries.scenario_pnl(reader, account_id, horizon, window)
    assert len(found) == window
    assert all(each.pnl_usd is not None for each in found)
    place = int((Decimal(window) * (1 - confidence)).to_integral_value("ROUND_CEILING"))
    return sorted(each.pnl_usd for each in found if each.pnl_usd is not None)[place - 1]


def test_scenario_pnl__holds_the_var_of_the_mart_as_its_kth_worst(warehouse: Warehouse) -> None:
    [account_id, *_] = queries.account_ids(warehouse, 1)
    for subject, estimates in (
        (None, queries.book_var_estimates(warehouse)),
        (account_id, queries.account_var_estimates(warehouse, account_id)),
    ):
        standard = [each for each in estimates if each.method == "historical_simulation" and each.var_usd is not None]
        for window, horizon in ((250, 10), (500, 1)):
            [mart] = [
                each
                for each in standard
                if (each.window_observations, each.horizon_days, each.confidence) == (window, horizon, Decimal("0.99"))
            ]
            worst = _worst(warehouse, subject, window, horizon, Decimal("0.99"))
            assert mart.var_usd is not None
            assert abs(worst + mart.var_usd) < CENT


def test_past_pnl__is_that_of_the_scenarios_of_the_same_days(warehouse: Warehouse) -> None:
    scenarios = {each.scenario_date: each.pnl_usd for each in var_page_queries.scenario_pnl(warehouse, None)}
    days = {each.pnl_date: each.pnl_usd for each in var_page_queries.past_pnl(warehouse, None, min(scenarios))}
    assert days == scenarios
    assert var_page_queries.past_pnl(warehouse, "acct-nobody", min(scenarios)) == []


def test_forecasts__of_the_last_day_are_there_without_what_follows(warehouse: Warehouse) -> None:
    since = SystemClock().now().date() - timedelta(days=30)
    [account_id, *_] = queries.account_ids(warehouse, 1)
    for subject in (None, account_id):
        last = var_page_queries.forecasts(warehouse, subject, Decimal("0.99"), since)[-1]
        assert last.var_usd is not None
        assert last.pnl_usd is None


def test_components_and_stress__of_one_account_and_by_pages(warehouse: Warehouse) -> None:
    [account_id, *_] = queries.account_ids(warehouse, 1)
    [first, *_] = [each for each in var_queries.var_components(warehouse, "account") if each.part_id == account_id]
    own = {each.confidence: each for each in var_page_queries.component_of(warehouse, account_id)}
    assert own[Decimal("0.99")] == first
    scenario = stress_results(warehouse)[0]
    pages = [var_page_queries.stressed_page(warehouse, scenario.scenario_id, "", skipped, 15) for skipped in (0, 15)]
    ids = [row.account_id for page in pages for row in page.rows]
    assert pages[0].accounts == scenario.accounts
    assert len(set(ids)) == len(ids) == min(30, scenario.accounts)
    fallen = var_page_queries.stressed_page(warehouse, scenario.scenario_id, "liquidation", 0, 200)
    assert fallen.accounts == scenario.liquidation_accounts
    assert {row.status_after for row in fallen.rows} <= {"liquidation"}
    of_account = {each.scenario_id: each for each in var_page_queries.account_stress(warehouse, account_id)}
    assert set(of_account) == {each.scenario_id for each in stress_results(warehouse)}
    assert "BTC" in var_page_queries.book_assets(warehouse)


@pytest.fixture(scope="module")
def told(warehouse: Warehouse) -> Iterator[datetime]:
    """A full five minutes, ten minutes ago at least, around which prices and readings of two assets were published."""
    now = SystemClock().now()
    at = (now - timedelta(minutes=15)).replace(second=0, microsecond=0)
    at -= timedelta(minutes=at.minute % 5)
    prices = [
        _price(QUIET, 0, at, "100", "ok"),
        _price(QUIET, 1, at + timedelta(seconds=59, milliseconds=700), "102", "ok"),
        _price(QUIET, 2, at + timedelta(seconds=120), "101", "degraded", "only pyth"),
        _price(QUIET, 2, at + timedelta(seconds=120), "101", "degraded", "only pyth", delivery=1),
        _price(QUIET, 3, at + timedelta(seconds=180), None, "degraded", "no usable source"),
        _price(QUIET, 4, at + timedelta(seconds=481), "103", "ok"),
    ]
    ticks = [
        _tick(QUIET, 0, at, "pyth", "100"),
        _tick(QUIET, 0, at, "chainlink", "101"),
        _tick(QUIET, 0, at, "chainlink", "101", delivery=1),
        _tick(QUIET, 1, at + timedelta(seconds=299, milliseconds=900), "pyth", "100"),
        _tick(QUIET, 2, at + timedelta(seconds=300), "pyth", "102", used=False, code="stale"),
        _tick(QUIET, 3, at + timedelta(seconds=360), "pyth", "102", used=False, code="stale"),
        _tick(QUIET, 3, at + timedelta(seconds=360), "chainlink", None, used=False, code="bad_answer"),
        _tick(LOUD, 4, at, "pyth", "7", used=False, code="contradicts"),
    ]
    warehouse.append(MARKET_PRICES.table_id, prices)
    warehouse.append(PRICE_TICKS.table_id, ticks)
    yield at
    # Others look at the same warehouse: no price of an asset that they do not know may stay.
    for table in (MARKET_PRICES, PRICE_TICKS):
        warehouse.query(f"delete from {table.table_id} where asset in unnest(@assets)", {"assets": [QUIET, LOUD]})


def _price(
    asset: str, number: int, at: datetime, price: str | None, quality: str, reason: str | None = None, delivery: int = 0
) -> dict[str, Any]:
    return {
        "price_id": f"px-{asset}-{number}",
        "schema_version": 1,
        "asset": asset,
        "price_usd": None if price is None else Decimal(price),
        "sources": "[]",
        "observed_at": at,
        "published_at": at,
        "quality": quality,
        "degraded_reason": reason,
        "is_simulated": True,
        "ingested_at": at + timedelta(seconds=1 + delivery),
        "message_id": f"{asset}-{number}-{delivery}",
    }


def _tick(
    asset: str,
    number: int,
    at: datetime,
    source: str,
    price: str | None,
    used: bool = True,
    code: str | None = None,
    delivery: int = 0,
) -> dict[str, Any]:
    # The reading of prices 2 and 3 is one: looked at twice.
    tick = f"tick-{asset}-{source}-{price}"
    return {
        "input_id": f"in-{asset}-{number}-{source}",
        "price_id": f"px-{asset}-{number}",
        "schema_version": 1,
        "asset": asset,
        "published_at": at,
        "source": source,
        "tick_id": None if price is None else tick,
        "price_usd": None if price is None else Decimal(price),
        "observed_at": None if price is None else at - timedelta(seconds=3),
        "received_at": at - timedelta(seconds=1),
        "reference": "7",
        "is_simulated": None if price is None else True,
        "used": used,
        "exclusion_code": code,
        "exclusion_reason": None if code is None else f"because {code}",
        "ingested_at": at + timedelta(seconds=1 + delivery),
        "message_id": f"{asset}-{number}-{source}-{delivery}",
    }


def test_last_readings__are_the_last_looked_at_with_the_price_before_a_rejection(
    warehouse: Warehouse, told: datetime
) -> None:
    found = {
        (each.asset, each.source): each for each in oracle_queries.last_readings(warehouse, told - timedelta(minutes=1))
    }
    assert (found[QUIET, "pyth"].price_usd, found[QUIET, "pyth"].exclusion_code) == (Decimal(102), "stale")
    chainlink = found[QUIET, "chainlink"]
    assert (chainlink.price_usd, chainlink.exclusion_code, chainlink.tick_price_usd) == (
        None,
        "bad_answer",
        Decimal(101),
    )
    assert found[LOUD, "pyth"].used is False


def test_rejected__count_a_reading_once_a_code(warehouse: Warehouse, told: datetime) -> None:
    found = oracle_queries.rejected(warehouse, told - timedelta(minutes=1), QUIET)
    assert [(each.source, each.exclusion_code, each.times) for each in found] == [
        ("chainlink", "bad_answer", 1),
        ("pyth", "stale", 2),
    ]
    assert found[1].price_id == f"px-{QUIET}-3"
    everything = oracle_queries.rejected(warehouse, told - timedelta(minutes=1))
    assert "contradicts" in {each.exclusion_code for each in everything}
    assert len(oracle_queries.rejected(warehouse, told - timedelta(minutes=1), max_rows=1)) == 1


def test_spreads__compare_the_readings_of_one_price(warehouse: Warehouse, told: datetime) -> None:
    found = oracle_queries.spreads(warehouse, QUIET, told - timedelta(minutes=1), timedelta(minutes=5))
    assert [(each.bucket_at, each.sources, each.most_bp, each.last_bp) for each in found] == [
        (told, 2, Decimal(100), Decimal(100)),
        (told + timedelta(minutes=5), 1, None, None),
    ]


def test_periods__end_where_the_quality_changes_and_before_silence(warehouse: Warehouse, told: datetime) -> None:
    found = price_quality_queries.periods(warehouse, told - timedelta(minutes=1), timedelta(minutes=5))
    own = sorted((each for each in found if each.asset == QUIET), key=lambda each: each.began_at)
    assert [(each.quality, each.prices, each.reason) for each in own] == [
        ("ok", 2, None),
        ("degraded", 1, "only pyth"),
        ("missing", 1, "no usable source"),
        ("ok", 1, None),
    ]
    shorter = price_quality_queries.periods(warehouse, told - timedelta(minutes=1), timedelta(seconds=59))
    assert sum(each.asset == QUIET for each in shorter) == 5


def test_price_path__keeps_the_last_price_and_counts_what_was_not_current(warehouse: Warehouse, told: datetime) -> None:
    found = price_quality_queries.price_path(warehouse, QUIET, told - timedelta(minutes=1), timedelta(minutes=5))
    shown = [(each.bucket_at, each.last_usd, each.low_usd, each.high_usd, each.prices) for each in found]
    assert shown == [
        (told, Decimal(101), Decimal(100), Decimal(102), 4),
        (told + timedelta(minutes=5), Decimal(103), Decimal(103), Decimal(103), 1),
    ]
    assert [(each.degraded, each.missing, each.reason) for each in found] == [(2, 1, "no usable source"), (0, 0, None)]


def test_closes_loaded__are_those_in_use(warehouse: Warehouse) -> None:
    closes = oracle_queries.closes_loaded(warehouse)
    assert closes is not None
    assert closes.closes > 1000
    assert "BTC" in closes.simulated_assets
