"""What one unit of an asset is worth in USD, by the latest price of the oracle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import requests

from infra.runtime.clock import Clock
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger
from ingest.prices.feeds import AssetFeeds, FeedTable
from ingest.prices.presentation import price_state
from ingest.prices.reads import LATEST_WITHIN, PriceRow, Reader, latest_prices
from ingest.prices.views import PriceState

KEPT_FOR = timedelta(seconds=2)
_USABLE = frozenset({PriceState.OK, PriceState.DEGRADED})
_log = get_logger(__name__)


class LatestPrices:
    """Prices of the warehouse, read at most every two seconds; what is missing, stale or cannot be read is None."""

    def __init__(self, reader: Reader, clock: Clock, feeds: Callable[[], FeedTable]) -> None:
        self._reader, self._clock, self._feeds = reader, clock, feeds
        self._lock = threading.Lock()
        self._read_at: datetime | None = None
        self._prices: Mapping[str, Decimal] = {}

    def price_usd(self, asset: str) -> Decimal | None:
        """USD for one unit; None where no price may be relied upon now."""
        with self._lock:
            now = self._clock.now()
            if self._read_at is None or not timedelta(0) <= now - self._read_at < KEPT_FOR:
                self._prices, self._read_at = self._usable(now), now
            return self._prices.get(asset)

    def _usable(self, now: datetime) -> Mapping[str, Decimal]:
        try:
            rows, assets = latest_prices(self._reader, now - LATEST_WITHIN), self._feeds().assets
        except (BallastError, requests.exceptions.RequestException) as error:
            # An unknown amount is judged as such: the transaction goes to review.
            _log.warning("valuation_unavailable", reason=type(error).__name__)
            return {}
        return {row.asset: row.price_usd for row in rows if row.price_usd is not None and _may_use(row, assets, now)}


def _may_use(row: PriceRow, assets: Mapping[str, AssetFeeds], now: datetime) -> bool:
    state, _ = price_state(row, assets.get(row.asset, AssetFeeds()), now)
    return state in _USABLE
