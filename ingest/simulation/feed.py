"""Publishes a price of every asset every few seconds: `python -m ingest.simulation.feed`.

For an installation without an oracle. It goes on from the last price in `raw`: an asset with simulated closes takes a
small random step, one with real closes repeats its price as a replay of the close. Its sources say which.
"""

from __future__ import annotations

import math
import random
import signal
import threading
from collections.abc import Mapping
from decimal import Decimal

from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import BallastError
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import load_settings
from ingest.closes import Close
from ingest.market import collect_closes
from ingest.messages import PRICE_DECIMALS, SIMULATED, PriceMessage
from ingest.publish import latest_prices, price_of_close, publish_prices
from ingest.simulation.market import STABLE

PERIOD_S = 5.0
DAILY_VOLATILITY = 0.035
_QUANTUM = Decimal(1).scaleb(-PRICE_DECIMALS)
_log = get_logger(__name__)


def next_prices(
    closes: Mapping[str, Close], last: Mapping[str, Decimal], clock: Clock, generator: random.Random
) -> list[PriceMessage]:
    """The next price of every asset; `last` holds the prices to go on from, the close where there is none."""
    now = clock.now()
    prices = []
    for asset, close in sorted(closes.items()):
        price = last.get(asset, close.close_usd)
        if close.source == SIMULATED and asset not in STABLE:
            step = generator.gauss(0, DAILY_VOLATILITY * math.sqrt(PERIOD_S / 86_400))
            price = max((price * Decimal(math.exp(step))).quantize(_QUANTUM), _QUANTUM)
        prices.append(price_of_close(close, now, price))
    return prices


def main() -> None:
    """Publish until SIGTERM; a server that is away is waited for."""
    settings = load_settings()
    configure_logs("feed", settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = SystemClock()
    closes = collect_closes(settings, clock).last_closes()
    warehouse, publisher, generator = Warehouse(settings), Publisher(settings), random.Random()  # noqa: S311 -- no secret
    _log.info("feeding", assets=sorted(closes))
    while not stop.is_set():
        try:
            publish_prices(publisher, next_prices(closes, latest_prices(warehouse), clock, generator))
        except BallastError as error:
            _log.warning("prices_not_published", code=error.code, reason=error.message)
        stop.wait(PERIOD_S)
    publisher.close()


if __name__ == "__main__":
    main()
