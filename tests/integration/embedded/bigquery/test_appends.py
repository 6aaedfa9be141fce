"""insertAll: every type as text, whole requests, named refusals, repeats dropped."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from google.cloud.bigquery import SchemaField

SCHEMA = [
    SchemaField("id", "STRING", "REQUIRED"),
    SchemaField("n", "NUMERIC"),
    SchemaField("q", "BIGNUMERIC"),
    SchemaField("at", "TIMESTAMP"),
    SchemaField("on_date", "DATE"),
    SchemaField("payload", "JSON"),
    SchemaField("ok", "BOOL"),
    SchemaField("count", "INT64"),
    SchemaField("sources", "RECORD", "REPEATED", fields=[SchemaField("name", "STRING"), SchemaField("p", "NUMERIC")]),
    SchemaField("tags", "STRING", "REPEATED"),
]
ROW = {
    "id": "a",
    "n": "65000.123456789",
    "q": "-2.000000000000000001",
    "at": "2026-01-31T12:00:00.123456+00:00",
    "on_date": "2026-01-31",
    "payload": '{"a": [1, {"b": null}]}',
    "ok": "true",
    "count": "9007199254740993",
    "sources": [{"name": "x", "p": "1.000000001"}, {"name": "y", "p": None}],
    "tags": ["one", "two"],
}


@pytest.fixture
def table(warehouse):
    warehouse.client.create_table(bigquery.Table(f"ballast.{warehouse.dataset}.t", schema=SCHEMA))
    return warehouse


def test_row_of_texts__comes_back_typed_and_exact(table):
    assert table.insert("t", [ROW]) == []
    assert table.read("t") == [
        (
            "a",
            Decimal("65000.123456789"),
            Decimal("-2.000000000000000001"),
            datetime(2026, 1, 31, 12, 0, 0, 123456, UTC),
            date(2026, 1, 31),
            {"a": [1, {"b": None}]},
            True,
            9007199254740993,
            [{"name": "x", "p": Decimal("1.000000001")}, {"name": "y", "p": None}],
            ["one", "two"],
        )
    ]
    nested = "select s.p * 3, json_value(payload, '$.a[0]') from {d}.t, unnest(sources) s where s.name = 'x'"
    assert table.run(nested) == [(Decimal("3.000000003"), "1")]
    assert table.client.get_table(f"ballast.{table.dataset}.t").num_rows == 1


def test_json_object__is_stored_as_json(table):
    assert table.insert("t", [{"id": "a", "payload": {"deep": {"x": 1.5}}}]) == []
    assert table.value("select json_value(payload, '$.deep.x') from {d}.t") == "1.5"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n": "1.0000000001"}, "n "),
        ({"n": "a lot"}, "n "),
        ({"at": "yesterday"}, "at "),
        ({"ok": "perhaps"}, "ok "),
        ({"count": 1.5}, "count "),
        ({"id": None}, "required field: id"),
        ({"surprise": 1}, "no such field: surprise"),
    ],
)
def test_bad_row__is_named_and_nothing_of_its_request_is_stored(table, change, reason):
    """Stock answers 500, or stores the row with the value dropped."""
    refused = table.insert("t", [ROW, {**ROW, "id": "b", **change}, ROW])
    assert [row["index"] for row in refused] == [0, 1, 2]
    assert [row["errors"][0]["reason"] for row in refused] == ["stopped", "invalid", "stopped"]
    assert reason in refused[1]["errors"][0]["message"]
    assert table.value("select count(*) from {d}.t") == 0


def test_skip_invalid_rows__stores_the_others(table):
    refused = table.client.insert_rows_json(
        f"ballast.{table.dataset}.t",
        [ROW, {**ROW, "n": "x"}],
        row_ids=bigquery.AutoRowIDs.DISABLED,
        skip_invalid_rows=True,
        retry=None,
    )
    assert [row["index"] for row in refused] == [1]
    assert table.value("select count(*) from {d}.t") == 1


def test_repeated_insert_id__is_stored_once(table):
    for _ in range(3):
        assert table.insert("t", [ROW, {**ROW, "id": "b"}], ids=["first", "second"]) == []
    assert table.value("select count(*) from {d}.t") == 2
    assert table.insert("t", [ROW, ROW]) == []
    assert table.value("select count(*) from {d}.t") == 4


def test_append_after_a_column_was_added__goes_by_name(table):
    table.run("alter table {d}.t add column extra bignumeric")
    assert table.insert("t", [{"id": "a", "extra": "0.000000000000000001"}]) == []
    assert table.value("select extra from {d}.t") == Decimal("0.000000000000000001")


def test_unknown_table__is_not_found(warehouse):
    with pytest.raises(NotFound):
        warehouse.insert("nothing", [{"id": 1}])
