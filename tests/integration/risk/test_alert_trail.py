"""From a provider's message id back to rounds and settlements, over the mirrored steps of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alerting.margin.store import MARGIN_EVENT_PUBLICATIONS, MARGIN_EVENTS
from alerting.mirror_tables import ALERT_PREFERENCE_CHANGES, NOTIFICATION_EVENTS
from infra.runtime.bigquery import TableSpec, Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.messages import Kind, SettlementEvent, Side

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(900)]

MODELS = ["+alert_trail", "+alert_preference_trail", "delivery_rates"]
TRAIL_SQL = """
select notification_id, margin_event_id, account_id, severity, evidence_kind, evidence_id, evidence_source, price_usd
from audit.alert_trail
where provider_message_id = @provider_message_id
order by margin_event_id, evidence_kind, evidence_id
"""


@dataclass
class Ledger:
    """A project of its own, and short words for what the ledger and the margin sensor write into it."""

    settings: Settings
    warehouse: Warehouse
    now: datetime
    price_id: str = ""
    steps: int = 0

    def append(self, spec: TableSpec, *rows: Mapping[str, Any]) -> None:
        self.warehouse.append(spec.table_id, rows)

    def margin_event(self, margin_event_id: str, account_id: str, severity: str) -> None:
        self.append(
            MARGIN_EVENTS,
            {
                "margin_event_id": margin_event_id,
                "account_id": account_id,
                "severity": severity,
                "episode_id": f"episode of {account_id}",
                "transition_number": 1,
                "health_pct": Decimal("29.5"),
                "collateral_usd": Decimal(64_750),
                "borrow_usd": Decimal(50_000),
                "threshold_pct": Decimal(30),
                "price_ids": self.price_id,
                "detected_at": self.now,
                "is_simulated": True,
                "message": "{}",
            },
        )
        self.append(
            MARGIN_EVENT_PUBLICATIONS,
            {"margin_event_id": margin_event_id, "message_id": "1", "published_at": self.now + timedelta(seconds=1)},
        )

    def notify(
        self,
        notification_id: str,
        event_id: str,
        steps: Sequence[tuple[str, str | None]],
        provider_message_id: str | None = None,
        **more: Any,
    ) -> None:
        """Steps of a notification, a second apart: each a state and how the notification had ended by then."""
        values = {
            "kind": "margin",
            "channel": "sms",
            "recipient": "con_1",
            "account_id": "a",
            "severity": "margin_call",
        }
        for number, (state, terminal_state) in enumerate(steps, start=1):
            self.steps += 1
            row = {
                "state_id": self.steps,
                "txid": self.steps,
                "notification_id": notification_id,
                "event_id": event_id,
                "state": state,
                "at": self.now + timedelta(seconds=number),
                "seconds_since_detected": Decimal(number),
                "detected_at": self.now,
                "terminal_state": terminal_state,
                "provider_message_id": provider_message_id if terminal_state else None,
                "mirrored_at": self.now + timedelta(seconds=20),
            }
            self.append(NOTIFICATION_EVENTS, values | row | more)


@pytest.fixture(scope="module")
def ledger(
    new_project: Callable[..., Settings],
    dbt_build: Callable[..., Any],
    deliver_events: Callable[..., None],
    deliver_prices: Callable[..., None],
) -> Iterator[Ledger]:
    """Two accounts with a deposit and a price; the models are built before anything is mirrored."""
    settings = new_project("ballast-trail")
    made = Ledger(settings, Warehouse(settings), SystemClock().now() - timedelta(minutes=2))
    deliver_events(settings, [deposit("a"), deposit("b")], made.now - timedelta(hours=1))
    deliver_prices(settings, {"BTC": Decimal(64_750)}, made.now - timedelta(seconds=1))
    (price,) = made.warehouse.query("select price_id from raw.market_prices")
    made.price_id = price["price_id"]
    dbt_build(settings, MODELS)
    yield made
    made.warehouse.client.close()  # type: ignore[no-untyped-call]


def deposit(account_id: str) -> SettlementEvent:
    return SettlementEvent(
        event_id=f"deposit-{account_id}",
        account_id=account_id,
        asset="BTC",
        side=Side.COLLATERAL,
        kind=Kind.DEPOSIT,
        quantity=Decimal(1),
        occurred_at=SystemClock().now() - timedelta(hours=2),
        chain="bitcoin",
        tx_hash=f"0x{account_id}",
    )


def trail(ledger: Ledger, provider_message_id: str) -> list[dict[str, Any]]:
    return ledger.warehouse.query(TRAIL_SQL, {"provider_message_id": provider_message_id})


def test_alert_trail__leads_from_an_sms_to_rounds_and_settlements(ledger: Ledger) -> None:
    ledger.margin_event("m-sms", "a", "margin_call")
    steps = [("planned", None), ("claimed", None), ("sent", None), ("accepted", "accepted"), ("delivered", "delivered")]
    ledger.notify("n-sms", "m-sms", steps, "SM1")
    found = trail(ledger, "SM1")
    assert [(row["evidence_kind"], row["evidence_id"]) for row in found] == [
        ("price", ledger.price_id),
        ("settlement", "deposit-a"),
    ]
    assert {(row["notification_id"], row["margin_event_id"], row["severity"]) for row in found} == {
        ("n-sms", "m-sms", "margin_call")
    }
    assert found[0]["price_usd"] == Decimal(64_750)
    assert found[1]["evidence_source"] == "bitcoin:0xa"
    [delivery] = ledger.warehouse.query("select * from risk.notification_deliveries where notification_id = 'n-sms'")
    assert (delivery["state"], delivery["attempts"], delivery["seconds_to_accept"]) == ("delivered", 1, Decimal(4))
    assert delivery["planned_at"] < delivery["first_sent_at"] < delivery["accepted_at"] < delivery["delivered_at"]


def test_alert_trail__leads_from_a_digest_to_all_that_it_sums_up(ledger: Ledger) -> None:
    for account_id in ("a", "b"):
        ledger.margin_event(f"m-digest-{account_id}", account_id, "early_warning")
        ledger.notify(
            f"member-{account_id}",
            f"m-digest-{account_id}",
            [("suppressed", "suppressed")],
            account_id=account_id,
            channel="email",
            digest_id="n-digest",
        )
    steps = [("planned", None), ("sent", None), ("accepted", "accepted")]
    ledger.notify("n-digest", "dig_1", steps, "X-1", kind="digest", channel="email", account_id=None, severity="info")
    found = trail(ledger, "X-1")
    assert [(row["account_id"], row["evidence_kind"]) for row in found] == [
        ("a", "price"),
        ("a", "settlement"),
        ("b", "price"),
        ("b", "settlement"),
    ]
    assert {row["severity"] for row in found} == {"early_warning"}


def test_alert_trail__keeps_what_has_no_evidence(ledger: Ledger) -> None:
    ledger.notify("n-case", "case-1", [("planned", None), ("accepted", "accepted")], "X-2", kind="compliance")
    [row] = trail(ledger, "X-2")
    assert (row["margin_event_id"], row["evidence_kind"], row["account_id"]) == (None, None, "a")


def test_delivery_rates__count_what_was_mirrored_and_say_where_nothing_was(ledger: Ledger) -> None:
    for number, ended_as in enumerate(["accepted", "accepted", "failed"]):
        ledger.notify(f"n-webhook-{number}", "m-x", [("planned", None), (ended_as, ended_as)], channel="webhook")
    [sums] = ledger.warehouse.query(
        "select count(*) as hours, sum(ended) as ended, sum(failed) as failed from risk.delivery_rates "
        "where channel = 'webhook' and window_hours = 1"
    )
    assert (sums["hours"], sums["ended"], sums["failed"]) == (168, 3, 1)
    [day] = ledger.warehouse.query(
        "select rate_pct, target_pct, status from risk.delivery_rates "
        "where channel = 'webhook' and window_hours = 24 and is_running"
    )
    assert day == {"rate_pct": Decimal("66.6666"), "target_pct": Decimal("99.9"), "status": "below_target"}
    empty = ledger.warehouse.query(
        "select distinct rate_pct, status from risk.delivery_rates "
        "where channel = 'webhook' and window_hours = 1 and ended = 0"
    )
    assert empty == [{"rate_pct": None, "status": "no_data"}]


def test_preference_trail__shows_each_change_once(ledger: Ledger) -> None:
    row = {
        "change_id": 1,
        "owner": "a",
        "at": ledger.now,
        "action": "preferences_set",
        "changed_by": "ops",
        "reason": "asked for it",
        "after": '{"contacts": []}',
        "mirrored_at": ledger.now,
    }
    ledger.append(ALERT_PREFERENCE_CHANGES, row, row)
    found = ledger.warehouse.query("select * from audit.alert_preference_trail")
    assert [(each["change_id"], each["changed_by"], each["before_json"], each["after_json"]) for each in found] == [
        (1, "ops", None, '{"contacts": []}')
    ]


def test_models__bear_repeats_and_pass_their_data_tests(ledger: Ledger, dbt_build: Callable[..., Any]) -> None:
    before = ledger.warehouse.query("select * from risk.notification_deliveries order by notification_id")
    copies = ledger.warehouse.query("select * from raw.notification_events")
    assert len(copies) > len(before) > 0
    ledger.append(NOTIFICATION_EVENTS, *copies)
    assert ledger.warehouse.query("select * from risk.notification_deliveries order by notification_id") == before
    dbt_build(ledger.settings, ["stg_alerting__notification_events", "notification_deliveries", "delivery_rates"])
