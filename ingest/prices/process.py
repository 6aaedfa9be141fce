"""The oracle's parts put together: sources, decisions, outbox and server, from start to a clean end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from infra.runtime.clock import Clock
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger
from infra.runtime.monitor import Health, MonitorServer
from infra.runtime.settings import Settings
from ingest.prices import reads
from ingest.prices.feeds import FeedTable
from ingest.prices.inbox import Inbox
from ingest.prices.metrics import OracleMetrics
from ingest.prices.oracle import Oracle
from ingest.prices.outbox import Outbox, Publishes
from ingest.prices.selection import ANCHOR_MAX_AGE, GoodPrice
from ingest.prices.supervision import SourceFactory, start_sources

DECIDES_WITHIN_S = 10.0
RESTORE_WITHIN_S = 10.0
ENDS_WITHIN_S = 5.0
_log = get_logger(__name__)


def run(
    settings: Settings,
    feeds: FeedTable,
    factories: Mapping[str, SourceFactory],
    publisher: Publishes,
    clock: Clock,
    stop: threading.Event,
    last_good: Mapping[str, GoodPrice],
    beat: Callable[[], None] = lambda: None,
) -> bool:
    """Run until `stop`; False if the oracle cannot go on by itself and must be started anew.

    `beat` is called at each round of decisions.
    """
    inbox, metrics = Inbox(), OracleMetrics()
    outbox = Outbox(publisher, clock, metrics)
    oracle = Oracle(
        feeds,
        tuple(factories),
        outbox,
        metrics,
        clock,
        is_simulated=settings.prices_are_simulated,
        last_good=last_good,
    )
    server = MonitorServer(
        settings.oracle_port,
        settings.api_token,
        lambda: health(oracle, outbox, clock.now()),
        metrics.render,
        name="oracle",
    )
    sending = threading.Thread(target=outbox.run, args=(stop,), name="outbox", daemon=True)
    server.start()
    sending.start()
    threads = start_sources(factories, inbox, stop, clock)
    _log.info("deciding", assets=sorted(feeds.assets), sources=sorted(factories), chain_id=feeds.chain_id)
    try:
        oracle.run(inbox, stop, sending.is_alive, beat)
    finally:
        is_asked = stop.is_set()
        stop.set()
        ends = time.monotonic() + ENDS_WITHIN_S
        for thread in (sending, *threads):
            thread.join(timeout=max(0.0, ends - time.monotonic()))
        server.close()
    return is_asked


def health(oracle: Oracle, outbox: Outbox, now: datetime) -> Health:
    """Well while decisions are made; the rest of the body tells how good they are."""
    decided_age_s = _age_s(oracle.decided_at, now)
    is_well = decided_age_s is not None and decided_age_s <= DECIDES_WITHIN_S
    body = {
        "status": "ok" if is_well else "not_deciding",
        "decided_age_seconds": decided_age_s,
        "published_age_seconds": _age_s(outbox.last_published_at, now),
        "pubsub_away_seconds": _age_s(outbox.away_since, now),
        "sources": {
            name: {"state": str(breaker.state), "answered_age_seconds": _age_s(breaker.last_answered_at, now)}
            for name, breaker in oracle.breakers.items()
        },
        "assets": {
            asset: {"quality": str(decision.quality), "age_seconds": _age_s(decision.observed_at, now)}
            for asset, decision in oracle.decisions.items()
        },
    }
    return Health(is_well, body)


def restore_last_good(
    make_reader: Callable[[], reads.Reader], now: datetime, within_s: float = RESTORE_WITHIN_S
) -> dict[str, GoodPrice]:
    """The recent good prices that the warehouse holds; none where it does not answer in time, which is told."""
    found: dict[str, GoodPrice] = {}
    faults: list[str] = []
    is_read = threading.Event()

    def read() -> None:
        try:
            found.update(reads.last_good_prices(make_reader(), now - ANCHOR_MAX_AGE))
            is_read.set()
        except BallastError as error:
            faults.append(error.code)

    reading = threading.Thread(target=read, name="restore", daemon=True)
    reading.start()
    reading.join(timeout=within_s)
    if not is_read.is_set():
        reason = faults[0] if faults else f"no answer within {within_s:g} s"
        _log.warning("last_prices_not_restored", reason=reason, effect="no measure for jumps until the next good price")
        return {}
    _log.info("last_prices_restored", assets=sorted(found))
    return found


def _age_s(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else round((now - at).total_seconds(), 3)
