"""Materialized views and relations as dbt-bigquery creates, inspects, replaces and drops them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.api_core.exceptions import BadRequest, NotFound

CREATE = """
    create materialized view if not exists `ballast`.`{d}`.`mv`
    partition by timestamp_trunc(at_time, day) cluster by id
    options(enable_refresh=true, refresh_interval_minutes=5.0, max_staleness=interval '0-0 0 0:5:0' year to second)
    as select id, at_time, sum(v) as v from `ballast`.`{d}`.`src` group by 1, 2
"""


@pytest.fixture
def source(warehouse):
    warehouse.run("create table {d}.src (id int64, at_time timestamp, v numeric)")
    warehouse.run("insert into {d}.src values (1, timestamp '2026-01-31', numeric '1.5')")
    return warehouse


def test_statement_of_dbt__may_run_twice_and_the_view_is_found(source):
    """Stock makes a view that neither tables.get nor tables.list know."""
    source.run(CREATE)
    source.run(CREATE)
    listed = {table.table_id: table.table_type for table in source.client.list_tables(source.dataset)}
    assert listed == {"src": "TABLE", "mv": "MATERIALIZED_VIEW"}
    view = source.client.get_table(f"ballast.{source.dataset}.mv")
    assert view.table_type == "MATERIALIZED_VIEW"
    assert view.time_partitioning.field == "at_time"
    assert view.clustering_fields == ["id"]
    assert view.mview_enable_refresh is True
    assert view.mview_refresh_interval.total_seconds() == 300
    assert [field.field_type for field in view.schema] == ["INTEGER", "TIMESTAMP", "NUMERIC"]
    assert "sum" in view.mview_query.lower()
    assert view.labels == {}


def test_view__is_never_stale(source):
    source.run(CREATE)
    source.run("create view {d}.over_it as select sum(v) as v from {d}.mv")
    source.insert("src", [{"id": 1, "at_time": "2026-01-31T00:00:00Z", "v": "2"}])
    assert str(source.value("select v from {d}.over_it")) == "3.500000000"
    source.run("create or replace table {d}.src as select 2 as id, timestamp '2026-02-01' as at_time, numeric '9' as v")
    assert [str(row[2]) for row in source.read("mv")] == ["9.000000000"]


def test_view__can_be_replaced_altered_and_dropped(source):
    source.run(CREATE)
    with pytest.raises(Exception, match="Already Exists"):
        source.run(CREATE.replace("if not exists", ""))
    source.run(
        CREATE.replace("create materialized view if not exists", "create or replace materialized view").replace(
            "sum(v)", "max(v)"
        )
    )
    source.run("alter materialized view `ballast`.`{d}`.`mv` set options(enable_refresh=false)")
    view = source.client.get_table(f"ballast.{source.dataset}.mv")
    assert "max" in view.mview_query.lower()
    assert view.mview_enable_refresh is False
    source.run("call bq.refresh_materialized_view('ballast.{d}.mv')")
    with pytest.raises(BadRequest):
        source.run("insert into {d}.mv values (1, null, null)")
    with pytest.raises(BadRequest, match="not a materialized view"):
        source.run("drop materialized view {d}.src")
    source.run("drop materialized view if exists {d}.mv")
    source.run("drop materialized view if exists {d}.mv")
    with pytest.raises(NotFound):
        source.run("drop materialized view {d}.mv")
    assert [table.table_id for table in source.client.list_tables(source.dataset)] == ["src"]


@pytest.mark.parametrize("statement", ["create view {d}.it as select 1 as x", CREATE.replace("`mv`", "`it`")])
def test_views__are_dropped_over_rest(source, statement):
    """dbt drops relations that way; stock answers 500."""
    source.run(statement)
    source.client.delete_table(f"ballast.{source.dataset}.it")
    source.client.delete_table(f"ballast.{source.dataset}.it", not_found_ok=True)
    with pytest.raises(NotFound):
        source.client.delete_table(f"ballast.{source.dataset}.it")
    source.run(statement)


MODELS = {
    "models/money.sql": "{{ config(materialized='table') }} select * from {{ ref('raw_money') }}",
    "models/thirds.sql": "{{ config(materialized='view') }} select id, amount / 3 as third from {{ ref('money') }}",
    "models/events.sql": """
        {{ config(materialized='incremental', unique_key='id',
        partition_by={'field': 'at_time', 'data_type': 'timestamp'}) }}
        select id, timestamp '2026-01-31' as at_time, amount * 2 as doubled from {{ ref('money') }}
    """,
    "models/totals.sql": """
        {{ config(materialized='materialized_view', cluster_by=['id'], enable_refresh=true, refresh_interval_minutes=5,
        partition_by={'field': 'at_time', 'data_type': 'timestamp', 'granularity': 'day'}) }}
        select id, at_time, sum(doubled) as total from {{ ref('events') }} group by id, at_time
    """,
    "models/models.yml": """
models:
  - name: thirds
    config: {contract: {enforced: true}}
    columns:
      - {name: id, data_type: string, description: The id., data_tests: [unique, not_null]}
      - {name: third, data_type: numeric}
""",
    "seeds/raw_money.csv": "id,amount\na,65000.123456789\nb,1\n",
    "dbt_project.yml": """
name: probe
profile: probe
seeds: {+column_types: {id: string, amount: numeric}}
models: {+persist_docs: {relation: true, columns: true}}
""",
    "profiles.yml": """
probe:
  target: it
  outputs:
    it: {type: bigquery, method: oauth-secrets, token: "TOKEN", api_endpoint: "URL", project: ballast,
         dataset: DATASET, location: US, threads: 4}
""",
}


def test_dbt__builds_a_project_twice(warehouse, server, token, tmp_path):
    for name, text in MODELS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("TOKEN", token).replace("URL", server.url).replace("DATASET", warehouse.dataset))
    dbt = [str(Path(sys.executable).with_name("dbt")), "build", "--profiles-dir", str(tmp_path)]
    for _ in range(2):
        done = subprocess.run(
            dbt,
            cwd=tmp_path,
            env={**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:]
    assert [str(row[0]) for row in warehouse.run("select third from {d}.thirds order by id")] == [
        "21666.707818930",
        "0.333333333",
    ]
    assert [str(row[0]) for row in warehouse.run("select total from {d}.totals order by id")] == [
        "130000.246913578",
        "2.000000000",
    ]
    assert warehouse.client.get_table(f"ballast.{warehouse.dataset}.totals").table_type == "MATERIALIZED_VIEW"
