"""Events for PagerDuty within its limits."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from alerting.channels.base import PageContent
from alerting.channels.pagerduty import MAX_BODY_BYTES, dedup_key, rendered_event

PAGE = PageContent(
    "trigger",
    "margin:acc-1:mep_1",
    "Margin call",
    "critical",
    datetime(2026, 1, 31, 12, tzinfo=UTC),
    group="acc-1",
    details={"health_pct": Decimal("29.5")},
)


def test_event__is_what_pagerduty_documents() -> None:
    assert json.loads(rendered_event(PAGE, "key", "ntf_1")) == {
        "routing_key": "key",
        "event_action": "trigger",
        "dedup_key": "margin:acc-1:mep_1",
        "payload": {
            "summary": "Margin call",
            "source": "ballast",
            "severity": "critical",
            "timestamp": "2026-01-31T12:00:00+00:00",
            "group": "acc-1",
            "custom_details": {"health_pct": "29.5", "notification_id": "ntf_1"},
        },
    }


@pytest.mark.parametrize("action", ["resolve", "acknowledge"])
def test_event__an_end_needs_only_the_key(action: str) -> None:
    assert json.loads(rendered_event(replace(PAGE, action=action), "key", "ntf_1")) == {
        "routing_key": "key",
        "event_action": action,
        "dedup_key": "margin:acc-1:mep_1",
    }


def test_event__is_cut_to_the_limits() -> None:
    page = replace(PAGE, summary="s" * 2000, severity="unheard", details={"list": ["x" * 1000] * 1000})
    body = rendered_event(page, "key", "ntf_1")
    payload = json.loads(body)["payload"]
    assert len(body) <= MAX_BODY_BYTES
    assert len(payload["summary"]) == 1024
    assert payload["severity"] == "critical"
    assert payload["custom_details"] == {"notification_id": "ntf_1", "omitted": "details, too large"}


def test_dedup_key__long_keys_stay_apart_and_the_same() -> None:
    one, other = "k" * 300 + "1", "k" * 300 + "2"
    assert dedup_key(one) == dedup_key(one)
    assert dedup_key(one) != dedup_key(other)
    assert len(dedup_key(one)) <= 255
    assert dedup_key("k" * 255) == "k" * 255
