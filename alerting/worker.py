"""The alert worker (`python -m alerting.worker`): plans notifications of events durably, sends them, escalates.

Any number may run at once. With `--port` each gets a port of its own for health and metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from alerting import compliance_events, events
from alerting.channels.base import Channel
from alerting.channels.build import build_channels
from alerting.claims import Claims
from alerting.composing import Composer
from alerting.disabling import disable_contacts
from alerting.escalation import Escalator
from alerting.ledger import AlertEvent
from alerting.metrics import WorkerMetrics
from alerting.migrations import upgrade
from alerting.planning import Planner, parse_compliance_alert, parse_margin_alert
from alerting.policy_model import Rules
from alerting.rendering.renderer import Renderer
from alerting.sender import Sender, SenderHooks, SenderOptions
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.heartbeats import Heartbeat, beating
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.migrations import upgrade_when_up
from infra.runtime.monitor import Health, MonitorServer
from infra.runtime.postgres import PostgresClock, postgres_engine
from infra.runtime.pubsub import DEAD_LETTER_SUFFIX, BatchConsumer
from infra.runtime.sealing import Sealer
from infra.runtime.settings import Settings, load_settings
from infra.runtime.signals import stop_on_signals

_log = get_logger(__name__)

SERVICE = "alert-worker"
MAX_BATCH = 500
MAX_WAIT_S = 0.02
ESCALATION_LOOK_S = 1.0
POOL_SIZE = 12


def build_rules(settings: Settings, channels: Sequence[Channel]) -> Rules:
    """The policy's settings, for the channels that are configured."""
    return Rules(
        repeat_window=timedelta(seconds=settings.alert_repeat_s),
        escalation_after=timedelta(seconds=settings.alert_escalation_s),
        bucket_size=settings.alert_bucket_size,
        bucket_refill=timedelta(seconds=settings.alert_bucket_refill_s),
        digest_window=timedelta(seconds=settings.alert_bucket_refill_s),
        has_operator_webhook=bool(settings.webhook_url),
        channels=frozenset(channel.name for channel in channels),
    )


def build_composer(settings: Settings) -> Composer:
    """What makes messages of claims; `build_channels` has judged the operator's webhook."""
    renderer = Renderer(settings.app_url, settings.reachable_url, settings.alert_cure_target_pct)
    sealer = Sealer(settings.sealing_key) if settings.sealing_key is not None else None
    return Composer(renderer, sealer, settings.webhook_url, settings.webhook_secret)


