"""Rolling forecasts over the whole history of real closes, against a recomputation that shares no code with the engine.

The recomputation takes returns in decimals and sorts each window anew; the pinned counts are what both find.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache

import numpy as np
import pytest

from assets.risk.engine.backtests import BacktestReport, Verdict, run_backtest
from assets.risk.engine.estimators import Floats, Tail
from assets.risk.engine.history import closes_of, return_window
from assets.risk.engine.methods import Method
from assets.risk.engine.rolling import rolling_forecasts
from infra.runtime.settings import PROJECT_ROOT

REAL_CLOSES = PROJECT_ROOT.parent / "shared" / "data" / "prices_daily"
pytestmark = pytest.mark.skipif(not REAL_CLOSES.is_dir(), reason="the real daily closes are not on this machine")

WINDOW = 500
Z975, Z99 = Decimal("0.975"), Decimal("0.99")
# k of 500 at each confidence.
WORST = {Z975: 13, Z99: 5}
SEED = 1


@dataclass(frozen=True)
class Book:
    """A portfolio whose exposures in USD stay what they are."""

    exposures: dict[str, int]
    forecasts: int
    unknown: int
    exceptions: dict[Decimal, int]

    def __str__(self) -> str:
        return "+".join(self.exposures)


# ETH lacks five closes of its first weeks, so that the first forecasts have no whole window.
BOOKS = [
    Book({"BTC": 10_000}, 3_951, 0, {Z975: 104, Z99: 37}),
    Book({"ETH": 10_000}, 3_368, 65, {Z975: 91, Z99: 36}),
    Book({"BTC": 5_000, "ETH": 5_000}, 3_368, 65, {Z975: 89, Z99: 39}),
]
every_book = pytest.mark.parametrize("book", BOOKS, ids=str)


@cache
def closes(asset: str) -> dict[date, Decimal]:
    with (REAL_CLOSES / f"{asset}.csv").open(newline="", encoding="utf-8") as lines:
        return {date.fromisoformat(row["date"]): Decimal(row["close_usd"]) for row in csv.DictReader(lines)}


def days_of(book: Book) -> list[date]:
    """Days from the second close of the youngest asset to the last of all."""
    first = max(min(closes(asset)) for asset in book.exposures)
    last = min(max(closes(asset)) for asset in book.exposures)
    return [first + timedelta(days=ahead) for ahead in range(1, (last - first).days + 1)]


def pnl_of(book: Book) -> list[float | None]:
    """P&L of each day; None where a close of it or of the day before is missing."""
    found: list[float | None] = []
    for day in days_of(book):
        pairs = [
            (closes(asset).get(day), closes(asset).get(day - timedelta(days=1)), usd)
            for asset, usd in book.exposures.items()
        ]
        moves = [usd * (now / before - 1) for now, before, usd in pairs if now is not None and before is not None]
        found.append(float(sum(moves)) if len(moves) == len(pairs) else None)
    return found


def forecast_by_sorting(pnl: list[float | None], worst: int) -> list[tuple[float, float]]:
    """VaR and ES of each day from the 500 before it; NaN where one of these is unknown."""
    found = []
    for day in range(WINDOW, len(pnl)):
        losses = sorted((-each for each in pnl[day - WINDOW : day] if each is not None), reverse=True)
        if len(losses) < WINDOW:
            found.append((math.nan, math.nan))
        else:
            found.append((losses[worst - 1], math.fsum(losses[:worst]) / worst))
    return found


@cache
def engine_forecasts(
    assets: tuple[str, ...], usd: tuple[int, ...], first: date, last: date
) -> tuple[Floats, list[Tail]]:
    """P&L of the days that have a forecast, and the forecasts, both by the engine."""
    found = closes_of((asset, day, close) for asset in assets for day, close in closes(asset).items())
    returns = return_window(found, assets, last, (last - first).days + 1).returns
    exposures = np.array(usd, dtype=np.float64)
    tails = rolling_forecasts(returns, exposures, WINDOW, Method.HISTORICAL, list(WORST))
    return (returns @ exposures)[WINDOW:], tails


def forecasts(book: Book) -> tuple[Floats, dict[Decimal, Tail]]:
    days = days_of(book)
    pnl, tails = engine_forecasts(tuple(book.exposures), tuple(book.exposures.values()), days[0], days[-1])
    return pnl, {tail.confidence: tail for tail in tails}


@cache
def report(place: int, confidence: Decimal) -> BacktestReport:
    pnl, tails = forecasts(BOOKS[place])
    return run_backtest(pnl, tails[confidence].var, tails[confidence].es, confidence, SEED)


@every_book
@pytest.mark.parametrize("confidence", WORST)
def test_rolling__agrees_with_sorting_each_window_anew(book: Book, confidence: Decimal) -> None:
    pnl = pnl_of(book)
    by_sorting = forecast_by_sorting(pnl, WORST[confidence])
    engine_pnl, tails = forecasts(book)
    found = np.column_stack([tails[confidence].var, tails[confidence].es])
    assert len(found) == len(by_sorting) == book.forecasts
    np.testing.assert_allclose(found, by_sorting, rtol=1e-9)
    later = pnl[WINDOW:]
    np.testing.assert_allclose(engine_pnl, [math.nan if each is None else each for each in later], rtol=1e-9, atol=1e-9)
    assert sum(math.isnan(var) for var, _ in by_sorting) == book.unknown
    exceptions = [each is not None and -each > var for each, (var, _) in zip(later, by_sorting, strict=True)]
    assert (-engine_pnl > found[:, 0]).tolist() == exceptions
    assert sum(exceptions) == book.exceptions[confidence]


@pytest.mark.parametrize("place", range(len(BOOKS)), ids=map(str, BOOKS))
@pytest.mark.parametrize("confidence", WORST)
def test_backtest__counts_the_same_exceptions_and_finds_coverage_right(place: int, confidence: Decimal) -> None:
    book, found = BOOKS[place], report(place, confidence)
    assert (found.exceptions, found.missing) == (book.exceptions[confidence], book.unknown)
    assert found.observations == book.forecasts - book.unknown
    assert found.expected_exceptions == pytest.approx(float(1 - confidence) * found.observations)
    assert not found.unconditional_coverage.rejects()
    assert found.traffic_light is not None
    assert found.traffic_light.zone.value == "green"
    assert "coverage holds" in found.verdict_reason


@pytest.mark.parametrize(
    ("place", "confidence", "kupiec", "clusters"),
    [
        (0, Z975, 0.610, True),
        (1, Z975, 0.372, True),
        (2, Z975, 0.504, True),
        (0, Z99, 0.692, False),
        (1, Z99, 0.662, True),
        (2, Z99, 0.335, True),
    ],
)
def test_backtest__tells_of_clusters_though_the_number_is_right(
    place: int, confidence: Decimal, kupiec: float, clusters: bool
) -> None:
    found = report(place, confidence)
    assert found.unconditional_coverage.exact_p_value == pytest.approx(kupiec, abs=0.005)
    assert found.duration.rejects() == clusters
    assert found.dynamic_quantile.rejects() == clusters
    assert ("exceptions come in clusters" in found.verdict_reason) == clusters
    assert found.verdict is (Verdict.AMBER if clusters else Verdict.GREEN)
    if clusters:
        assert found.duration.shape is not None
        assert found.duration.shape < 1


def test_backtest__finds_that_scaling_by_volatility_takes_the_clusters_away() -> None:
    book = BOOKS[1]
    days = days_of(book)
    history = closes_of(("ETH", day, close) for day, close in closes("ETH").items())
    returns = return_window(history, ["ETH"], days[-1], len(days)).returns
    (tail,) = rolling_forecasts(returns, np.array([10_000.0]), WINDOW, Method.VOLATILITY_SCALED, [Z99])
    found = run_backtest(returns[WINDOW:, 0] * 10_000, tail.var, tail.es, Z99, SEED)
    assert found.exceptions == 39
    assert not found.unconditional_coverage.rejects()
    assert not found.independence.rejects()
    assert not found.duration.rejects()


def test_the_worst_day__is_an_exception_of_every_book_at_every_confidence() -> None:
    crash = date(2020, 3, 12)
    for book in BOOKS:
        place = days_of(book).index(crash) - WINDOW
        pnl, tails = forecasts(book)
        for tail in tails.values():
            assert -pnl[place] > 2 * tail.es[place] > 2 * tail.var[place]
            # It enters the window of the day after, whose ES it raises.
            assert tail.es[place + 1] > tail.es[place]
