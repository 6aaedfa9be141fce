"""The reads of one account's page and of the exports against the built warehouse."""

from __future__ import annotations

from datetime import timedelta

import pytest

from assets.risk import account_queries, queries
from assets.risk.queries import MarginHealth
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from streamlit_app.reports import content, csv_files

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def warehouse(built_warehouse: Settings) -> Warehouse:
    return Warehouse(built_warehouse)


@pytest.fixture(scope="module")
def account(warehouse: Warehouse) -> MarginHealth:
    """The account nearest to a margin call."""
    return queries.nearest_to_call(warehouse, 1)[0]


def test_settlements__sum_to_the_positions_and_come_in_pages(warehouse: Warehouse, account: MarginHealth) -> None:
    since = SystemClock().now() - account_queries.SETTLEMENTS_WITHIN
    found = account_queries.settlements(warehouse, account.account_id, since, 1_000)
    assert {each.matching for each in found} == {len(found)}
    assert found == sorted(found, key=lambda each: each.occurred_at, reverse=True)
    for position in queries.account_exposures(warehouse, account.account_id):
        own = [e.signed_quantity for e in found if (e.asset, e.side) == (position.asset, position.side)]
        assert sum(own) == position.quantity
    second = account_queries.settlements(warehouse, account.account_id, since, 2, 2)
    assert [each.event_id for each in second] == [each.event_id for each in found[2:4]]


def test_history__has_the_snapshots_of_the_builds(warehouse: Warehouse, account: MarginHealth) -> None:
    since = SystemClock().now() - timedelta(days=1)
    trail = account_queries.health_trail(warehouse, account.account_id, since, timedelta(minutes=5))
    assert sum(each.snapshots for each in trail) >= 1
    assert all(each.bucket_at.timestamp() % 300 == 0 for each in trail)
    assert account_queries.health_trail(warehouse, "nobody", since, timedelta(minutes=5)) == []


def test_alerts_and_thresholds__of_an_account_without_any_are_empty(warehouse: Warehouse) -> None:
    assert account_queries.channel_deliveries(warehouse, ["no-such-event"]) == []
    assert account_queries.own_thresholds(warehouse, "nobody") is None


def test_exports__read_the_whole_book_in_pages_and_one_account(warehouse: Warehouse, account: MarginHealth) -> None:
    pages = list(account_queries.book_pages(warehouse, 15))
    ids = [each.account_id for page in pages for each in page]
    assert ids == queries.account_ids(warehouse)
    now = SystemClock().now()
    assert content.read_book(warehouse, now).summary.accounts == len(ids)
    rows = b"".join(csv_files.account_csv(warehouse, account.account_id, now)).decode("utf-8-sig").splitlines()
    assert len(rows) == 1 + len(queries.account_exposures(warehouse, account.account_id))
