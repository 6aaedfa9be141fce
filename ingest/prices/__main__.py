"""`python -m ingest.prices`: run the price oracle until SIGTERM."""

from __future__ import annotations

import logging
import threading

from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.errors import BallastError
from infra.runtime.heartbeats import heartbeat
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import load_settings
from infra.runtime.signals import stop_on_signals
from ingest.prices.feeds import load_feeds
from ingest.prices.process import RESTORE_WITHIN_S, restore_last_good, run
from ingest.prices.sources import sources


def main() -> None:
    """Run until SIGTERM or SIGINT; what waits then is sent once more."""
    stop, clock = threading.Event(), SystemClock()
    stop_on_signals(stop)
    try:
        settings = load_settings()
        configure_logs("oracle", settings.log_level)
        # At INFO it writes every address, and addresses of providers may hold keys.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        feeds = load_feeds(settings.price_feeds)
        factories = sources(settings, feeds, clock)
        last_good = restore_last_good(lambda: Warehouse(settings, deadline_s=RESTORE_WITHIN_S), clock.now())
        with heartbeat(settings, "oracle") as shown:
            is_asked = run(settings, feeds, factories, Publisher(settings), clock, stop, last_good, shown.beat)
    except BallastError as error:
        raise SystemExit(f"{error.code}: {error.message}") from None
    if not is_asked:
        raise SystemExit(1)
    get_logger(__name__).info("stopped")


if __name__ == "__main__":
    main()
