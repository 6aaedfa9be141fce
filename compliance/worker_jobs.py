"""What compliance's worker does again and again: KYC polls, undecided transactions, outboxes, lists, alarms on age.

A job's failure stays its own, and shows as a stable code. The alarm needs the database and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from compliance.aml import gate_store
from compliance.aml.alarms import raise_alarm
from compliance.api.outcomes import resume_approved
from compliance.api.services import Services
from compliance.deadlines import BATCH, call_for_overdue
from compliance.outbox import publish_pending
from infra.runtime.clock import Clock
from infra.runtime.jobs import Job
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import Settings

KYC_EVERY_S = 1.0
EXPIRY_EVERY_S = 60.0
OUTBOX_EVERY_S = 0.5
UNDECIDED_EVERY_S = 5.0
ALARM_EVERY_S = 5.0
DEADLINES_EVERY_S = 10.0
LISTS_EVERY_S = 2.0
KYC_POLLS = 50
# A check takes milliseconds: a transaction that has waited this long was left behind by a process that died.
LEFT_BEHIND = timedelta(seconds=10)
ALARM_AFTER = timedelta(seconds=60)
# When everything waits, these stand for all: the alarm is one fact, not thousands of calls.
ALARMS_AT_ONCE = 20

_WAITING = text(
    """
    select
        (select count(*) from compliance.transaction_logs where decision is null) as undecided,
        (
            select coalesce(extract(epoch from :now - min(received_at)), 0)::float8
            from compliance.transaction_logs
            where decision is null
        ) as undecided_oldest_s,
        (select count(*) from compliance.outbox where published_at is null) as events,
        (
            select count(*)
            from compliance.transaction_logs
            where published_at is null and event is not null and decision in ('accepted', 'released')
        ) as settlements
    """
)


class WorkerMetrics:
    """What a monitor reads; floats here, and only here. Labels hold codes and names of ours."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._done = Counter("ballast_compliance_work", "What a job has dealt with", ["job"], registry=own)
        self._waiting = Gauge(
            "ballast_compliance_waiting", "Rows that wait, by what for; NaN: not known", ["what"], registry=own
        )
        self._oldest = Gauge(
            "ballast_compliance_undecided_oldest_seconds",
            "Age of the oldest transaction without a decision, 0 where there is none; NaN: not known",
            registry=own,
        )

    def done(self, job: str, count: int) -> None:
        """A job has dealt with so many."""
        self._done.labels(job).inc(count)

    def waiting(self, counts: Mapping[str, float], oldest_s: float) -> None:
        """How much waits now."""
        for what, count in counts.items():
            self._waiting.labels(what).set(count)
        self._oldest.set(oldest_s)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)


def raise_age_alarms(engine: Engine, clock: Clock) -> int:
    """Tell officers of transactions that have had no decision for a minute, each once; how many are overdue now.

    Asks neither policy nor lists, so that their absence cannot silence it.
    """
    now = clock.now()
    summary = f"A transaction has had no decision for {ALARM_AFTER.total_seconds():.0f} seconds."
    with engine.begin() as connection:
        overdue = gate_store.undecided(connection, now - ALARM_AFTER, ALARMS_AT_ONCE)
        for row in overdue:
            raise_alarm(connection, "transaction_undecided", row["transaction_id"], row["account_id"], summary, now)
    return len(overdue)


def build_jobs(
    settings: Settings, engine: Engine, clock: Clock, services: Services, metrics: WorkerMetrics
) -> list[Job]:
    """The jobs of the settings, that of the lists first; opens no connection."""
    events, settlements = Publisher(settings), Publisher(settings)

    def counted(name: str, count: int) -> bool:
        if count:
            metrics.done(name, count)
        return False

    def lists() -> bool:
        return counted("lists", int(services.screener.refresh()))

    def poll() -> bool:
        polled = services.kyc.poll_due(KYC_POLLS)
        counted("kyc", polled)
        return polled >= KYC_POLLS

    def alarm() -> bool:
        try:
            with engine.connect() as connection:
                row = connection.execute(_WAITING, {"now": clock.now()}).one()
        except SQLAlchemyError:
            unknown = float("nan")
            metrics.waiting({"undecided": unknown, "events": unknown, "settlements": unknown}, unknown)
            raise
        waiting = {"undecided": row.undecided, "events": row.events, "settlements": row.settlements}
        metrics.waiting(waiting, max(0.0, row.undecided_oldest_s))
        return counted("alarm", raise_age_alarms(engine, clock))

    def deadlines() -> bool:
        called = call_for_overdue(engine, clock)
        counted("deadlines", called)
        return called >= BATCH

    return [
        Job("lists", LISTS_EVERY_S, lists),
        Job("kyc", KYC_EVERY_S, poll),
        Job("expiry", EXPIRY_EVERY_S, lambda: counted("expiry", services.kyc.expire_due())),
        Job("outbox", OUTBOX_EVERY_S, lambda: counted("outbox", publish_pending(engine, events, clock)), events.close),
        Job(
            "settlements",
            OUTBOX_EVERY_S,
            lambda: counted("settlements", services.gate.publish_accepted(settlements)),
            settlements.close,
        ),
        Job(
            "undecided",
            UNDECIDED_EVERY_S,
            lambda: counted("undecided", services.gate.finish_undecided(LEFT_BEHIND)),
        ),
        Job(
            "resolutions",
            UNDECIDED_EVERY_S,
            lambda: counted("resolutions", resume_approved(services)),
        ),
        Job("deadlines", DEADLINES_EVERY_S, deadlines),
        Job("alarm", ALARM_EVERY_S, alarm),
    ]
