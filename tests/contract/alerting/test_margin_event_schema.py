"""The committed contract of `alerts.margin.v1`, and the published vectors of Standard Webhooks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from alerting import events
from alerting.events import LiquidationPrice, MarginEvent, Severity, render_json_schema

SCHEMA_FILE = Path(events.__file__).parent / "schemas" / "alerts.margin.v1.json"


def example(severity: Severity) -> MarginEvent:
    return MarginEvent(
        margin_event_id="mev_1",
        account_id="acc-1",
        severity=severity,
        episode_id="mep_1",
        transition_number=2,
        previous_severity=Severity.MARGIN_CALL,
        health_pct=Decimal("12.5"),
        collateral_usd=Decimal("56250"),
        borrow_usd=Decimal("50000"),
        liquidation_prices=(LiquidationPrice(asset="BTC", threshold_pct=Decimal(15), price_usd=Decimal(57_500)),),
        price_ids=("prc_1",),
        threshold_pct=Decimal(15),
        detected_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
    )


def test_schema__is_the_committed_one() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == render_json_schema(), (
        "The model and alerting/schemas/alerts.margin.v1.json differ. A compatible change: "
        "python -m alerting.events > alerting/schemas/alerts.margin.v1.json. Any other change needs v2."
    )


@pytest.mark.parametrize("severity", list(Severity))
def test_schema__accepts_what_is_published(severity: Severity) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(example(severity).to_wire()), schema)


def test_schema__names_the_fields_of_the_topic_contract() -> None:
    properties = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))["properties"]
    promised = {
        "schema_version",
        "margin_event_id",
        "account_id",
        "severity",
        "episode_id",
        "health",
        "collateral_usd",
        "borrow_usd",
        "liquidation_prices",
        "price_ids",
        "threshold",
        "detected_at",
    }
    assert promised <= set(properties)
