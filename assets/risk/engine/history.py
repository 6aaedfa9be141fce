"""From closes to the returns of one window, and what is wrong with it where there are none.

A return is simple and spans exactly `horizon_days`, with a close on each day between; across a gap there is none, and
nothing is filled forward. The models `int_risk__asset_returns`,
`int_risk__scenarios` and `int_risk__asset_coverage` say the same in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from assets.risk.engine.errors import RiskInputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Closes:
    """Daily closes in USD by asset and UTC day; every one is finite and above zero."""

    by_asset: Mapping[str, Mapping[date, Decimal]]

    @property
    def last_date(self) -> date:
        """The last day on which every asset has a close."""
        if not self.by_asset:
            raise RiskInputError("there are no closes")
        return min(max(days) for days in self.by_asset.values())


def closes_of(rows: Iterable[tuple[str, date, Decimal]]) -> Closes:
    """Closes of (asset, day, USD); `RiskInputError` for a day that stands twice or a close that is no price."""
    by_asset: dict[str, dict[date, Decimal]] = {}
    for asset, day, close_usd in rows:
        days = by_asset.setdefault(asset, {})
        if day in days:
            raise RiskInputError(f"{asset} has two closes on {day}; keep one")
        if not close_usd.is_finite() or close_usd <= 0:
            raise RiskInputError(f"close of {asset} on {day} is {close_usd}, which is no price")
        days[day] = close_usd
    return Closes(by_asset)


@dataclass(frozen=True)
class ReturnWindow:
    """Returns that end on each of the last `window` days up to `as_of`, oldest first.

    `returns` has shape (window, assets), as fractions, NaN where there is none. `problems` names, for an asset whose
    history cannot carry an estimate, what it lacks; `short` are those that lack nothing but some returns.
    """

    assets: tuple[str, ...]
    as_of: date
    horizon_days: int
    returns: Floats
    problems: Mapping[str, str]
    short: frozenset[str]

    @property
    def window(self) -> int:
        """Observations that are asked for."""
        return int(self.returns.shape[0])

    def of(self, assets: Sequence[str]) -> Floats:
        """The columns of these assets, shape (window, len(assets))."""
        places = {asset: place for place, asset in enumerate(self.assets)}
        return self.returns[:, [places[asset] for asset in assets]]

    def observations(self, asset: str) -> int:
        """Returns that are there."""
        return int(np.isfinite(self.of([asset])).sum())


def return_window(
    closes: Closes, assets: Sequence[str], as_of: date, window: int, horizon_days: int = 1
) -> ReturnWindow:
    """Returns of `assets` over `window` days up to `as_of` (UTC); an asset without closes is a problem, no error."""
    if window < 1 or horizon_days < 1:
        raise RiskInputError(f"window {window} and horizon {horizon_days} must be at least one day")
    names = tuple(assets)
    columns = [_column(closes.by_asset.get(asset, {}), as_of, window, horizon_days) for asset in names]
    returns = np.column_stack(columns) if columns else np.empty((window, 0))
    problems: dict[str, str] = {}
    short = set()
    for place, name in enumerate(names):
        problem, is_short = _problem(name, closes.by_asset.get(name), as_of, returns[:, place])
        if problem is not None:
            problems[name] = problem
            short.update([name] if is_short else [])
    return ReturnWindow(names, as_of, horizon_days, returns, problems, frozenset(short))


def _column(days: Mapping[date, Decimal], as_of: date, window: int, horizon_days: int) -> Floats:
    length = window + horizon_days
    line = [days.get(as_of - timedelta(days=back)) for back in range(length - 1, -1, -1)]
    path = np.array([float(close) if close is not None else np.nan for close in line])
    known = np.isfinite(path)
    # How many of the closes from the day before the return begins to its end are there.
    runs = np.convolve(known, np.ones(horizon_days + 1), mode="valid") == horizon_days + 1
    with np.errstate(invalid="ignore"):
        moved = path[horizon_days:] / path[:-horizon_days] - 1
    return np.where(runs, moved, np.nan)


def _problem(asset: str, days: Mapping[date, Decimal] | None, as_of: date, returns: Floats) -> tuple[str | None, bool]:
    """What is wrong, and whether it is only that returns are missing."""
    if not days:
        return f"no closes of {asset}", False
    if as_of not in days:
        return f"no close of {asset} on {as_of}", False
    known = returns[np.isfinite(returns)]
    if len(known) < len(returns):
        return f"{asset} has {len(known)} of {len(returns)} returns", True
    if not np.any(known):
        return f"{asset} never moved in {len(returns)} returns", False
    return None, False
