"""What compliance publishes is what alerting reads: two models, one wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from alerting import compliance_events as reader
from compliance import events as writer

AT = datetime(2026, 1, 31, 12, 30, 15, 123456, tzinfo=UTC)
FULL: dict[str, Any] = {
    "event_id": "cpe_1",
    "kind": "case_opened",
    "severity": "critical",
    "case_id": "cas_1",
    "sequence": 7,
    "account_id": "acc_1",
    "rule_id": "sanctioned_wallet",
    "policy_version": "2026-01",
    "summary": "An AML case of priority urgent was opened.",
    "occurred_at": AT,
}
LEAST = {key: FULL[key] for key in ("event_id", "kind", "severity", "case_id", "occurred_at")}
EVENTS = [FULL, LEAST, FULL | {"occurred_at": AT.astimezone(timezone(timedelta(hours=9)))}, FULL | {"later": "field"}]


def test_events__both_sides_have_one_topic_and_one_schema() -> None:
    assert writer.TOPIC == reader.TOPIC
    assert writer.SCHEMA_VERSION == reader.SCHEMA_VERSION
    assert writer.ComplianceEvent.model_json_schema() == reader.ComplianceEvent.model_json_schema()


@pytest.mark.parametrize("fields", EVENTS)
def test_events__what_is_written_reads_as_the_same_and_has_the_same_bytes(fields: dict[str, Any]) -> None:
    written = writer.ComplianceEvent(**fields)
    read = reader.parse_compliance_event(written.to_wire())
    assert read.model_dump() == written.model_dump()
    assert read.to_wire() == written.to_wire()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "Case Opened"},
        {"severity": "urgent"},
        {"sequence": 0},
        {"case_id": ""},
        {"summary": "x" * 501},
        {"occurred_at": datetime(2026, 1, 31)},  # noqa: DTZ001 - a time without a zone is the point
    ],
)
def test_events__both_sides_refuse_the_same(wrong: dict[str, Any]) -> None:
    for model in (writer.ComplianceEvent, reader.ComplianceEvent):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            model(**(FULL | wrong))
