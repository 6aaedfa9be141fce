"""The reads of data health over the built warehouse: every table that they name is there and has the columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from assets.risk import health_queries
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.tables import DEAD_LETTERS

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(600)]


@pytest.fixture
def warehouse(built_warehouse: Settings) -> Iterator[Warehouse]:
    made = Warehouse(built_warehouse)
    yield made
    made.client.close()  # type: ignore[no-untyped-call]


def test_ages__tell_the_last_row_and_day_of_each_table(warehouse: Warehouse) -> None:
    now = SystemClock().now()
    raw = {each.table_name: each for each in health_queries.raw_ages(warehouse, now - timedelta(days=30))}
    marts = {each.table_name: each for each in health_queries.mart_ages(warehouse, now - timedelta(days=30))}
    for table in (raw["raw.market_prices"], raw["raw.daily_closes"], marts["risk.book_var"]):
        assert table.last_row_at is not None, table
        assert now - timedelta(days=1) < table.last_row_at <= SystemClock().now()
    assert marts["risk.book_var"].last_date is not None
    assert marts["risk.margin_health_history"].last_date is None
    later = {each.table_name: each for each in health_queries.mart_ages(warehouse, now + timedelta(days=1))}
    assert all(each.last_row_at is None for each in later.values())


def test_dead_letters__are_counted_once_by_topic_and_reason(warehouse: Warehouse) -> None:
    now = SystemClock().now()
    letter = {"topic": "health.of.tests", "reason_code": "bad_json", "payload_sha256": "0" * 64}
    rows = [
        letter | {"message_id": "1", "reason": "first", "ingested_at": now - timedelta(minutes=3)},
        letter | {"message_id": "1", "reason": "again", "ingested_at": now - timedelta(minutes=2)},
        letter | {"message_id": "2", "reason": "last", "ingested_at": now - timedelta(minutes=1)},
        letter | {"message_id": "3", "reason": "old", "ingested_at": now - timedelta(days=3)},
    ]
    warehouse.append(DEAD_LETTERS.table_id, rows)
    found = health_queries.dead_letters(warehouse, now - timedelta(days=1))
    # Others share the warehouse.
    warehouse.query("delete from raw.dead_letters where topic = 'health.of.tests'")
    own = [each for each in found if each.topic == "health.of.tests"]
    assert [(each.reason_code, each.messages, each.example) for each in own] == [("bad_json", 2, "last")]
    assert own[0].last_at == rows[2]["ingested_at"]
