"""`python -m infra.embedded.hermes --data-dir DIR --port N --feeds FILE`: serve a local Hermes on 127.0.0.1."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn

from infra.embedded.hermes.app import KEEP_ALIVE_S, create_app
from infra.embedded.hermes.board import Board
from infra.embedded.hermes.failures import Failures
from infra.embedded.hermes.history import History
from infra.embedded.hermes.hub import Hub
from infra.runtime.clock import SystemClock
from infra.runtime.errors import BallastError
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.settings import load_settings
from ingest.closes import PriceSet
from ingest.market import collect_closes
from ingest.prices.feeds import PINNED_FEEDS, load_feeds

PERIOD_S = 1.0
DECIMALS = 8
_log = get_logger(__name__)


class HermesServer(uvicorn.Server):
    """A server that ends its streams when it is told to leave; else it would wait for their clients."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave on a signal."""
        self._hub.close()
        super().handle_exit(sig, frame)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def main() -> int:
    """Serve until SIGTERM."""
    arguments = _arguments()
    settings = load_settings()
    configure_logs("hermes", settings.log_level)
    # uvicorn ends gracefully and then raises the signal again, for this handler.
    signal.signal(signal.SIGTERM, _leave)
    clock = SystemClock()
    try:
        table = load_feeds(arguments.feeds)
        feeds = {asset: each.pyth.feed_id for asset, each in table.assets.items() if each.pyth is not None}
        closes = collect_closes(settings, clock)
        board = Board(arguments.data_dir, feeds, _first_prices(closes), clock)
    except BallastError as error:
        _log.error("hermes_cannot_start", code=error.code, reason=error.message)
        return 1
    hub = Hub(board, Failures(time.monotonic), arguments.period)
    app = create_app(settings, hub, History(closes.closes), arguments.keep_alive)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=arguments.port, access_log=False, log_config=None, timeout_graceful_shutdown=5
    )
    server = HermesServer(config, hub)
    server.run()
    return 0 if server.started else 1


def _first_prices(closes: PriceSet) -> dict[str, Decimal]:
    """The last close of each asset, with as many decimals as Pyth's usual exponent holds."""
    rounded = {asset: round(close.close_usd, DECIMALS) for asset, close in closes.last_closes().items()}
    return {asset: price for asset, price in rounded.items() if price > 0}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="infra.embedded.hermes", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the file of prices")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--feeds", type=Path, default=PINNED_FEEDS, help="feed table (TOML); default: the pinned one")
    parser.add_argument("--period", type=float, default=PERIOD_S, help="seconds between two publications")
    parser.add_argument("--keep-alive", type=float, default=KEEP_ALIVE_S, help="seconds until a comment on a stream")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
