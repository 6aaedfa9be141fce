"""Moves the local price sources: `python -m infra.embedded.market`.

An asset with simulated closes takes a small random step every few seconds, one with real closes keeps the last of
them. Hermes gets every step; the chain gets a round when its feed's deviation or heartbeat asks for one, as the real
networks do. What the sources hold is where the walk goes on after a restart.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from infra.embedded.chain.control import ChainControl
from infra.embedded.hermes.control import HermesControl
from infra.runtime.clock import SystemClock
from infra.runtime.errors import BallastError
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.settings import Settings, load_settings
from infra.runtime.signals import stop_on_signals
from ingest.closes import Close, PriceSet
from ingest.market import collect_closes
from ingest.messages import SIMULATED
from ingest.prices.feeds import FeedTable, load_feeds
from ingest.simulation.market import STABLE

PERIOD_S = 5.0
DAILY_VOLATILITY = 0.035
# What the feeds of the table carry.
_QUANTUM = Decimal("0.00000001")
_log = get_logger(__name__)


class PriceBoard(Protocol):
    """A local source whose prices can be set."""

    def set_prices(self, prices: Mapping[str, Decimal], /) -> object:
        """Serve these prices from now on, USD for one unit."""
        ...


def next_prices(
    closes: Mapping[str, Close], last: Mapping[str, Decimal], generator: random.Random
) -> dict[str, Decimal]:
    """The next price of every asset; `last` holds the prices to go on from, the close where there is none."""
    prices = {}
    for asset, close in sorted(closes.items()):
        price = last.get(asset, close.close_usd)
        if close.source == SIMULATED and asset not in STABLE:
            step = generator.gauss(0, DAILY_VOLATILITY * math.sqrt(PERIOD_S / 86_400))
            price = price * Decimal(math.exp(step))
        prices[asset] = _quantised(price)
    return prices


@dataclass
class Market:
    """The local sources as one market."""

    table: FeedTable
    chain: PriceBoard
    hermes: PriceBoard
    monotonic: Callable[[], float] = time.monotonic
    _rounds: dict[str, tuple[Decimal, float]] = field(default_factory=dict)

    def jump(self, prices: Mapping[str, Decimal]) -> None:
        """Set both sources at once."""
        quantised = {asset: _quantised(price) for asset, price in prices.items()}
        self._add_rounds(quantised)
        self.hermes.set_prices(quantised)

    def move(self, prices: Mapping[str, Decimal]) -> None:
        """Set Hermes, and the rounds of the chain that are due."""
        due = {asset: price for asset, price in prices.items() if self._is_due(asset, price)}
        if due:
            self._add_rounds(due)
        self.hermes.set_prices(prices)

    def _add_rounds(self, prices: Mapping[str, Decimal]) -> None:
        self.chain.set_prices(prices)
        self._rounds.update({asset: (price, self.monotonic()) for asset, price in prices.items()})

    def _is_due(self, asset: str, price: Decimal) -> bool:
        known = self.table.assets.get(asset)
        feed = known.chainlink if known else None
        if feed is None:
            return False
        last = self._rounds.get(asset)
        if last is None:
            return True
        moved_bp = abs(price / last[0] - 1) * 10_000
        return moved_bp >= feed.deviation_bp or self.monotonic() - last[1] >= feed.heartbeat_s


def connect(settings: Settings) -> Market:
    """The market of this installation's local sources."""
    return Market(load_feeds(settings.price_feeds), ChainControl(settings), HermesControl(settings))


def current_prices(settings: Settings) -> dict[str, Decimal]:
    """What the local Hermes serves now, USD for one unit."""
    return {asset: served.price_usd for asset, served in HermesControl(settings).state().prices.items()}


def opening_prices(found: PriceSet) -> dict[str, Decimal]:
    """The last close of each asset, USD for one unit."""
    return {asset: _quantised(close.close_usd) for asset, close in found.last_closes().items()}


def _quantised(price: Decimal) -> Decimal:
    return max(price.quantize(_QUANTUM), _QUANTUM)


def main() -> None:
    """Move the market until SIGTERM; a source that is away is waited for."""
    settings = load_settings()
    configure_logs("market", settings.log_level)
    stop = threading.Event()
    stop_on_signals(stop)
    if settings.ethereum_control_url is None:
        _log.info("nothing_to_move", reason="the price sources of the settings are not the local ones")
        stop.wait()
        return
    closes = collect_closes(settings, SystemClock()).last_closes()
    market, generator = connect(settings), random.Random()  # noqa: S311 -- no secret
    _log.info("market_open", assets=sorted(closes))
    while not stop.is_set():
        try:
            market.move(next_prices(closes, current_prices(settings), generator))
        except BallastError as error:
            _log.warning("prices_not_moved", code=error.code, reason=error.message)
        stop.wait(PERIOD_S)


if __name__ == "__main__":
    main()
