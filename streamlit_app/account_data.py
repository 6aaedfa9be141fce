"""The reads of the page of one account, through the reads that all sessions share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeVar, cast

from assets.risk import account_queries, queries
from assets.risk.account_queries import ChannelDelivery, HealthBucket, OwnThresholds, Settlement
from assets.risk.queries import MarginEventRow, Reader, ValueAtRisk
from streamlit_app import data
from streamlit_app.reads import Read, Reading, ReadKey

ALERTS_WITHIN = timedelta(days=90)
ALERT_ROWS = 12
HISTORY_EVENT_ROWS = 200
SETTLEMENTS_PAGE = 25
TRAIL_MAX_AGE = timedelta(seconds=30)
DELIVERIES_MAX_AGE = timedelta(seconds=10)
NEAREST_ROWS = 50

Value = TypeVar("Value")


class HistoryRange(Enum):
    """A range of the history: its name, its length, and the span of time of one point."""

    DAY = ("1 d", timedelta(days=1), timedelta(minutes=5))
    WEEK = ("7 d", timedelta(days=7), timedelta(minutes=30))
    MONTH = ("30 d", timedelta(days=30), timedelta(hours=2))
    QUARTER = ("90 d", timedelta(days=90), timedelta(hours=6))

    def __init__(self, label: str, length: timedelta, bucket: timedelta) -> None:
        self.label = label
        self.length = length
        self.bucket = bucket


@dataclass(frozen=True)
class HistoryReadings:
    """The history of an account in a range, and the margin events in it, newest first."""

    trail: Reading[list[HealthBucket]]
    events: Reading[list[MarginEventRow]]
    since: datetime


@dataclass(frozen=True)
class AlertReadings:
    """The last margin events of an account, newest first, and how their notifications stand."""

    events: Reading[list[MarginEventRow]]
    deliveries: Reading[list[ChannelDelivery]]


def history(account_id: str, shown: HistoryRange) -> HistoryReadings:
    """The health of the account in the range, at most `TRAIL_MAX_AGE` old."""
    since = data.system_clock().now() - shown.length
    trail, events = data.shared().together(
        Read(
            ("health_trail", account_id, shown.label),
            lambda source: account_queries.health_trail(source, account_id, since, shown.bucket),
            TRAIL_MAX_AGE,
        ),
        Read(
            ("history_events", account_id, shown.label),
            lambda source: queries.margin_events(source, since, account_id, HISTORY_EVENT_ROWS),
            TRAIL_MAX_AGE,
        ),
    )
    return HistoryReadings(trail, events, since)


def settlements(account_id: str, page: int) -> Reading[list[Settlement]]:
    """A page of the account's settlements, the first one being 0."""
    since = data.system_clock().now() - account_queries.SETTLEMENTS_WITHIN
    return _read(
        ("settlements", account_id, page),
        lambda source: account_queries.settlements(
            source, account_id, since, SETTLEMENTS_PAGE, page * SETTLEMENTS_PAGE
        ),
        data.SECONDARY_MAX_AGE,
    )


def alerts(account_id: str) -> AlertReadings:
    """The last alerts of the account with their notifications."""
    since = data.system_clock().now() - ALERTS_WITHIN
    events: Reading[list[MarginEventRow]] = _read(
        ("account_alerts", account_id),
        lambda source: queries.margin_events(source, since, account_id, ALERT_ROWS),
        data.SECONDARY_MAX_AGE,
    )
    ids = tuple(event.margin_event_id for event in events.value or [])
    return AlertReadings(events, _deliveries(ids))


def own_thresholds(account_id: str) -> Reading[OwnThresholds | None]:
    """The thresholds that somebody set for the account."""
    return _read(
        ("own_thresholds", account_id),
        lambda source: account_queries.own_thresholds(source, account_id),
        data.SECONDARY_MAX_AGE,
    )


def all_estimates(account_id: str) -> Reading[list[ValueAtRisk]]:
    """The latest estimates of the account by every method, horizon and window."""
    return _read(
        ("all_account_var", account_id),
        lambda source: queries.account_var_estimates(source, account_id),
        data.SLOW_MAX_AGE,
    )


def nearest() -> Reading[list[queries.MarginHealth]]:
    """The accounts nearest to a margin call."""
    return _read(("nearest_ids",), lambda source: queries.nearest_to_call(source, NEAREST_ROWS), data.SECONDARY_MAX_AGE)


def nearest_ids() -> list[str]:
    """Accounts to choose from without typing: those nearest to a margin call, as far as they are known."""
    return [account.account_id for account in nearest().value or []]


def _deliveries(margin_event_ids: Sequence[str]) -> Reading[list[ChannelDelivery]]:
    return _read(
        ("channel_deliveries", *margin_event_ids),
        lambda source: account_queries.channel_deliveries(source, margin_event_ids),
        DELIVERIES_MAX_AGE,
    )


def _read(key: ReadKey, run: Callable[[Reader], Value], max_age: timedelta) -> Reading[Value]:
    return cast(Reading[Value], data.shared().together(Read(key, run, max_age))[0])
