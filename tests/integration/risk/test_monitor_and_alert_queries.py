"""The queries of the margin monitor and of the alerts, as the warehouse answers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from assets.risk import alert_queries, alert_trail_queries, margin_alert_queries, monitor_queries
from assets.risk.monitor_queries import AccountFilter, Order
from infra.runtime.bigquery import Warehouse
from infra.runtime.settings import Settings

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(900)]

HOUR = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVERYTHING = AccountFilter()


@dataclass(frozen=True)
class WithRows:
    """The warehouse where some marts are the rows that a test gives, as SQL."""

    warehouse: Warehouse
    rows: Mapping[str, str]

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of the statement over those marts."""
        for mart, rows in self.rows.items():
            sql = sql.replace(f"from {mart}", f"from ({rows})")
        return self.warehouse.query(sql, parameters)


@pytest.fixture(scope="module")
def warehouse(built_warehouse: Settings) -> Warehouse:
    return Warehouse(built_warehouse)


def timestamp(at: datetime) -> str:
    return f"timestamp '{at:%Y-%m-%d %H:%M:%S}+00'"


def rows_of(*rows: Mapping[str, str]) -> str:
    """A SELECT of these rows, their values as SQL."""
    return " union all ".join(
        "select " + ", ".join(f"{value} as {name}" for name, value in row.items()) for row in rows
    )


def account(account_id: str, status: str, collateral: int, borrow: int, threshold: int = 30) -> dict[str, str]:
    """An account of `risk.margin_health` as SQL; unpriced ones have a value that is not current."""
    health = f"numeric '{(collateral - borrow) * 100 / borrow}'" if borrow else "cast(null as numeric)"
    return {
        "account_id": f"'{account_id}'",
        "status": f"'{status}'",
        "health_pct": health,
        "collateral_usd": f"numeric '{collateral}'",
        "borrow_usd": f"numeric '{borrow}'",
        "margin_call_threshold_pct": f"numeric '{threshold}'",
        "recovery_margin_pct": "numeric '2'",
    }


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        (Order.HEALTH, ["blind", "low", "large", "strict", "well", "free"]),
        (Order.EXPOSURE, ["blind", "large", "strict", "well", "low", "free"]),
        (Order.CURE, ["blind", "strict", "large", "low", "well", "free"]),
    ],
)
def test_accounts__unknown_ones_come_first_and_those_without_debt_last(
    warehouse: Warehouse, order: Order, ids: list[str]
) -> None:
    rows = (
        account("well", "healthy", 2_000, 1_000),
        account("low", "liquidation", 1_000, 950),
        account("large", "margin_call", 125_000, 100_000),
        account("strict", "margin_call", 100_000, 50_000, 150),
        account("free", "no_debt", 10, 0),
        account("blind", "unpriced", 500, 400),
    )
    reader = WithRows(warehouse, {"risk.margin_health": rows_of(*rows)})
    found = monitor_queries.accounts(reader, EVERYTHING, order, 10)
    assert [each.account_id for each in found] == ids
    cures = {each.account_id: monitor_queries.cure_of(each) for each in found}
    assert cures.pop("blind") is None
    deposits = {name: cure.deposit_usd for name, cure in cures.items() if cure is not None}
    assert deposits == {"well": 0, "low": 254, "large": 7_000, "strict": 26_000, "free": 0}


@pytest.mark.parametrize("order", list(Order))
def test_accounts__pages_hold_each_account_once_and_agree_with_the_counts(warehouse: Warehouse, order: Order) -> None:
    total = sum(count.accounts for count in monitor_queries.status_counts(warehouse, EVERYTHING))
    size = total // 3 + 1
    pages = [monitor_queries.accounts(warehouse, EVERYTHING, order, size, size * number) for number in range(4)]
    ids = [account.account_id for page in pages for account in page]
    assert len(ids) == len(set(ids)) == total > 10
    known = [account for page in pages for account in page if account.status not in ("unpriced", "no_debt")]
    match order:
        case Order.HEALTH:
            figures = [-account.health_pct for account in known if account.health_pct is not None]
        case Order.EXPOSURE:
            figures = [account.borrow_usd for account in known]
        case Order.CURE:
            figures = [cure.deposit_usd for each in known if (cure := monitor_queries.cure_of(each)) is not None]
    assert figures == sorted(figures, reverse=True)


