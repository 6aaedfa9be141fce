"""`python -m infra.embedded.chain --data-dir DIR --port N --feeds FILE`: serve the local chain on 127.0.0.1."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from infra.embedded.chain.market import Market
from infra.embedded.chain.server import ChainServer
from infra.runtime.clock import SystemClock
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.settings import load_settings
from ingest.prices.feeds import load_feeds


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="infra.embedded.chain", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of used phases and last prices")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--feeds", type=Path, required=True, help="feed table (TOML) of the local chain")
    arguments = parser.parse_args()
    settings = load_settings()
    configure_logs("chain", settings.log_level)
    market = Market(load_feeds(arguments.feeds), arguments.data_dir, SystemClock())
    server = ChainServer(arguments.port, market, settings.market_token)

    def leave(_number: int, _frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever(), which this thread runs.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    get_logger(__name__).info("chain_serves", port=arguments.port, assets=sorted(market.state()[2]))
    with server:
        server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
