"""A project with margin tables, a health view of which the test writes the rows, and a topic with its subscription."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from alerting import events
from alerting.events import MarginEvent, parse_margin_event
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import FixedClock
from infra.runtime.ids import stable_id
from infra.runtime.pubsub import Publisher, TopicSpec, ensure_topics
from infra.runtime.settings import Settings

PATIENCE_S = 60.0
HEALTH_TABLE_SQL = """
create or replace table risk.margin_health (
    account_id string, status string, health_pct numeric, collateral_usd numeric, borrow_usd numeric,
    margin_call_threshold_pct numeric, liquidation_threshold_pct numeric, early_warning_threshold_pct numeric,
    recovery_margin_pct numeric, unpriced_assets string, unpriced_reason string, has_borrow bool, price_ids string,
    is_simulated bool
)
"""
PRICES_TABLE_SQL = """
create or replace table risk.liquidation_prices (
    account_id string, asset string, threshold string, threshold_pct numeric, trigger_price_usd numeric,
    reason string, price_usd numeric, has_unpriced_other bool, is_simulated bool
)
"""


@dataclass
class Margin:
    """The servers, and short words for what the tests do."""

    settings: Settings
    warehouse: Warehouse
    publisher: Publisher
    clock: FixedClock

    def set_health(self, *accounts: tuple[str, str, str | None], early_warning_pct: str | None = None) -> None:
        """Make these all accounts of the book: id, status, health in percent; 100 USD borrowed by each."""
        early_warning = f"numeric {early_warning_pct!r}" if early_warning_pct else "null"
        rows = ", ".join(
            f"('{account}', '{status}', {f'numeric {health!r}' if health else 'null'}, numeric '120', "
            f"numeric '{0 if status == 'no_debt' else 100}', numeric '30', numeric '15', {early_warning}, numeric '2', "
            f"null, null, {str(status != 'no_debt').lower()}, 'px_1,px_2', true)"
            for account, status, health in accounts
        )
        self.warehouse.query("delete from risk.margin_health where true")
        self.warehouse.query(f"insert into risk.margin_health values {rows}")

    def kept(self) -> list[dict[str, Any]]:
        return self.warehouse.query("select * from risk.margin_events order by account_id, transition_number")

    def published(self) -> list[str]:
        """Ids with a recorded publication, one a row."""
        rows = self.warehouse.query("select margin_event_id from risk.margin_event_publications order by 1")
        return [str(row["margin_event_id"]) for row in rows]

    def pull(self, count: int) -> list[MarginEvent]:
        """That many events from the subscription, acknowledged."""
        channel = grpc.insecure_channel(self.settings.pubsub_endpoint)
        with pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)) as client:
            path = client.subscription_path(self.settings.gcp_project, events.SUBSCRIPTION)
            found: list[MarginEvent] = []
            while len(found) < count:
                got = client.pull(subscription=path, max_messages=100, timeout=PATIENCE_S).received_messages
                client.acknowledge(subscription=path, ack_ids=[each.ack_id for each in got], timeout=PATIENCE_S)
                found += [parse_margin_event(each.message.data) for each in got]
            return found


@pytest.fixture
def margin(ground: Settings, new_project: Callable[..., Settings], request: pytest.FixtureRequest) -> Iterator[Margin]:
    """A project of its own on the session's servers."""
    settings = new_project(stable_id("margin", request.node.name).replace("_", "-")[:25])
    ensure_topics(settings, [TopicSpec(events.TOPIC, subscriptions=(events.SUBSCRIPTION,))])
    warehouse, publisher = Warehouse(settings), Publisher(settings)
    warehouse.query(HEALTH_TABLE_SQL)
    warehouse.query(PRICES_TABLE_SQL)
    yield Margin(settings, warehouse, publisher, FixedClock(datetime(2026, 1, 31, 12, tzinfo=UTC)))
    publisher.close()
    warehouse.client.close()  # type: ignore[no-untyped-call]
