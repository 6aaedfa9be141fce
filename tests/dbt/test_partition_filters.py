"""The live views read a bounded number of days of what grows by the day, whatever the age of the installation.

The bound of each read must be a constant of the statement, for BigQuery prunes partitions by constants only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from infra.runtime.settings import Settings

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(1200)]

LIVE = ("margin_health", "liquidation_prices", "account_exposures", "recent_portfolio_exposures")
# What is partitioned by day, and the views that hand its rows on unfiltered; with the partition's column.
GROWING = {
    "raw.market_prices": "ingested_at",
    "raw.settlement_events": "ingested_at",
    "staging.stg_market__prices": "ingested_at",
    "staging.stg_settlements__events": "ingested_at",
    "intermediate.int_settlements__events_deduped": "ingested_at",
    "risk.portfolio_exposures": "snapshot_at",
    "risk.recent_portfolio_exposures_mv": "snapshot_at",
}
UNFILTERED = {"stg_market__prices", "stg_settlements__events"}


@pytest.fixture(scope="module")
def live_views(built_warehouse: Settings, without_warnings: Callable[[], Any]) -> dict[str, str]:
    """Compiled SQL of the live views and of every view below them, by name."""
    with without_warnings():
        from assets.dbt_build import invoke

        # A manifest holds the compiled SQL of the last command's models only.
        invoke(built_warehouse, ["compile", "--quiet", "--select", *(f"+{name}" for name in LIVE)])
    manifest = json.loads((built_warehouse.dbt_target_dir / "manifest.json").read_text())
    found: dict[str, str] = {}
    waiting = [f"model.ballast.{name}" for name in LIVE]
    while waiting:
        node = manifest["nodes"].get(waiting.pop())
        if node is not None and node["config"]["materialized"] == "view" and node["name"] not in found:
            found[node["name"]] = node["compiled_code"]
            waiting += node["depends_on"]["nodes"]
    return found


def growing_reads(sql: str) -> Iterator[tuple[str, exp.Expression | None]]:
    """Each read of something that grows: its name, and the WHERE of the SELECT that reads it."""
    for table in sqlglot.parse_one(sql, read="bigquery").find_all(exp.Table):
        name = f"{table.db}.{table.name}"
        if name in GROWING:
            select = table.find_ancestor(exp.Select)
            assert select is not None
            yield name, select.args.get("where")


def is_bounded(name: str, where: exp.Expression | None) -> bool:
    """Whether a conjunct is `<partition column> >= <expression without a column or a subquery>`."""
    if where is None:
        return False
    conjuncts = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
    return any(
        isinstance(each, exp.GTE)
        and isinstance(each.this, exp.Column)
        and each.this.name == GROWING[name]
        and each.expression.find(exp.Column, exp.Select) is None
        and each.expression.find(exp.CurrentTimestamp) is not None
        for each in conjuncts
    )


def test_live_views__read_each_growing_table_from_a_constant_day_on(live_views: dict[str, str]) -> None:
    assert {"int_settlements__events_since", "int_market__latest_prices", *UNFILTERED} <= live_views.keys()
    unbounded = [
        f"{view} reads {name}"
        for view, sql in live_views.items()
        if view not in UNFILTERED
        for name, where in growing_reads(sql)
        if not is_bounded(name, where)
    ]
    assert unbounded == []
    bounded = {name for view, sql in live_views.items() if view not in UNFILTERED for name, _ in growing_reads(sql)}
    assert bounded == {
        "staging.stg_market__prices",
        "staging.stg_settlements__events",
        "intermediate.int_settlements__events_deduped",
        "risk.recent_portfolio_exposures_mv",
    }


def test_live_views__that_hand_rows_on_keep_the_partition_column_as_it_is(live_views: dict[str, str]) -> None:
    for name, sql in live_views.items():
        if name in UNFILTERED:
            statement = sqlglot.parse_one(sql, read="bigquery")
            assert statement.find(exp.Group, exp.Window, exp.Join, exp.Distinct, exp.Limit) is None, name
            projected = [each for select in statement.find_all(exp.Select) for each in select.expressions]
            assert any(isinstance(each, exp.Column) and each.name == "ingested_at" for each in projected), name


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        "ingested_at >= (select max(compacted_at) from staging.other)",
        "ingested_at >= since_at",
        "published_at >= timestamp_sub(current_timestamp(), interval 1 day)",
        "ingested_at >= timestamp_sub(current_timestamp(), interval 1 day) or true",
    ],
)
def test_bound__that_does_not_prune_is_none(condition: str) -> None:
    [(name, where)] = growing_reads(f"select 1 from raw.market_prices where {condition}")
    assert not is_bounded(name, where)
