"""What is published arrives: exactly, once after dedupe, whatever is killed meanwhile."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.embedded.ports import free_ports
from infra.embedded.provision import provision_warehouse
from infra.embedded.testing import embedded_ground
from ingest import tables, topics
from ingest.messages import PriceMessage, SettlementEvent

pytestmark = pytest.mark.embedded
Make = Callable[..., list[SettlementEvent]]

PRICES, SETTLEMENTS = topics.PRICES.name, topics.SETTLEMENTS.name


def price(number: int, price_usd: str, **extra: Any) -> PriceMessage:
    at = datetime.now(UTC) - timedelta(seconds=5)
    source = {"name": "pyth", "price_usd": price_usd, "observed_at": at, "reference": f"slot {number}"}
    return PriceMessage.model_validate(
        {
            "price_id": f"px_{number}",
            "asset": "ETH",
            "price_usd": price_usd,
            "sources": [source],
            "observed_at": at,
            "published_at": at,
            **extra,
        }
    )


def test_consumer__appends_prices_and_settlements_exactly(flow: Any, make_events: Make) -> None:
    prices = [price(0, "0.000000001"), price(1, "999999999999999.999999999", unheard_of={"a": 1}), price(2, "2400.1")]
    events = make_events(20)
    events[0] = events[0].model_copy(update={"quantity": Decimal("1E-18")})
    events[1] = events[1].model_copy(update={"quantity": Decimal("99999999999999999999.999999999999999999")})
    flow.consumer.start()
    flow.publish(PRICES, [message.to_json() for message in [*prices, prices[0]]])
    flow.publish(SETTLEMENTS, [message.to_json() for message in events + events[:5]])
    flow.wait_for("market_prices", "price_id", {message.price_id for message in prices})
    flow.wait_for("settlement_events", "event_id", {message.event_id for message in events})
    rows = {row["price_id"]: row for row in flow.warehouse.query("select * from raw.market_prices")}
    for sent in prices:
        row = rows[sent.price_id]
        assert row["price_usd"] == sent.price_usd
        assert row["observed_at"] == sent.observed_at
        assert json.loads(row["sources"])[0]["reference"] == sent.sources[0].reference
    assert json.loads(rows["px_1"]["unknown_fields"]) == {"unheard_of": {"a": 1}}
    kept = {row["event_id"]: row for row in flow.warehouse.query("select * from raw.settlement_events")}
    assert set(kept) == {event.event_id for event in events}
    for event in events:
        found = kept[event.event_id]
        assert found["quantity"] == event.quantity
        assert found["occurred_at"] == event.occurred_at
        assert (found["account_id"], found["side"], found["tx_hash"]) == (event.account_id, "collateral", event.tx_hash)
    assert flow.warehouse.query("select * from raw.dead_letters") == []
    assert flow.consumer.end(signal.SIGTERM) == 0


def test_consumer__sets_invalid_messages_aside_with_the_reason(flow: Any, make_events: Make) -> None:
    [event] = make_events(1)
    wire = json.loads(event.to_json())
    invalid = {
        "invalid_message": json.dumps(wire | {"event_id": "ev_bad", "quantity": 0.1}).encode(),
        "unknown_version": json.dumps(wire | {"event_id": "ev_new", "schema_version": 2}).encode(),
        "from_future": json.dumps(wire | {"event_id": "ev_late", "occurred_at": "2999-01-01T00:00:00Z"}).encode(),
    }
    flow.consumer.start()
    flow.publish(SETTLEMENTS, [*invalid.values(), b"[" * 100_000, event.to_json()])
    flow.wait_for("settlement_events", "event_id", {event.event_id})
    set_aside = flow.pull(topics.SETTLEMENTS.dead_letter, 4)
    assert {message.data for message in set_aside} >= set(invalid.values())
    by_hash = {row["payload_sha256"]: row for row in flow.warehouse.query("select * from raw.dead_letters")}
    assert len(by_hash) == 4
    for message in set_aside:
        row = by_hash[hashlib.sha256(message.data).hexdigest()]
        assert row["topic"] == SETTLEMENTS
        assert row["message_id"] == message.attributes["source_message_id"]
        assert row["reason_code"] == message.attributes["reason_code"]
        assert row["reason"] == message.attributes["reason"]
        if message.data in invalid.values():
            assert invalid[row["reason_code"]] == message.data
    assert set(flow.ids("settlement_events", "event_id")) == {event.event_id}


def test_consumer__loses_nothing_when_it_is_killed_again_and_again(flow: Any, make_events: Make) -> None:
    events = make_events(3_000)
    sent = [event.to_json() for event in events]
    killed_at = []
    flow.consumer.start()
    feeding = threading.Thread(
        target=lambda: [flow.publish(SETTLEMENTS, sent[start : start + 100]) for start in range(0, 3_000, 100)]
    )
    feeding.start()
    for quarter in range(1, 4):
        flow.wait_for("settlement_events", "event_id", {f"ev_{number}" for number in range(quarter * 10)})
        flow.consumer.end(signal.SIGKILL)
        killed_at.append(len(flow.ids("settlement_events", "event_id")))
        # What it held comes again when its lease ends; these come to the next process at once.
        flow.publish(SETTLEMENTS, [event.to_json() for event in make_events(10, start=3_000 + quarter * 10)])
        flow.consumer.start()
    feeding.join()
    more = {f"ev_{number}" for number in range(3_010, 3_040)}
    flow.wait_for("settlement_events", "event_id", {event.event_id for event in events} | more)
    assert len(killed_at) == 3
    assert_no_double(flow, 3_030)


def assert_no_double(flow: Any, expected: int) -> None:
    """After a dedupe by id there is one row an event, and repeats say the same."""
    columns = ", ".join(c.name for c in tables.SETTLEMENT_EVENTS.schema if c.name not in ("ingested_at", "message_id"))
    [row] = flow.warehouse.query(
        f"select count(distinct event_id) as ids, count(distinct to_json_string(t)) as contents "
        f"from (select {columns} from raw.settlement_events) as t"
    )
    assert (row["ids"], row["contents"]) == (expected, expected)


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL], ids=["kill"])
def test_consumer__loses_nothing_when_bigquery_is_killed(
    tmp_path: Path,
    make_flow: Callable[..., Any],
    run_module: Callable[..., Any],
    make_events: Make,
    number: signal.Signals,
) -> None:
    state = tmp_path / "state"
    with embedded_ground(state, ("pubsub",)) as settings:
        url = str(settings.bigquery_endpoint)
        bigquery = run_module(
            "infra.embedded.bigquery",
            state,
            tmp_path / "bigquery.log",
            (
                *("--data-dir", str(state / "bigquery"), "--gcs-root", str(state / "gcs")),
                *("--rest-port", url.rsplit(":", 1)[1], "--grpc-port", str(free_ports(1)[0])),
            ),
        )
        bigquery.start()
        wait_until_healthy(url, bigquery)
        provision_warehouse(settings)
        flow = make_flow(settings, state)
        flow.consumer.start()
        events = make_events(1_500)
        for start in range(0, 1_500, 500):
            chunk = events[start : start + 500]
            flow.publish(SETTLEMENTS, [event.to_json() for event in chunk[:250]])
            flow.wait_for("settlement_events", "event_id", {chunk[0].event_id})
            flow.publish(SETTLEMENTS, [event.to_json() for event in chunk[250:]])
            bigquery.end(number)
            bigquery.start()
            wait_until_healthy(url, bigquery)
        flow.wait_for("settlement_events", "event_id", {event.event_id for event in events})
        assert_no_double(flow, 1_500)
        assert flow.consumer.end(signal.SIGTERM) == 0


def wait_until_healthy(url: str, bigquery: Any) -> None:
    for _ in range(600):
        if is_healthy(url):
            return
        assert bigquery.process.poll() is None, bigquery.logged()[-3000:]
        threading.Event().wait(0.2)
    raise AssertionError(bigquery.logged()[-3000:])
