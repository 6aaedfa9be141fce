"""Returns span exactly their horizon, nothing is filled forward, and what a window lacks is told in fixed words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.history import Closes, closes_of, return_window

untimed = settings(deadline=None)
DAY = date(2026, 1, 30)


def back(days: int) -> date:
    return DAY - timedelta(days=days)


def closes(asset: str, usd: Iterable[str | float | None], last: date = DAY) -> list[tuple[str, date, Decimal]]:
    """Closes of the days up to `last`, oldest first; None for a day without."""
    line = list(usd)
    days = [last - timedelta(days=place) for place in range(len(line) - 1, -1, -1)]
    return [(asset, day, Decimal(str(close))) for day, close in zip(days, line, strict=True) if close is not None]


def returns(usd: Iterable[str | float | None], window: int, horizon_days: int = 1) -> list[float]:
    found = return_window(closes_of(closes("BTC", usd)), ["BTC"], DAY, window, horizon_days)
    assert found.returns.shape == (window, 1)
    assert found.window == window
    return [float(each) for each in found.returns[:, 0]]


def test_return__is_simple_and_ends_on_each_day_oldest_first() -> None:
    assert returns([100, 110, 99, 148.5], window=3) == pytest.approx([0.1, -0.1, 0.5])
    assert returns([100, 110, 99, 148.5], window=2) == pytest.approx([-0.1, 0.5])


def test_return__over_ten_days_overlaps() -> None:
    usd = [100.0 + 3 * day + day % 4 for day in range(16)]
    found = returns(usd, window=6, horizon_days=10)
    assert found == pytest.approx([usd[end] / usd[end - 10] - 1 for end in range(10, 16)])


@pytest.mark.parametrize(
    ("missing", "horizon_days", "unknown"),
    [
        # A close that is missing takes the return that ends on it and the one that begins on it.
        ([3], 1, [3, 2]),
        ([5, 3], 1, [5, 4, 3, 2]),
        ([4, 3], 1, [4, 3, 2]),
        ([0], 1, [0]),
        # The first close of all begins the oldest return only.
        ([20], 1, [19]),
        (range(3, 17), 1, range(2, 17)),
        # Of ten days each that has the missing close at an end or within.
        ([3], 10, range(0, 4)),
        ([12], 10, range(2, 11)),
        ([20], 10, [10]),
        (range(3, 17), 10, range(0, 11)),
    ],
)
def test_return__across_a_gap_is_unknown_and_nothing_is_filled_forward(
    missing: Iterable[int], horizon_days: int, unknown: Iterable[int]
) -> None:
    window = 21 - horizon_days
    whole = [100.0 * 1.01**day for day in range(21)]
    holed = [None if 20 - place in set(missing) else close for place, close in enumerate(whole)]
    expected = returns(whole, window, horizon_days)
    for days_ago in unknown:
        expected[window - 1 - days_ago] = np.nan
    np.testing.assert_array_equal(returns(holed, window, horizon_days), expected)


@untimed
@given(
    st.lists(st.one_of(st.none(), st.integers(1, 10**6)), min_size=2, max_size=40),
    st.integers(1, 12),
    st.integers(1, 40),
)
def test_return__is_that_of_a_plain_walk_over_the_days(usd: list[int | None], horizon_days: int, window: int) -> None:
    by_age = dict(enumerate(reversed(usd)))
    found = return_window(closes_of(closes("BTC", usd)), ["BTC"], DAY, window, horizon_days).returns[:, 0]
    for place, value in enumerate(found):
        age = window - 1 - place
        line = [by_age.get(age + step) for step in range(horizon_days + 1)]
        path = [close for close in line if close is not None]
        if len(path) < len(line):
            assert np.isnan(value)
        else:
            assert value == path[0] / path[-1] - 1


def test_window__ignores_closes_after_its_last_day_and_before_its_first() -> None:
    usd = [7, 100, 110, 121, 9]
    found = return_window(closes_of(closes("BTC", usd, last=DAY + timedelta(days=1))), ["BTC"], DAY, 2)
    assert found.returns[:, 0] == pytest.approx([0.1, 0.1])
    assert not found.problems


@pytest.mark.parametrize("text", ["NaN", "sNaN", "0", "-0", "-1", "Infinity", "-Infinity"])
def test_closes__refuse_what_is_no_price(text: str) -> None:
    with pytest.raises(RiskInputError) as refused:
        closes_of([("ETH", back(1), Decimal(1)), ("BTC", DAY, Decimal(text))])
    assert str(refused.value) == f"close of BTC on 2026-01-30 is {text}, which is no price"


def test_closes__refuse_a_day_that_stands_twice() -> None:
    rows = [("BTC", DAY, Decimal(1)), ("ETH", DAY, Decimal(1)), ("BTC", DAY, Decimal(1))]
    with pytest.raises(RiskInputError) as refused:
        closes_of(rows)
    assert str(refused.value) == "BTC has two closes on 2026-01-30; keep one"


def test_closes__last_date_is_the_earliest_of_the_last_days() -> None:
    assert closes_of([*closes("BTC", [1, 2]), *closes("ETH", [1], last=back(4))]).last_date == back(4)
    with pytest.raises(RiskInputError, match="there are no closes"):
        _ = Closes({}).last_date


MOVING = [100.0 + day % 3 for day in range(30)]


@pytest.mark.parametrize(
    ("usd", "window", "horizon_days", "problem", "is_short"),
    [
        ([], 5, 1, "no closes of BTC", False),
        ([*MOVING, None], 5, 1, "no close of BTC on 2026-01-30", False),
        # No close on the day is told even where returns are missing too.
        ([1, 2, None], 250, 1, "no close of BTC on 2026-01-30", False),
        (MOVING, 29, 1, None, False),
        (MOVING, 30, 1, "BTC has 29 of 30 returns", True),
        (MOVING, 20, 10, None, False),
        (MOVING, 21, 10, "BTC has 20 of 21 returns", True),
        (MOVING, 500, 10, "BTC has 20 of 500 returns", True),
        ([100], 1, 1, "BTC has 0 of 1 returns", True),
        ([*MOVING[:-4], None, *MOVING[-3:]], 20, 1, "BTC has 18 of 20 returns", True),
        ([1] * 30, 29, 1, "BTC never moved in 29 returns", False),
        # What never moved and is too short is short: with more returns it may be found to move.
        ([1] * 30, 30, 1, "BTC has 29 of 30 returns", True),
        ([1] * 10 + [2] * 20, 19, 1, "BTC never moved in 19 returns", False),
        ([1, 2], 1, 1, None, False),
        ([2, 2], 1, 1, "BTC never moved in 1 returns", False),
    ],
)
def test_window__tells_what_it_lacks(
    usd: list[float | None], window: int, horizon_days: int, problem: str | None, is_short: bool
) -> None:
    rows = [*closes("BTC", usd), *closes("ETH", range(100, 700))]
    found = return_window(closes_of(rows), ["ETH", "BTC"], DAY, window, horizon_days)
    assert found.problems == ({} if problem is None else {"BTC": problem})
    assert found.short == (frozenset({"BTC"}) if is_short else frozenset())


def test_window__gives_columns_by_name_and_counts_what_is_there() -> None:
    rows = [*closes("BTC", [1, 2, None, 4, 8]), *closes("ETH", [1, 2, 3, 3, 6]), *closes("XRP", [9, 9])]
    found = return_window(closes_of(rows), ["BTC", "XRP", "ETH", "LINK"], DAY, 4)
    np.testing.assert_array_equal(found.of(["ETH", "BTC"]), [[1, 1], [0.5, np.nan], [0, np.nan], [1, 1]])
    assert found.of([]).shape == (4, 0)
    assert {asset: found.observations(asset) for asset in found.assets} == {"BTC": 2, "XRP": 1, "ETH": 4, "LINK": 0}
    assert found.problems == {
        "BTC": "BTC has 2 of 4 returns",
        "XRP": "XRP has 1 of 4 returns",
        "LINK": "no closes of LINK",
    }
    assert found.short == {"BTC", "XRP"}


def test_window__of_no_assets_is_empty() -> None:
    found = return_window(closes_of([]), [], DAY, 3)
    assert found.returns.shape == (3, 0)
    assert not found.problems


@pytest.mark.parametrize(("window", "horizon_days"), [(0, 1), (1, 0), (-5, 1), (5, -1)])
def test_window__refuses_no_days(window: int, horizon_days: int) -> None:
    with pytest.raises(RiskInputError) as refused:
        return_window(closes_of(closes("BTC", [1, 2])), ["BTC"], DAY, window, horizon_days)
    assert str(refused.value) == f"window {window} and horizon {horizon_days} must be at least one day"
