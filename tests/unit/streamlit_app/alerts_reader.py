"""Rows of the margin monitor and of the alerts on top of the small book, for tests of their pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from assets.risk import alert_queries, alert_trail_queries, margin_alert_queries, monitor_queries

NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
Row = dict[str, Any]


class Book(Protocol):
    """The small book of the folder's conftest."""

    accounts: list[Row]
    error: Exception | None

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows of a known query."""
        ...


def alert_row(number: int, account_id: str, severity: str, channel: str | None, state: str | None, **other: Any) -> Row:
    """A margin event with one of its notifications, or with none."""
    row: Row = {
        "margin_event_id": f"mev_{number}",
        "account_id": account_id,
        "severity": severity,
        "health_pct": Decimal("28.9"),
        "threshold_pct": Decimal(30),
        "detected_at": NOW - timedelta(minutes=number),
        "is_simulated": True,
        "notification_id": None if channel is None else f"ntf_{number}_{channel}",
        "channel": channel,
        "state": state,
        "last_detail": None,
        "acknowledged_by": None,
        "acknowledged_at": None,
    }
    return row | other


def delivery_row(number: int, channel: str, state: str, **other: Any) -> Row:
    """A notification as it stands."""
    row: Row = {
        "notification_id": f"ntf_{number}",
        "event_id": f"mev_{number}",
        "kind": "margin",
        "rule": "margin",
        "account_id": "acct-00002",
        "severity": "margin_call",
        "channel": channel,
        "recipient": "con_1",
        "state": state,
        "detected_at": NOW - timedelta(minutes=number),
        "planned_at": NOW - timedelta(minutes=number),
        "accepted_at": NOW - timedelta(minutes=number) if state in ("accepted", "delivered") else None,
        "delivered_at": None,
        "seconds_to_accept": Decimal("0.84") if state in ("accepted", "delivered") else None,
        "attempts": 1,
        "provider_message_id": f"SM{number}",
        "last_detail": None,
    }
    return row | other


def rate_row(channel: str, rate: str | None, status: str, window_hours: int = 24, **other: Any) -> Row:
    """A delivery rate of 1,000 notifications."""
    succeeded = 0 if rate is None else int(Decimal(rate) * 10)
    row: Row = {
        "channel": channel,
        "hour_at": NOW.replace(minute=0, second=0),
        "window_hours": window_hours,
        "is_running": True,
        "ended": 0 if rate is None else 1_000,
        "succeeded": succeeded,
        "failed": 0 if rate is None else 1_000 - succeeded,
        "pending": 2,
        "rate_pct": None if rate is None else Decimal(rate),
        "target_pct": None if status == "no_target" else Decimal("99.5"),
        "status": status,
    }
    return row | other


def latency_row(channel: str, hours_ago: int | None, p95: str) -> Row:
    """Latencies of a channel in an hour, or in all of them."""
    hour = NOW.replace(minute=0, second=0)
    return {
        "channel": channel,
        "hour_at": None if hours_ago is None else hour - timedelta(hours=hours_ago),
        "accepted": 40,
        "p50_seconds": Decimal("0.5"),
        "p95_seconds": Decimal(p95),
        "p99_seconds": Decimal("12.34"),
    }


def trail_row(evidence: str | None, evidence_id: str | None, **other: Any) -> Row:
    """A piece of evidence of the margin event that the text `ntf_1` told of."""
    row: Row = delivery_row(1, "sms", "delivered") | {
        "digest_id": None,
        "margin_event_id": "mev_1",
        "health_pct": Decimal("28.999"),
        "threshold_pct": Decimal(30),
        "published_at": NOW - timedelta(seconds=59),
        "evidence_kind": evidence,
        "evidence_id": evidence_id,
        "asset": "BTC",
        "movement": None,
        "signed_quantity": None,
        "price_usd": None,
        "evidence_source": None,
        "evidence_at": NOW - timedelta(minutes=2),
        "is_simulated": True,
    }
    return row | other


def step_row(state: str, seconds: str, detail: str | None = None) -> Row:
    """A step of a notification."""
    return {
        "state": state,
        "state_at": NOW - timedelta(minutes=1) + timedelta(seconds=float(seconds)),
        "seconds_since_detected": Decimal(seconds),
        "detail": detail,
        "provider_message_id": None,
    }


@dataclass
class AlertsReader:
    """Answers the queries of the monitor and of the alerts; all others are the book's."""

    book: Book
    alerts: list[Row] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)
    deliveries: list[Row] = field(default_factory=list)
    rates: list[Row] = field(default_factory=list)
    latencies: list[Row] = field(default_factory=list)
    suppressions: list[Row] = field(default_factory=list)
    trail: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows of a known query."""
        given = parameters or {}
        if self.book.error is not None:
            raise self.book.error
        if sql in self.errors:
            raise self.errors[sql]
        match sql:
            case monitor_queries.ACCOUNTS_SQL:
                return self._page([row for row in self._wanted(given) if given["status"] in ("", row["status"])], given)
            case monitor_queries.STATUS_COUNTS_SQL:
                return self._counts(given)
            case monitor_queries.HEALTH_POINTS_SQL:
                return [row for row in self.points if row["account_id"] in given["account_ids"]]
            case monitor_queries.ASSETS_HELD_SQL:
                return [{"asset": "BTC"}, {"asset": "SOL"}]
            case margin_alert_queries.MARGIN_ALERTS_SQL:
                return self.alerts
            case alert_queries.DELIVERIES_SQL:
                names = ("account_id", "severity", "channel", "state")
                found = [row for row in self.deliveries if all(given[name] in ("", row[name]) for name in names)]
                return self._page(found, given)
            case alert_queries.DELIVERY_RATES_SQL:
                return self.rates
            case alert_queries.LATENCIES_SQL:
                return self.latencies
            case alert_queries.SUPPRESSIONS_SQL:
                return self.suppressions
            case alert_queries.LAST_STEP_SQL:
                return [{"last_step_at": NOW - timedelta(seconds=75) if self.deliveries else None}]
            case alert_trail_queries.TRAIL_SQL:
                ids = ("notification_id", "provider_message_id")
                return [row for row in self.trail if given["alert_id"] in [row[name] for name in ids]]
            case alert_trail_queries.STEPS_SQL:
                return self.steps
        return self.book.query(sql, parameters)

    def _wanted(self, given: Mapping[str, Any]) -> list[Row]:
        return [
            row
            for row in self.book.accounts
            if given["id_text"] in row["account_id"].lower() and row["borrow_usd"] >= given["min_borrow_usd"]
        ]

    def _counts(self, given: Mapping[str, Any]) -> list[Row]:
        return [
            {
                "status": status,
                "accounts": number,
                "oldest_price_age_seconds": 90,
                "late_events_pending": 0,
                "is_simulated": True,
            }
            for status, number in Counter(row["status"] for row in self._wanted(given)).items()
        ]

    @staticmethod
    def _page(rows: list[Row], given: Mapping[str, Any]) -> list[Row]:
        first = given["skipped_rows"]
        return rows[first : first + given["max_rows"]]
