"""Load jobs of the real client: Parquet, CSV as dbt seeds send it, JSON, gs:// addresses, all or nothing."""

from __future__ import annotations

import io
from decimal import Decimal

import pandas as pd
import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery
from google.cloud.bigquery import LoadJobConfig, SchemaField


@pytest.fixture
def target(warehouse):
    warehouse.run("create table {d}.t (id string, n numeric, on_date date)")
    return f"ballast.{warehouse.dataset}.t"


def finish(job):
    return job.result(timeout=30, retry=None)


def test_csv_file__loads_as_a_dbt_seed_does(warehouse):
    """dbt creates the table by the load: CSV with a schema, one header row and WRITE_TRUNCATE."""
    schema = [SchemaField("id", "STRING"), SchemaField("n", "NUMERIC"), SchemaField("note", "STRING")]
    config = LoadJobConfig(
        schema=schema, source_format="CSV", skip_leading_rows=1, write_disposition="WRITE_TRUNCATE", max_bad_records=0
    )
    text = b'id,n,note\na,65000.123456789,"with, comma"\nb,,\n'
    for _ in range(2):
        job = warehouse.client.load_table_from_file(
            io.BytesIO(text), f"ballast.{warehouse.dataset}.seed", rewind=True, job_config=config
        )
        finish(job)
    assert warehouse.run("select * from {d}.seed order by id") == [
        ("a", Decimal("65000.123456789"), "with, comma"),
        ("b", None, None),
    ]


def test_csv_without_header__keeps_its_first_row(warehouse, target):
    """Stock takes each first row for a header."""
    config = LoadJobConfig(source_format="CSV", field_delimiter=";", null_marker="-")
    data = io.BytesIO(b"a;1.5;2026-01-31\nb;-;2026-02-01\n")
    finish(warehouse.client.load_table_from_file(data, target, rewind=True, job_config=config))
    assert warehouse.run("select id, n from {d}.t order by id") == [("a", Decimal("1.5")), ("b", None)]


@pytest.mark.filterwarnings("ignore:Loading DataFrames via google-cloud-bigquery:PendingDeprecationWarning")
def test_dataframe__loads_by_column_name(warehouse, target):
    """Stock refuses the upload (400), and would map the columns by position."""
    day = pd.Timestamp("2026-01-31").date()
    frame = pd.DataFrame({"on_date": [day], "n": [Decimal("65000.123456789")], "id": ["a"]})
    finish(warehouse.client.load_table_from_dataframe(frame, target))
    stored = warehouse.value("select n from {d}.t where id = 'a' and on_date = '2026-01-31'")
    assert stored == Decimal("65000.123456789")


def test_json_rows__load(warehouse, target):
    rows = [{"id": "a", "n": "65000.123456789"}, {"id": "b", "on_date": "2026-01-31"}]
    config = LoadJobConfig(
        schema=[SchemaField("id", "STRING"), SchemaField("n", "NUMERIC"), SchemaField("on_date", "DATE")]
    )
    finish(warehouse.client.load_table_from_json(rows, target, job_config=config))
    assert warehouse.run("select id, n from {d}.t order by id") == [("a", Decimal("65000.123456789")), ("b", None)]


def test_gs_address__is_a_file_below_the_root(warehouse, target, server):
    warehouse.run("insert into {d}.t values ('a', numeric '1.5', date '2026-01-31')")
    name = f"gs://archive/{warehouse.dataset}"
    (server.folder / "gcs" / "archive" / warehouse.dataset).mkdir(parents=True)
    warehouse.run(f"export data options(uri='{name}/*.parquet', format='PARQUET') as select * from {{d}}.t")
    assert list((server.folder / "gcs" / "archive" / warehouse.dataset).glob("*.parquet"))
    config = LoadJobConfig(source_format="PARQUET")
    finish(warehouse.client.load_table_from_uri(f"{name}/*.parquet", target, job_config=config))
    assert warehouse.value("select count(*) from {d}.t") == 2


def test_bad_file__changes_nothing(warehouse, target):
    """Stock has truncated the table by then."""
    warehouse.run("insert into {d}.t values ('kept', numeric '1.5', date '2026-01-31')")
    config = LoadJobConfig(source_format="CSV", skip_leading_rows=1, write_disposition="WRITE_TRUNCATE")
    data = io.BytesIO(b"id,n,on_date\na,1,2026-01-31\nb,not a number,2026-01-31\n")
    with pytest.raises(GoogleAPICallError, match="not a number"):
        finish(warehouse.client.load_table_from_file(data, target, rewind=True, job_config=config))
    assert warehouse.run("select id from {d}.t") == [("kept",)]


def test_rows_of_a_query__page_through_the_client(warehouse):
    job = warehouse.client.query("select n from unnest(generate_array(1, 2500)) as n", retry=None, job_retry=None)
    assert sum(row.n for row in job.result(page_size=1000)) == 2500 * 2501 // 2
    assert bigquery.QueryJob is type(job)
