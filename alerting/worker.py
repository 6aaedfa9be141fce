"""The alert worker (`python -m alerting.worker`): consumes margin events, plans notifications durably, sends them."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from contextlib import closing
from types import FrameType

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from alerting.channels.base import Channel
from alerting.channels.webhook import WebhookChannel, WebhookEndpoint
from alerting.events import SUBSCRIPTION, TOPIC
from alerting.ledger import Ledger
from alerting.migrations import upgrade
from alerting.planning import OPERATOR, Planner, RecipientPlan
from alerting.sender import Sender, SenderOptions
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import SettingsError
from infra.runtime.heartbeats import Heartbeat, beating
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.postgres import PostgresClock, postgres_engine
from infra.runtime.pubsub import DEAD_LETTER_SUFFIX, BatchConsumer
from infra.runtime.settings import Settings, load_settings

_log = get_logger(__name__)

SERVICE = "alert-worker"
MAX_BATCH = 100
MAX_WAIT_S = 0.02
START_WAIT_S = 1.0


def build_channels(settings: Settings, clock: Clock) -> list[Channel]:
    """The channels that are configured; `SettingsError` for an address without a secret."""
    if not settings.webhook_url:
        return []
    if settings.webhook_secret is None:
        raise SettingsError("BALLAST_WEBHOOK_URL is set without BALLAST_WEBHOOK_SECRET; webhooks are always signed.")
    return [WebhookChannel({OPERATOR: WebhookEndpoint(settings.webhook_url, settings.webhook_secret)}, clock)]


def run_worker(settings: Settings, stop: threading.Event, options: SenderOptions | None = None) -> None:
    """Consume and send until `stop` is set; raises what ended the sender, so that the supervisor starts it again."""
    options = options or SenderOptions()
    engine = postgres_engine(settings, SERVICE, pool_size=options.concurrency + 4)
    channels = build_channels(settings, SystemClock())
    try:
        if not _upgrade_when_up(engine, stop):
            return
        ledger = Ledger(engine, PostgresClock(engine))
        sender = Sender(ledger, channels, options)
        failures: list[BaseException] = []
        thread = threading.Thread(target=_send, args=(sender, stop, failures), name="sender")
        thread.start()
        _log.info("worker_ready", channels=[channel.name for channel in channels])
        consumer = _consumer(settings, Planner(ledger, RecipientPlan(bool(channels)), stop, sender.wake))
        try:
            with (
                closing(Heartbeat(engine, SERVICE)) as shown,
                beating(shown, lambda: thread.is_alive() and consumer.is_turning(), problem=lambda: consumer.problem),
            ):
                consumer.run(stop)
        finally:
            stop.set()
            thread.join()
        if failures:
            raise failures[0]
    finally:
        engine.dispose()


def _upgrade_when_up(engine: Engine, stop: threading.Event) -> bool:
    """Bring the schema up to date, waiting for PostgreSQL as long as needed; False when stopped before."""
    while not stop.is_set():
        try:
            upgrade(engine)
        except OperationalError as error:
            _log.warning("worker_waits_for_postgres", reason=type(error.orig).__name__)
            stop.wait(START_WAIT_S)
        else:
            return True
    return False


def _consumer(settings: Settings, planner: Planner) -> BatchConsumer:
    return BatchConsumer(
        settings,
        SUBSCRIPTION,
        planner,
        max_batch=MAX_BATCH,
        max_wait_s=MAX_WAIT_S,
        dead_letter_topic=TOPIC + DEAD_LETTER_SUFFIX,
    )


def _send(sender: Sender, stop: threading.Event, failures: list[BaseException]) -> None:
    try:
        asyncio.run(sender.run(stop))
    except Exception as error:
        _log.exception("sender_failed", reason=type(error).__name__)
        failures.append(error)
        stop.set()


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    settings = load_settings()
    configure_logs(SERVICE, settings.log_level)
    # httpx logs whole addresses, and a webhook's address can be a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        _log.info("worker_stops", signal=signal.Signals(number).name)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    run_worker(settings, stop)
    _log.info("worker_stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
