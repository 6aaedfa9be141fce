"""From a price to a margin call in the webhook inbox, leg by leg.

    python tests/perf/bench_alert_latency.py [--transitions 24] [--accounts 2000]

Real servers, consumer and alert worker. The sensor's look runs in a loop with the sensor's pause, in a process without
Dagster's daemon: the daemon adds the gaps between its ticks. One account swings over its margin call and back.
Reference of the same run: a message through Pub/Sub and nothing else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import grpc
import httpx
from _bench import PATIENCE_S, cuts, ground, print_machine, process, wait_until
from bench_live_view_scale import append_prices, build_book, remember_calls
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

import alerting.events
from alerting.margin.watch import look
from infra.embedded.provision import provision
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.pubsub import Publisher, TopicSpec, ensure_topics
from infra.runtime.settings import Settings, load_settings
from ingest import topics
from ingest.messages import PriceMessage
from ingest.tables import SETTLEMENT_EVENTS

ACCOUNT = "acct-swing"
ASSET = "BNB"
WELL, CALLED = Decimal(150), Decimal(125)
PAUSE_S = 0.2
ALERTS = TopicSpec(alerting.events.TOPIC, (alerting.events.SUBSCRIPTION, "bench.alerts"))
PROBE = TopicSpec("bench.probe", ("bench.probe",))


class Arrivals:
    """When each message of a subscription arrived (Unix time), by what `key` reads from its data."""

    def __init__(self, settings: Settings, subscription: str, key: Callable[[bytes], str]) -> None:
        self.at: dict[str, float] = {}
        channel = grpc.insecure_channel(settings.pubsub_endpoint)
        self._client = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self._key = key
        path = self._client.subscription_path(settings.gcp_project, subscription)
        self._pull = self._client.subscribe(path, self._take)

    def _take(self, message: Any) -> None:
        self.at.setdefault(self._key(message.data), time.time())
        message.ack()

    def close(self) -> None:
        """Stop taking messages."""
        self._pull.cancel()
        self._pull.result(timeout=PATIENCE_S)
        self._client.close()


@dataclass(frozen=True)
class Transition:
    """Unix times: price published, margin event on its topic, message in the inbox."""

    priced: float
    alerted: float
    received: float


def publish_price(publisher: Publisher, price_usd: Decimal, number: int) -> float:
    """A price of the swinging asset; when it was handed over."""
    now = SystemClock().now()
    source = {"name": "simulated", "price_usd": format(price_usd, "f"), "observed_at": now, "reference": "bench"}
    message = PriceMessage.model_validate(
        {
            "price_id": f"px_swing_{number}",
            "asset": ASSET,
            "price_usd": format(price_usd, "f"),
            "sources": [source],
            "observed_at": now,
            "published_at": now,
        }
    )
    began = time.time()
    publisher.publish_all(topics.PRICES.name, [message.to_json()])
    return began


def add_account(warehouse: Warehouse) -> None:
    """An account that owes 10,000 USDC on 100 BNB."""
    now = SystemClock().now()
    common = {
        "schema_version": 1,
        "account_id": ACCOUNT,
        "occurred_at": now - timedelta(minutes=1),
        "chain": "ethereum",
        "tx_hash": "0xbench",
        "ingested_at": now,
        "message_id": "bench",
    }
    held = {"event_id": "swing_1", "asset": ASSET, "side": "collateral", "kind": "deposit", "quantity": Decimal(100)}
    owed = {"event_id": "swing_2", "asset": "USDC", "side": "borrow", "kind": "draw", "quantity": Decimal(10_000)}
    warehouse.append(SETTLEMENT_EVENTS.table_id, [common | held, common | owed])


def inbox(settings: Settings) -> dict[str, float]:
    """When the inbox received each margin event (Unix time), by its id."""
    assert settings.inbox_token is not None
    token = settings.inbox_token.get_secret_value()
    answer = httpx.get(
        f"{settings.inbox_url}/api/messages", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S
    )
    answer.raise_for_status()
    body = answer.json()
    found = body["messages"] if isinstance(body, dict) else body
    return {str(each["event_id"]): datetime.fromisoformat(each["received_at"]).timestamp() for each in found}


def swing(settings: Settings, alerts: Arrivals, count: int) -> list[Transition]:
    """Let the account cross its margin call `count` times, one after another."""
    publisher = Publisher(settings)
    publish_price(publisher, WELL, 0)
    time.sleep(5.0)  # everything is warm and the account is well
    found = []
    for number in range(1, count + 1):
        known = set(alerts.at)
        priced = publish_price(publisher, CALLED if number % 2 else WELL, number)
        wait_until(lambda known=known: len(set(alerts.at) - known) > 0, "a margin event", 0.005)  # type: ignore[misc]
        (event_id,) = set(alerts.at) - known
        wait_until(lambda event_id=event_id: event_id in inbox(settings), "a message in the inbox", 0.05)  # type: ignore[misc]
        found.append(Transition(priced, alerts.at[event_id], inbox(settings)[event_id]))
        time.sleep(0.1 + 0.037 * (number % 7))  # not in step with the looks
    publisher.close()
    return found


def round_trips(settings: Settings, count: int) -> list[float]:
    """Seconds from publish to callback of single messages."""
    arrivals, publisher, taken = Arrivals(settings, PROBE.name, lambda data: data.decode()), Publisher(settings), []
    for number in range(count):
        began = time.time()
        publisher.publish_all(PROBE.name, [str(number).encode()])
        wait_until(lambda number=number: str(number) in arrivals.at, "a probe", 0.002)  # type: ignore[misc]
        taken.append(arrivals.at[str(number)] - began)
    publisher.close()
    arrivals.close()
    return taken[5:]


def look_forever() -> None:
    """What the sensor does in its ticks, without the daemon."""
    settings = load_settings()
    warehouse, publisher = Warehouse(settings), Publisher(settings)
    while True:
        look(warehouse, publisher, SystemClock())
        time.sleep(PAUSE_S)


def main() -> None:
    """Build a book, let one account swing, and print each leg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transitions", type=int, default=24)
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--look", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look:
        look_forever()
    print_machine()
    with ExitStack() as held:
        settings = held.enter_context(ground(("bigquery", "pubsub", "postgres", "inbox")))
        provision(settings)
        ensure_topics(settings, [ALERTS, PROBE])
        build_book(settings, options.accounts, history=1)
        warehouse = Warehouse(settings)
        add_account(warehouse)
        append_prices(warehouse)
        remember_calls(warehouse)
        reference = round_trips(settings, 45)
        held.enter_context(process(settings, "-m", "ingest.consumer", name="consumer"))
        held.enter_context(process(settings, "-m", "alerting.worker", name="alert-worker"))
        held.enter_context(process(settings, __file__, "--look", name="looks"))
        alerts = Arrivals(
            settings, "bench.alerts", lambda data: str(alerting.events.parse_margin_event(data).margin_event_id)
        )
        held.callback(alerts.close)
        found = swing(settings, alerts, options.transitions)
    print(f"{len(found)} transitions of one account in a book of {options.accounts:,}")
    print(f"price published -> alerts topic {cuts([each.alerted - each.priced for each in found])}")
    print(f"alerts topic -> inbox           {cuts([each.received - each.alerted for each in found])}")
    print(f"price published -> inbox        {cuts([each.received - each.priced for each in found])}")
    print(f"reference: Pub/Sub round trip   {cuts(reference)}")
    print_machine()


if __name__ == "__main__":
    main()
