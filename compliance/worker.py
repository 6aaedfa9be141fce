"""The worker of compliance (`python -m compliance.worker`): KYC polls, undecided transactions, outboxes, lists.

Several processes may run: every job is idempotent, and a kill at any place repeats work and loses none.
"""

from __future__ import annotations

import sys
import threading

from compliance.api.services import build_services
from compliance.migrations import upgrade
from compliance.worker_jobs import WorkerMetrics, build_jobs
from infra.runtime.jobs import run_jobs
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.migrations import upgrade_when_up
from infra.runtime.postgres import PostgresClock, postgres_engine
from infra.runtime.settings import Settings, load_settings
from infra.runtime.signals import stop_on_signals

_log = get_logger(__name__)

SERVICE = "compliance-worker"


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
            jobs,
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
