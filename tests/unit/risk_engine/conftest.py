"""Closes made of returns, for tests of what the engine makes of closes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from numpy.typing import ArrayLike

from assets.risk.engine.batch import Histories
from assets.risk.engine.history import closes_of

DAY = date(2026, 1, 30)


@pytest.fixture
def make_histories() -> Callable[..., Histories]:
    """Histories up to 2026-01-30 of the daily returns of each asset, oldest first, which end on that day.

    `missing` names closes, by asset and days before the last, that are left out.
    """

    def make(
        returns: Mapping[str, ArrayLike], missing: Mapping[str, Iterable[int]] | None = None, label: str = "px-test"
    ) -> Histories:
        rows = []
        for asset, daily in returns.items():
            path = 100 * np.cumprod(1 + np.concatenate([[0.0], np.asarray(daily, dtype=np.float64)]))
            left_out = set((missing or {}).get(asset, ()))
            for back, close in enumerate(reversed(path.tolist())):
                if back not in left_out:
                    rows.append((asset, DAY - timedelta(days=back), Decimal(repr(close))))
        return Histories(closes_of(rows), tuple(sorted(returns)), DAY, label)

    return make
