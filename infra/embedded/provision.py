"""Prepares the ground once it answers: `python -m infra.embedded.provision`. Safe to repeat.

Creates datasets, the tables that Ballast writes itself, topics with their subscriptions, and the PostgreSQL schemas;
records the policies; then registers the people and customers of the simulated book's accounts, loads a fictional
sanctions list where none is active, and publishes the book. dbt creates everything else when a job runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import alerting.compliance_events
import alerting.events
import alerting.margin.store
import alerting.margin.thresholds
import alerting.mirror_tables
import assets.risk.tables
import compliance.migrations
import compliance.mirror_tables
import ingest.tables
import ingest.topics
from alerting.migrations.apply import upgrade
from alerting.preferences.service import register_contacts
from infra.embedded.compliance_ground import load_sample_list, record_policies, register_customers
from infra.embedded.people import book_people
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.logs import configure_logs, get_logger
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import Publisher, TopicSpec, ensure_topics
from infra.runtime.sealing import Sealer
from infra.runtime.settings import Settings, load_settings
from ingest.market import collect_book, collect_closes
from ingest.messages import SettlementEvent
from ingest.publish import publish_missing_events

DATASETS = {
    "raw": "What arrived, as it arrived. Append-only.",
    "staging": "Raw rows with house names and types; no meaning added.",
    "intermediate": "Steps between raw rows and marts; not for consumers.",
    "risk": "Exposures, margin health, liquidation prices, Value at Risk, margin events.",
    "compliance": "KYC and AML without personal data.",
    "audit": "Views for auditors.",
}
ALERT_TOPIC = TopicSpec(alerting.events.TOPIC, subscriptions=(alerting.events.SUBSCRIPTION,))
COMPLIANCE_TOPIC = TopicSpec(alerting.compliance_events.TOPIC, subscriptions=(alerting.compliance_events.SUBSCRIPTION,))
TOPICS = (*ingest.topics.TOPICS, ALERT_TOPIC, COMPLIANCE_TOPIC)
TABLES = (
    *ingest.tables.TABLES,
    *alerting.margin.store.TABLES,
    alerting.margin.thresholds.ACCOUNT_THRESHOLDS,
    *alerting.mirror_tables.TABLES,
    *compliance.mirror_tables.TABLES,
    *assets.risk.tables.TABLES,
)


def provision(settings: Settings, progress: Callable[[str], None] = lambda _step: None) -> None:
    """Create what is missing; `progress` is called with the name of each step before it starts."""
    provision_warehouse(settings, progress)
    progress("topics and subscriptions")
    ensure_topics(settings, TOPICS)
    progress("PostgreSQL schemas")
    engine = postgres_engine(settings)
    try:
        upgrade(engine)
        compliance.migrations.upgrade(engine)
        record_policies(engine, SystemClock())
    finally:
        engine.dispose()


def provision_warehouse(settings: Settings, progress: Callable[[str], None] = lambda _step: None) -> None:
    """Create datasets and tables that are missing."""
    warehouse = Warehouse(settings)
    progress("datasets")
    for name, description in DATASETS.items():
        warehouse.ensure_dataset(name, description)
    progress("tables")
    for spec in TABLES:
        warehouse.ensure_table(spec)


def register_people(settings: Settings, events: Sequence[SettlementEvent]) -> int:
    """Register a contact for each account of the simulated book, with made-up addresses; how many are new or changed.

    Only for a book that is simulated. Repeating it changes nothing.
    """
    people = book_people(settings, (event.account_id for event in events))
    engine = postgres_engine(settings)
    try:
        return register_contacts(engine, Sealer(settings.sealing_key), SystemClock(), people).changed if people else 0
    finally:
        engine.dispose()


def prepare_compliance(settings: Settings, events: Sequence[SettlementEvent]) -> int:
    """Give compliance what it judges by: a fictional list where none is active, and a customer for each account.

    How many customers are new. Only for a book that is simulated. Repeating it changes nothing.
    """
    engine, clock = postgres_engine(settings), SystemClock()
    try:
        load_sample_list(engine, clock)
        return register_customers(settings, engine, clock, (event.account_id for event in events))
    finally:
        engine.dispose()


def publish_book(
    settings: Settings, events: Sequence[SettlementEvent], progress: Callable[[int, int], None] = lambda _d, _t: None
) -> None:
    """Publish the events of the simulated book that have not arrived yet."""
    publisher = Publisher(settings)
    publish_missing_events(Warehouse(settings), publisher, events, progress)
    publisher.close()


def main() -> None:
    """Provision what the settings point at."""
    settings = load_settings()
    configure_logs("provision", settings.log_level)
    log = get_logger(__name__)
    provision(settings, lambda step: log.info("provisioning", step=step))
    events = collect_book(settings, collect_closes(settings, SystemClock()))
    registered = register_people(settings, events)
    customers = prepare_compliance(settings, events)
    publish_book(settings, events)
    log.info("provisioned", events_of_book=len(events), contacts_registered=registered, customers_created=customers)


if __name__ == "__main__":
    main()