def test_accounts__fit_all_filters_and_so_do_the_counts(warehouse: Warehouse) -> None:
    every = monitor_queries.accounts(warehouse, EVERYTHING, Order.HEALTH, 1_000)
    least = sorted(account.borrow_usd for account in every)[len(every) // 2]
    asset = monitor_queries.assets_held(warehouse)[0]
    wanted = AccountFilter(asset=asset, min_borrow_usd=least, text="ACCT-0")
    found = monitor_queries.accounts(warehouse, wanted, Order.EXPOSURE, 1_000)
    assert found
    assert len(found) < len(every)
    assert all(account.borrow_usd >= least for account in found)
    assert sum(count.accounts for count in monitor_queries.status_counts(warehouse, wanted)) == len(found)
    held = warehouse.query(
        "select distinct account_id from risk.account_exposures"
        " where asset = @asset and side = 'collateral' and quantity > 0",
        {"asset": asset},
    )
    assert {account.account_id for account in found} <= {row["account_id"] for row in held}
    one = AccountFilter(status=found[0].status, text=found[0].account_id)
    assert [each.account_id for each in monitor_queries.accounts(warehouse, one, Order.HEALTH, 5)] == [
        found[0].account_id
    ]


def test_points__an_unpriced_snapshot_has_no_value(warehouse: Warehouse) -> None:
    point = {"account_id": "'a'", "snapshot_at": timestamp(HOUR), "status": "'healthy'", "health_pct": "numeric '31'"}
    later = {"snapshot_at": timestamp(HOUR + timedelta(minutes=5)), "status": "'unpriced'"}
    reader = WithRows(warehouse, {"risk.margin_health_history": rows_of(point, point | later)})
    found = monitor_queries.health_points(reader, ["a", "b"], HOUR)
    assert [each.health_pct for each in found] == [Decimal(31), None]
    assert monitor_queries.health_points(warehouse, [], HOUR) == []


def test_latencies__are_by_nearest_rank_of_what_people_wait_for(warehouse: Warehouse) -> None:
    def accepted(seconds: str, **other: str) -> dict[str, str]:
        row = {
            "channel": "'sms'",
            "kind": "'margin'",
            "accepted_at": timestamp(HOUR),
            "seconds": f"numeric '{seconds}'",
        }
        row = row | other
        return {("seconds_to_accept" if name == "seconds" else name): value for name, value in row.items()}

    rows = [accepted(str(number)) for number in range(1, 21)]
    rows.append(accepted("500", accepted_at=timestamp(HOUR + timedelta(hours=1)), kind="'compliance'"))
    rows.append(accepted("900", kind="'digest'"))
    rows.append(accepted("900", accepted_at=timestamp(HOUR - timedelta(hours=1))))
    reader = WithRows(warehouse, {"risk.notification_deliveries": rows_of(*rows)})
    whole, first, second = alert_queries.latencies(reader, HOUR)
    assert (first.accepted, first.p50_seconds, first.p95_seconds, first.p99_seconds) == (20, 10, 19, 20)
    assert (second.accepted, second.p50_seconds, second.p99_seconds) == (1, 500, 500)
    assert (whole.hour_at, whole.accepted, whole.p50_seconds, whole.p99_seconds) == (None, 21, 11, 500)


def test_suppressions__are_counted_by_reason_without_ids_and_times(warehouse: Warehouse) -> None:
    details = (
        "silenced until 2026-03-02T12:00:00+00:00 (sil_1)",
        "silenced until 2026-03-03T12:00:00+00:00 (sil_2)",
        "acct-00001 has no contact",
        "digested into ntf_1, due 2026-03-02T12:00:00+00:00",
        "inhibited by liquidation mev_1",
        "repeat within 600 s",
    )
    row = {"channel": "'sms'", "severity": "'margin_call'", "planned_at": timestamp(HOUR), "state": "'suppressed'"}
    rows = [row | {"last_detail": f"'{detail}'"} for detail in details]
    rows += [row | {"last_detail": "cast(null as string)"}, row | {"last_detail": "'x'", "state": "'failed'"}]
    reader = WithRows(warehouse, {"risk.notification_deliveries": rows_of(*rows)})
    found = {each.reason: each.notifications for each in alert_queries.suppressions(reader, HOUR, 50)}
    assert found == {
        "silenced": 2,
        "no_contact": 1,
        "digested": 1,
        "inhibited": 1,
        "repeat within 600 s": 1,
        None: 1,
    }


def test_margin_alerts__have_their_notifications_and_the_first_acknowledgement(warehouse: Warehouse) -> None:
    event = {
        "margin_event_id": "'mev_1'",
        "account_id": "'a'",
        "severity": "'margin_call'",
        "health_pct": "numeric '29'",
        "threshold_pct": "numeric '30'",
        "detected_at": timestamp(HOUR),
        "is_simulated": "true",
    }
    older = event | {"margin_event_id": "'mev_0'", "detected_at": timestamp(HOUR - timedelta(minutes=1))}
    told = {
        "event_id": "'mev_1'",
        "notification_id": "'ntf_1'",
        "channel": "'sms'",
        "state": "'unknown'",
        "planned_at": timestamp(HOUR),
        "last_detail": "cast(null as string)",
        "kind": "'margin'",
    }
    seen = {
        "change_id": "2",
        "action": "'notification_acknowledged'",
        "changed_at": timestamp(HOUR + timedelta(minutes=1)),
        "changed_by": "'ann'",
        "after_json": """'{"event_id": "mev_1", "notification_id": "ntf_1"}'""",
    }
    again = seen | {"change_id": "3", "changed_by": "'ben'", "changed_at": timestamp(HOUR + timedelta(minutes=2))}
    reader = WithRows(
        warehouse,
        {
            "risk.margin_events": rows_of(event, older),
            "risk.notification_deliveries": rows_of(told, told | {"notification_id": "'ntf_2'", "channel": "'email'"}),
            "audit.alert_preference_trail": rows_of(again, seen, seen | {"action": "'silence_made'", "change_id": "1"}),
        },
    )
    first, second = margin_alert_queries.margin_alerts(reader, HOUR - timedelta(hours=1), 5)
    assert [(each.notification_id, each.channel) for each in first.channels] == [("ntf_1", "sms"), ("ntf_2", "email")]
    assert (first.acknowledged_by, first.acknowledged_at) == ("ann", HOUR + timedelta(minutes=1))
    assert (second.margin_event_id, second.channels, second.acknowledged_by) == ("mev_0", (), None)
    assert len(margin_alert_queries.margin_alerts(reader, HOUR - timedelta(hours=1), 1)) == 1


def test_ledger__rates_and_trail_are_answered(warehouse: Warehouse) -> None:
    since = datetime.now(UTC) - timedelta(hours=2)
    wanted = alert_queries.LedgerFilter(since, "acct-00001", "margin_call", "sms", "failed")
    assert alert_queries.deliveries(warehouse, wanted, 10, 5) == []
    rates = alert_queries.delivery_rates(warehouse, since)
    assert {"email", "sms", "webhook"} <= {rate.channel for rate in rates if rate.window_hours == 24}
    assert alert_trail_queries.trail(warehouse, "nobody-knows") == []
    assert alert_trail_queries.steps(warehouse, "nobody-knows") == []
