"""What the arrivals sensor reports, and that it reports each arrival once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from infra.runtime.errors import NotReadyError
from orchestration.sensors.arrivals import raw_arrivals_sensor

# Dagster asks pydantic for an attribute by its old name whenever a resource is made.
pytestmark = pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated:DeprecationWarning")


@pytest.fixture
def tick(platform: Any) -> Callable[[str | None], dg.SensorResult]:
    def run(cursor: str | None = None) -> dg.SensorResult:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": platform})
            result = raw_arrivals_sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    return run


def test_arrivals__are_reported_once(tick: Any, book: Any, now: datetime) -> None:
    book.arrivals = [
        {"table_name": "market_prices", "last_ingested_at": now},
        {"table_name": "settlement_events", "last_ingested_at": None},
    ]
    first = tick()
    assert [event.asset_key.path for event in first.asset_events] == [["raw", "market_prices"]]
    again = tick(first.cursor)
    assert again.asset_events == []
    assert again.skip_reason.skip_message == "nothing arrived"
    book.arrivals[1]["last_ingested_at"] = now + timedelta(seconds=1)
    later = tick(again.cursor)
    assert [event.asset_key.path for event in later.asset_events] == [["raw", "settlement_events"]]
    assert set(json.loads(later.cursor)["last_ingested_at"]) == {"market_prices", "settlement_events"}


def test_arrivals__keep_the_cursor_while_the_warehouse_is_away(tick: Any, book: Any, now: datetime) -> None:
    book.arrivals = [{"table_name": "market_prices", "last_ingested_at": now}]
    cursor = tick().cursor
    book.arrivals = NotReadyError("away")
    result = tick(cursor)
    assert result.cursor == cursor
    assert result.skip_reason.skip_message == "raw cannot be read: away"


@pytest.mark.parametrize("cursor", ["no json", '{"version": 2, "last_ingested_at": []}', '{"version": 2}'])
def test_arrivals__a_cursor_that_cannot_be_read_begins_anew(tick: Any, book: Any, now: datetime, cursor: str) -> None:
    book.arrivals = [{"table_name": "market_prices", "last_ingested_at": now}]
    result = tick(cursor)
    assert len(result.asset_events) == 1
    assert json.loads(result.cursor)["version"] == 1
