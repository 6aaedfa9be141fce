"""The worker of compliance (`python -m compliance.worker`): KYC polls, undecided transactions, outboxes, lists.

Several processes may run: every job is idempotent, and a kill at any place repeats work and loses none.
"""

from __future__ import annotations

import sys
import threading
from functools import partial

from sqlalchemy import Engine

from compliance.aml.intake import Intake
from compliance.aml.past_prices import ClosesAndLatest
from compliance.api.services import Services, build_services
from compliance.api.valuation import LatestPrices
from compliance.migrations import upgrade
from compliance.worker_jobs import WorkerMetrics, build_jobs
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import Clock
from infra.runtime.jobs import Consuming, run_jobs
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.migrations import upgrade_when_up
from infra.runtime.postgres import PostgresClock, postgres_engine
from infra.runtime.pubsub import BatchConsumer
from infra.runtime.settings import Settings, load_settings
from infra.runtime.signals import stop_on_signals
from ingest.prices.feeds import PINNED_FEEDS, load_feeds
from ingest.topics import SETTLEMENTS, SETTLEMENTS_JUDGED

_log = get_logger(__name__)

SERVICE = "compliance-worker"
WAREHOUSE_DEADLINE_S = 10.0
# Judged one by one within the lease of the batch.
INTAKE_BATCH = 50


def run_worker(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set; the schema is brought up to date first, however long PostgreSQL is away."""
    engine = postgres_engine(settings, SERVICE)
    metrics = WorkerMetrics()
    try:
        if not upgrade_when_up(lambda: upgrade(engine), stop):
            return
        clock = PostgresClock(engine)
        services = build_services(settings, engine, clock)
        jobs = build_jobs(settings, engine, clock, services, metrics)
        # The matcher's libraries take seconds to load and to search first: nobody waits for that while a row is locked.
        jobs[0].once()
        services.warm()
        run_jobs(
            [*jobs, _intake(settings, engine, clock, services)],
            stop,
            service=SERVICE,
            engine=engine,
            port=settings.compliance_worker_port,
            token=settings.api_token,
            metrics=metrics.render,
        )
        services.close()
    finally:
        engine.dispose()


def _intake(settings: Settings, engine: Engine, clock: Clock, services: Services) -> Consuming:
    """What looks at settlements that arrive without having passed the gate."""
    warehouse = Warehouse(settings, deadline_s=WAREHOUSE_DEADLINE_S)
    latest = LatestPrices(warehouse, clock, partial(load_feeds, settings.price_feeds or PINNED_FEEDS))
    handle = Intake(engine, clock, lambda: services.gate, ClosesAndLatest(warehouse, latest, clock))
    consumer = BatchConsumer(
        settings, SETTLEMENTS_JUDGED, handle, max_batch=INTAKE_BATCH, dead_letter_topic=SETTLEMENTS.dead_letter
    )
    return Consuming("intake", consumer)


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    settings = load_settings()
    configure_logs(SERVICE, settings.log_level)
    stop = threading.Event()
    stop_on_signals(stop)
    run_worker(settings, stop)
    _log.info("worker_stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
