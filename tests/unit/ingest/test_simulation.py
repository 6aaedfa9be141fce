"""The simulated market has the marks of a real one, and the simulated book could exist."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.closes import Close
from ingest.messages import SIMULATED, SettlementEvent, Side
from ingest.simulation.book import HEALTH_FLOOR_PCT, HISTORY_DAYS, BookShape, simulate_book
from ingest.simulation.market import FIRST_DATE, MINIMUM_DAYS, STABLE, VOLATILE, simulate_closes

LAST = date(2026, 1, 30)
SEEDS = (1, 7, 42)
UNTIL = datetime.combine(LAST, time(23, 59), UTC)


def log_returns(closes: list[Close], asset: str) -> NDArray[np.float64]:
    prices = np.array([float(close.close_usd) for close in closes if close.asset == asset])
    return np.diff(np.log(prices))


def autocorrelation(values: NDArray[np.float64], lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


@pytest.fixture(scope="module", params=SEEDS)
def market(request: pytest.FixtureRequest) -> list[Close]:
    return simulate_closes(request.param, LAST)


@pytest.fixture(scope="module")
def long_market() -> list[Close]:
    """Twenty-seven years: statistics of fat tails need many days."""
    return simulate_closes(42, date(2050, 1, 1), ["BTC", "ETH", "SOL"])


def test_market__is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert simulate_closes(5, LAST) == simulate_closes(5, LAST)
    assert simulate_closes(5, LAST) != simulate_closes(6, LAST)


@pytest.mark.parametrize("days", [1, 30, 365])
def test_market__history_stays_when_the_last_day_moves(days: int) -> None:
    later = simulate_closes(42, LAST + timedelta(days=days))
    assert [close for close in later if close.price_date <= LAST] == simulate_closes(42, LAST)


def test_market__an_asset_is_the_same_alone_and_among_others(market: list[Close]) -> None:
    alone = {seed: simulate_closes(seed, LAST, ["ETH"]) for seed in SEEDS}
    assert [close for close in market if close.asset == "ETH"] in alone.values()


@pytest.mark.parametrize("last_date", [date(2022, 3, 1), LAST])
def test_market__has_a_close_for_every_asset_and_day(last_date: date) -> None:
    closes = simulate_closes(3, last_date)
    days: dict[str, list[date]] = defaultdict(list)
    for close in closes:
        days[close.asset].append(close.price_date)
        assert close.close_usd > 0
        assert close.source == SIMULATED
    assert set(days) == {asset.asset for asset in VOLATILE} | set(STABLE)
    for found in days.values():
        assert found == [found[0] + timedelta(days=day) for day in range(len(found))]
        assert found[-1] == last_date
        assert found[0] <= FIRST_DATE
        assert len(found) > MINIMUM_DAYS


def test_market__assets_move_together(market: list[Close]) -> None:
    returns = np.array([log_returns(market, asset.asset) for asset in VOLATILE])
    correlations = np.corrcoef(returns)[np.triu_indices(len(VOLATILE), 1)]
    assert correlations.min() > 0.3
    assert correlations.max() < 0.95


def test_market__volatility_is_of_the_size_that_is_asked(long_market: list[Close]) -> None:
    for asset in VOLATILE[:3]:
        assert log_returns(long_market, asset.asset).std() == pytest.approx(asset.daily_volatility, rel=0.6)


def test_market__has_fat_tails_and_volatility_that_clusters(long_market: list[Close]) -> None:
    for asset in ("BTC", "ETH", "SOL"):
        returns = log_returns(long_market, asset)
        standard = (returns - returns.mean()) / returns.std()
        assert (standard**4).mean() > 4.0, "a normal distribution has 3"
        noise = 3 / np.sqrt(len(returns))
        assert np.mean([autocorrelation(np.abs(returns), lag) for lag in range(1, 11)]) > noise
        assert abs(autocorrelation(returns, 1)) < 2 * noise


def test_market__stablecoins_stay_near_their_peg(market: list[Close]) -> None:
    for symbol in STABLE:
        prices = [close.close_usd for close in market if close.asset == symbol]
        assert all(Decimal("0.98") < price < Decimal("1.02") for price in prices)
        assert len(set(prices)) > 100


@pytest.fixture(scope="module")
def closes_usd() -> dict[str, Decimal]:
    return {close.asset: close.close_usd for close in simulate_closes(42, LAST) if close.price_date == LAST}


@pytest.fixture(scope="module", params=SEEDS)
def book(request: pytest.FixtureRequest, closes_usd: dict[str, Decimal]) -> list[SettlementEvent]:
    return simulate_book(BookShape(150, request.param, UNTIL), closes_usd, frozenset(STABLE))


def test_book__is_the_same_for_the_same_seed(closes_usd: dict[str, Decimal]) -> None:
    shape = BookShape(20, 42, UNTIL)
    first = simulate_book(shape, closes_usd, frozenset(STABLE))
    assert first == simulate_book(shape, closes_usd, frozenset(STABLE))
    assert first != simulate_book(BookShape(20, 43, UNTIL), closes_usd, frozenset(STABLE))


def test_book__a_larger_one_contains_the_smaller(closes_usd: dict[str, Decimal]) -> None:
    small = simulate_book(BookShape(10, 42, UNTIL), closes_usd, frozenset(STABLE))
    large = simulate_book(BookShape(20, 42, UNTIL), closes_usd, frozenset(STABLE))
    accounts = {event.account_id for event in small}
    assert [event for event in large if event.account_id in accounts] == small


def test_book__events_are_in_order_within_the_history_and_have_ids_of_their_own(book: list[SettlementEvent]) -> None:
    times = [event.occurred_at for event in book]
    assert times == sorted(times)
    assert times[0] >= UNTIL - timedelta(days=HISTORY_DAYS, seconds=1)
    assert times[-1] <= UNTIL
    assert len({event.event_id for event in book}) == len(book)
    assert len({event.account_id for event in book}) == 150


def test_book__no_position_is_negative_at_any_time(book: list[SettlementEvent]) -> None:
    positions: dict[tuple[str, str, Side], Decimal] = defaultdict(Decimal)
    for event in book:
        key = (event.account_id, event.asset, event.side)
        positions[key] += event.signed_quantity
        assert positions[key] >= 0, f"{key} at {event.occurred_at}"


def test_book__health_is_above_the_floor_at_the_closes(
    book: list[SettlementEvent], closes_usd: dict[str, Decimal]
) -> None:
    sides: dict[str, dict[Side, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for event in book:
        sides[event.account_id][event.side] += event.signed_quantity * closes_usd[event.asset]
    health = [
        (usd[Side.COLLATERAL] - usd[Side.BORROW]) / usd[Side.BORROW] * 100
        for usd in sides.values()
        if usd[Side.BORROW] > 0
    ]
    assert min(health) > Decimal(HEALTH_FLOOR_PCT) - Decimal("0.01")
    assert any(value < 50 for value in health)
    assert 0 < len(sides) - len(health) < 30, "some accounts owe nothing"


@pytest.mark.parametrize("closes", [{}, {"BTC": Decimal(1)}, {"USDC": Decimal(1)}])
def test_book__needs_something_to_pledge_and_something_to_borrow(closes: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="stablecoin"):
        simulate_book(BookShape(1, 42, UNTIL), closes, frozenset(STABLE))
