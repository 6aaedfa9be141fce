"""The whole application for tests in a browser: app and API over one warehouse and one database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr
from sqlalchemy import Engine

from alerting.events import MarginEvent
from alerting.ledger import PlannedNotification, store
from alerting.margin.watch import look
from alerting.migrations import upgrade as upgrade_alerting
from alerting.mirror import Mirror
from alerting.planning import margin_alert
from api.app import create_app
from compliance.migrations import upgrade as upgrade_compliance
from compliance.screening.lists import load_list
from infra.embedded.compliance_ground import LIST_NAME, SAMPLE, SAMPLE_FILES
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.key_ring import LocalKeyRing
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import Settings
from tests.app_process import ASSERTION_KEY, USERS, AppProcess, free_port
from tests.integration.compliance.own_database import own_database

LAST_PRICES_SQL = """
select asset, price_usd from intermediate.int_market__latest_prices where price_usd is not null order by asset
"""
DEBTORS_SQL = """
select account_id, health_pct from risk.margin_health where status = 'healthy' order by health_pct, account_id
"""


@dataclass
class Whole:
    """The running application, and what happens in the world around it; `events` are ids of what looks decided."""

    app_url: str
    settings: Settings
    warehouse: Warehouse
    engine: Engine
    deliver: Callable[..., None]
    events: list[str] = field(default_factory=list)

    def prices(self) -> dict[str, Decimal]:
        """The last price (USD) of each asset."""
        return {row["asset"]: row["price_usd"] for row in self.warehouse.query(LAST_PRICES_SQL)}

    def publish(self, prices_usd: Mapping[str, Decimal]) -> None:
        """New prices arrive, as the oracle brings them."""
        self.deliver(self.settings, prices_usd, SystemClock().now())

    def look(self) -> list[MarginEvent]:
        """The margin sensor looks, one alert each goes out by webhook, and the ledger is copied; the new events."""
        publisher = Publisher(self.settings)
        try:
            events = list(look(self.warehouse, publisher, SystemClock()).decided)
        finally:
            publisher.close()
        self.events += [event.margin_event_id for event in events]
        alerts = [margin_alert(event) for event in events]
        planned = [PlannedNotification(alert.event_id, "webhook", "operator") for alert in alerts]
        with self.engine.begin() as connection:
            store(connection, alerts, planned, SystemClock().now())
        mirror = Mirror(self.engine, self.warehouse, SystemClock())
        mirror.step()
        mirror.close()
        return events

    def forget(self) -> None:
        """What looks decided is gone as if it had not been: others share the warehouse."""
        for table, column in (
            ("risk.margin_events", "margin_event_id"),
            ("risk.margin_event_publications", "margin_event_id"),
            ("raw.notification_events", "event_id"),
        ):
            self.warehouse.query(f"delete from {table} where {column} in unnest(@ids)", {"ids": self.events})
        self.events.clear()


@contextmanager
def running(settings: Settings, deliver: Callable[..., None], folder: Path) -> Iterator[Whole]:
    """App and API over the warehouse of the settings, with a database of their own, until the block ends."""
    LocalKeyRing.create(folder / "keys.json")
    api_url = f"http://127.0.0.1:{free_port()}"
    changes: dict[str, Any] = {
        "api_url": api_url,
        "api_token": SecretStr("a-token-of-the-tests-of-the-whole-app"),
        "app_assertion_key": SecretStr(ASSERTION_KEY),
        "compliance_users": SecretStr(USERS),
        "pii_key_file": folder / "keys.json",
    }
    own = own_database(settings, "whole_app").model_copy(update=changes)
    engine, warehouse = postgres_engine(own, "whole"), Warehouse(own)
    upgrade_alerting(engine)
    upgrade_compliance(engine)
    load_list(engine, SystemClock(), LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])
    with _serving_api(own, warehouse, engine):
        app = AppProcess(folder, _environment(own)).start()
        try:
            yield Whole(app.url, own, warehouse, engine, deliver)
        finally:
            app.stop()
    engine.dispose()
    warehouse.client.close()  # type: ignore[no-untyped-call]


@contextmanager
def _serving_api(settings: Settings, warehouse: Warehouse, engine: Engine) -> Iterator[None]:
    api = create_app(settings, warehouse=warehouse, engine=engine, clock=SystemClock(), request_timeout_s=120)
    port = int(settings.api_url.rsplit(":", 1)[1])
    server = uvicorn.Server(uvicorn.Config(api, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, name="api")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timedelta(minutes=1).total_seconds())


def _environment(settings: Settings) -> dict[str, str]:
    own = {
        "BALLAST_GCP_PROJECT": settings.gcp_project,
        "BALLAST_API_URL": settings.api_url,
        "BALLAST_POSTGRES_URL": settings.postgres_url.get_secret_value(),
    }
    if settings.bigquery_endpoint:
        own["BALLAST_BIGQUERY_ENDPOINT"] = settings.bigquery_endpoint
    if settings.bigquery_token:
        own["BALLAST_BIGQUERY_TOKEN"] = settings.bigquery_token.get_secret_value()
    return own
