"""What a delivery rate says, and which events it calls for: pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import yaml

from alerting.notices import INTERNAL_TOPIC, Kind
from alerting.rates import MIN_ENDED, TARGETS_PCT, DeliveryRate, LastRateEvent, RateStatus, decide
from infra.runtime.settings import PROJECT_ROOT

HOUR, DAY = timedelta(hours=1), timedelta(hours=24)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def rate(window: timedelta, ended: int, failed: int, channel: str = "sms") -> DeliveryRate:
    return DeliveryRate(channel, window, ended, failed)


@pytest.mark.parametrize(
    ("channel", "ended", "failed", "rate_pct", "status"),
    [
        ("sms", 100, 1, "99.00", RateStatus.OK),
        ("sms", 99, 1, "98.98", RateStatus.BELOW),
        ("email", 200, 1, "99.50", RateStatus.OK),
        ("email", 199, 1, "99.49", RateStatus.BELOW),
        ("webhook", 1000, 1, "99.90", RateStatus.OK),
        # 99.8998 percent would be 99.90 if it were rounded.
        ("webhook", 998, 1, "99.89", RateStatus.BELOW),
        ("sms", MIN_ENDED, 20, "0.00", RateStatus.BELOW),
        ("sms", MIN_ENDED - 1, 19, None, RateStatus.UNKNOWN),
        ("sms", 0, 0, None, RateStatus.UNKNOWN),
    ],
)
def test_rate__is_exact_and_unknown_for_few(
    channel: str, ended: int, failed: int, rate_pct: str | None, status: RateStatus
) -> None:
    found = rate(HOUR, ended, failed, channel)
    assert (found.rate_pct, found.status) == (Decimal(rate_pct) if rate_pct else None, status)


OPEN = LastRateEvent("sms", "warning", "dre_1", 7, 60)
CLOSED = LastRateEvent("sms", "recovered", "dre_1", 8, 60)
GOOD, BAD, FEW = (100, 0), (100, 50), (5, 5)


@pytest.mark.parametrize(
    ("hour", "day", "last", "severity", "window_minutes", "sequence"),
    [
        (BAD, GOOD, None, "warning", 60, 1),
        (GOOD, BAD, None, "warning", 1440, 1),
        (BAD, BAD, None, "warning", 60, 1),
        (FEW, BAD, None, "warning", 1440, 1),
        (GOOD, GOOD, None, None, None, None),
        (FEW, FEW, None, None, None, None),
        (BAD, BAD, OPEN, None, None, None),
        (GOOD, BAD, OPEN, None, None, None),
        (FEW, GOOD, OPEN, None, None, None),
        (GOOD, FEW, OPEN, "recovered", 60, 8),
        (GOOD, GOOD, OPEN, "recovered", 60, 8),
        (GOOD, GOOD, CLOSED, None, None, None),
        (FEW, FEW, CLOSED, None, None, None),
        (BAD, GOOD, CLOSED, "warning", 60, 9),
    ],
)
def test_decide__opens_and_closes_each_episode_once(
    hour: tuple[int, int],
    day: tuple[int, int],
    last: LastRateEvent | None,
    severity: str | None,
    window_minutes: int | None,
    sequence: int | None,
) -> None:
    event = decide("sms", [rate(DAY, *day), rate(HOUR, *hour)], last, NOW)
    if severity is None:
        assert event is None
        return
    assert event is not None
    assert (event.severity, event.payload["window_minutes"], event.sequence) == (severity, window_minutes, sequence)
    assert (event.episode_id == "dre_1") == (severity == "recovered")


def test_decide__says_what_was_measured() -> None:
    event = decide("sms", [rate(HOUR, 200, 3), rate(DAY, 200, 3)], None, NOW)
    assert event is not None
    assert dict(event.payload) == {
        "channel": "sms",
        "window_minutes": 60,
        "rate_pct": "98.50",
        "target_pct": "99",
        "ended": 200,
        "failed": 3,
    }
    assert (event.topic, event.kind, event.owner, event.account_id) == (
        INTERNAL_TOPIC,
        Kind.DELIVERY_RATE,
        "team:risk",
        None,
    )


def test_targets__are_those_of_the_warehouse() -> None:
    project: Any = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text())
    listed = {each["channel"]: Decimal(str(each["target_pct"])) for each in project["vars"]["delivery_targets"]}
    assert listed == {str(channel): target for channel, target in TARGETS_PCT.items()}