class Worker:
    """The parts of one worker process on one PostgreSQL engine."""

    def __init__(
        self, settings: Settings, engine: Engine, stop: threading.Event, options: SenderOptions | None = None
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._stop = stop
        self._clock: Clock = PostgresClock(engine)
        self._failures: list[BaseException] = []
        self.metrics = WorkerMetrics()
        # Every statement of the claims is tried again by the sender, so that it needs no ping before it.
        self._claims_engine = postgres_engine(settings, f"{SERVICE}-claims", pool_size=POOL_SIZE, pre_ping=False)
        self.claims = Claims(self._claims_engine, self._clock)
        channels = build_channels(settings, SystemClock())
        self._rules = build_rules(settings, channels)
        self._escalator = Escalator(engine, self._clock, self._rules)
        hooks = SenderHooks(self._disable, self._hasten)
        composer = build_composer(settings)
        self.sender = Sender(self.claims, channels, composer, self._clock, self.metrics, hooks, options)
        self.channels = channels

    def run(self, port: int) -> None:
        """Consume, send and escalate until `stop` is set; raises what ended a part, so that it is started again."""
        margin = self._consumer(events.TOPIC, events.SUBSCRIPTION, parse_margin_alert)
        compliance = self._consumer(compliance_events.TOPIC, compliance_events.SUBSCRIPTION, parse_compliance_alert)
        parts: dict[str, Callable[[], None]] = {
            "sender": lambda: asyncio.run(self.sender.run(self._stop)),
            "escalations": self._escalate,
            "compliance": lambda: compliance.run(self._stop),
        }
        threads = [threading.Thread(target=self._guarded, args=(parts[name],), name=name) for name in parts]
        for thread in threads:
            thread.start()

        def is_working() -> bool:
            alive = all(thread.is_alive() for thread in threads)
            return alive and margin.is_turning() and compliance.is_turning()

        def problem() -> str | None:
            return margin.problem or compliance.problem

        def health() -> Health:
            return Health(is_working() and problem() is None, {"status": problem() or "ok"})

        _log.info("worker_ready", channels=[channel.name for channel in self.channels])
        try:
            with ExitStack() as stack:
                if port:
                    server = MonitorServer(port, self._settings.api_token, health, self._render, name=SERVICE)
                    server.start()
                    stack.callback(server.close)
                shown = stack.enter_context(closing(Heartbeat(self._engine, SERVICE)))
                stack.enter_context(beating(shown, is_working, problem=problem))
                margin.run(self._stop)
        finally:
            self._stop.set()
            self.sender.wake()
            for thread in threads:
                thread.join()
            self._claims_engine.dispose()
        if self._failures:
            raise self._failures[0]

    def _consumer(self, topic: str, subscription: str, parse: Callable[[bytes], AlertEvent]) -> BatchConsumer:
        planner = Planner(self._engine, self._clock, self._rules, parse, self._stop, self.sender.wake, self.metrics)
        return BatchConsumer(
            self._settings,
            subscription,
            planner,
            max_batch=MAX_BATCH,
            max_wait_s=MAX_WAIT_S,
            dead_letter_topic=topic + DEAD_LETTER_SUFFIX,
        )

    def _guarded(self, part: Callable[[], None]) -> None:
        try:
            part()
        except Exception as error:
            _log.exception("part_failed", part=threading.current_thread().name, reason=type(error).__name__)
            self._failures.append(error)
            self._stop.set()

    def _escalate(self) -> None:
        while not self._stop.is_set():
            try:
                done = self._escalator.look()
            except SQLAlchemyError as error:
                _log.warning("escalation_waits_for_postgres", reason=type(error).__name__)
                self._stop.wait(ESCALATION_LOOK_S)
                continue
            for outcome, count in done.outcomes.items():
                self.metrics.escalated(outcome, count)
            if done.planned:
                self.sender.wake()
            if not done.is_full:
                self._stop.wait(ESCALATION_LOOK_S)

    def _render(self) -> bytes:
        try:
            depths: dict[str, tuple[int, float]] | None = self.claims.queue_depths()
        except SQLAlchemyError:
            depths = None
        for channel in self.channels:
            depth, oldest_s = (None, None) if depths is None else depths.get(channel.name, (0, 0.0))
            self.metrics.queue(channel.name, depth, oldest_s)
        return self.metrics.render()

    def _disable(self, contact_id: str, reason: str) -> None:
        def disable() -> None:
            with self._engine.begin() as connection:
                disable_contacts(connection, [contact_id], reason, SERVICE, self._clock.now())

        self._aside(disable)

    def _hasten(self, event_ids: Sequence[str]) -> None:
        self._aside(lambda: self._escalator.hasten(event_ids))

    def _aside(self, call: Callable[[], object]) -> None:
        """Run a rare statement beside the sending loop; it is logged when it fails, for the look-ups repeat."""

        def run() -> None:
            try:
                call()
            except SQLAlchemyError as error:
                _log.warning("statement_failed", reason=type(error).__name__)

        threading.Thread(target=run, name="aside", daemon=True).start()


def run_worker(
    settings: Settings, stop: threading.Event, options: SenderOptions | None = None, port: int | None = None
) -> None:
    """Run one worker until `stop` is set; `port` for health and metrics, else that of the settings (0: none)."""
    engine = postgres_engine(settings, SERVICE, pool_size=POOL_SIZE)
    try:
        if upgrade_when_up(lambda: upgrade(engine), stop):
            Worker(settings, engine, stop, options).run(settings.alert_worker_port if port is None else port)
    finally:
        engine.dispose()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m alerting.worker", description="Plans and sends alerts.")
    parser.add_argument("--port", type=int, help="health and metrics; default BALLAST_ALERT_WORKER_PORT, 0: none")
    options = parser.parse_args(arguments)
    settings = load_settings()
    configure_logs(SERVICE, settings.log_level)
    stop = threading.Event()
    stop_on_signals(stop)
    run_worker(settings, stop, port=options.port)
    _log.info("worker_stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
