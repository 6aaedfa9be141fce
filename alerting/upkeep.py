"""Upkeep of the ledger (`python -m alerting.upkeep`): mirror to the warehouse, delivery rates, retention.

Several processes may run: one mirrors and the others stand by; the other jobs take turns in the database. A kill at
any place repeats work, and loses none.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from alerting.channels.build import build_channels
from alerting.metrics import UpkeepMetrics
from alerting.migrations import upgrade
from alerting.mirror import STREAMS, Mirror
from alerting.rates import TARGETS_PCT, WINDOWS, RateWatch
from alerting.retention import Retention
from infra.runtime.bigquery import Warehouse
from infra.runtime.errors import BallastError
from infra.runtime.jobs import Job, run_jobs
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.migrations import upgrade_when_up
from infra.runtime.postgres import PostgresClock, postgres_engine
from infra.runtime.settings import Settings, load_settings
from infra.runtime.signals import stop_on_signals

_log = get_logger(__name__)

SERVICE = "alert-upkeep"
MIRROR_EVERY_S = 1.0
RATES_EVERY_S = 15.0
RETENTION_EVERY_S = 600.0
# How long the warehouse may be away before it is said; the mirror goes on trying.
WAREHOUSE_DEADLINE_S = 10.0


def build_jobs(settings: Settings, engine: Engine, metrics: UpkeepMetrics, stop: threading.Event) -> list[Job]:
    """The jobs of the settings; opens no connection."""
    clock = PostgresClock(engine)
    mirror = Mirror(engine, Warehouse(settings, deadline_s=WAREHOUSE_DEADLINE_S), clock)
    watch = RateWatch(
        engine,
        clock,
        channels={channel.name for channel in build_channels(settings, clock)},
        has_webhook=bool(settings.webhook_url),
    )
    retention = Retention(engine, clock, timedelta(days=settings.alert_retention_days))

    def mirror_once() -> bool:
        return _mirror_once(mirror, metrics)

    def rates_once() -> bool:
        return _rates_once(watch, metrics)

    def retention_once() -> bool:
        for table, deleted in retention.run(stop.is_set).items():
            if deleted:
                metrics.retained(table, deleted)
                _log.info("retention_deleted", table=table, rows=deleted)
        return False

    return [
        Job("mirror", MIRROR_EVERY_S, mirror_once, mirror.close),
        Job("rates", RATES_EVERY_S, rates_once),
        Job("retention", RETENTION_EVERY_S, retention_once),
    ]


def _mirror_once(mirror: Mirror, metrics: UpkeepMetrics) -> bool:
    try:
        done = mirror.step()
        lag_s = mirror.lag_s() if done.is_standby else done.lag_s
    except SQLAlchemyError:
        _show_lag(metrics, {stream.name: float("nan") for stream in STREAMS})
        raise
    except BallastError:
        # The warehouse is away or refuses: what waits gets older, and a monitor must see it.
        _show_lag(metrics, mirror.lag_s())
        raise
    for stream, rows in done.rows.items():
        if rows:
            metrics.mirrored(stream, rows)
    _show_lag(metrics, lag_s)
    return done.has_more


def _show_lag(metrics: UpkeepMetrics, lag_s: Mapping[str, float]) -> None:
    for stream, seconds in lag_s.items():
        metrics.mirror_lag(stream, seconds)


def _rates_once(watch: RateWatch, metrics: UpkeepMetrics) -> bool:
    try:
        rates, announced = watch.look()
    except SQLAlchemyError:
        for channel, window in itertools.product(TARGETS_PCT, WINDOWS):
            metrics.delivery_rate(channel, _hours(window), None)
        raise
    for rate in rates:
        metrics.delivery_rate(rate.channel, _hours(rate.window), rate.rate_pct)
    for event in announced:
        _log.warning("delivery_rate_announced", severity=event.severity, **event.payload)
    return False


def _hours(window: timedelta) -> str:
    return f"{window // timedelta(hours=1)}h"


def run_upkeep(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set; the schema is brought up to date first, however long PostgreSQL is away."""
    engine = postgres_engine(settings, SERVICE)
    metrics = UpkeepMetrics()
    try:
        if not upgrade_when_up(lambda: upgrade(engine), stop):
            return
        run_jobs(
            build_jobs(settings, engine, metrics, stop),
            stop,
            service=SERVICE,
            engine=engine,
            port=settings.alert_upkeep_port,
            token=settings.api_token,
            metrics=metrics.render,
        )
    finally:
        engine.dispose()


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    settings = load_settings()
    configure_logs(SERVICE, settings.log_level)
    stop = threading.Event()
    stop_on_signals(stop)
    run_upkeep(settings, stop)
    _log.info("upkeep_stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
