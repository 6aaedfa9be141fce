"""What the warehouse sends, what it repeats, and which error it raises when."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from google.cloud import bigquery

from infra.runtime import bigquery as runtime
from infra.runtime.bigquery import Warehouse, _json_cell, _parameter, _request_bounds
from infra.runtime.errors import AppendError, NotReadyError, WarehouseError


class Colour(StrEnum):
    RED = "red"


AT = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)
DONE: dict[str, Any] = {
    "kind": "bigquery#queryResponse",
    "jobComplete": True,
    "schema": {
        "fields": [
            {"name": "n", "type": "NUMERIC", "mode": "NULLABLE"},
            {"name": "at", "type": "TIMESTAMP", "mode": "NULLABLE"},
        ]
    },
    "rows": [{"f": [{"v": "0.1"}, {"v": "1769860800000000"}]}, {"f": [{"v": None}, {"v": None}]}],
    "totalRows": "2",
}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "BOOL"),
        (1, "INT64"),
        (1.5, "FLOAT64"),
        (Decimal("1.5"), "NUMERIC"),
        (Decimal("0.000000001"), "NUMERIC"),
        (Decimal("1.0000000000"), "NUMERIC"),
        (Decimal("0E-18"), "NUMERIC"),
        (Decimal("1E-18"), "BIGNUMERIC"),
        (Decimal(10) ** 28, "NUMERIC"),
        (Decimal(10) ** 29, "BIGNUMERIC"),
        (AT, "TIMESTAMP"),
        (date(2026, 1, 31), "DATE"),
        ("x", "STRING"),
        (Colour.RED, "STRING"),
        (None, "STRING"),
    ],
)
def test_parameter__has_the_type_of_its_value(value: object, kind: str) -> None:
    scalar = _parameter("p", value)
    assert isinstance(scalar, bigquery.ScalarQueryParameter)
    assert (scalar.name, scalar.type_) == ("p", kind)
    array = _parameter("p", [value])
    assert isinstance(array, bigquery.ArrayQueryParameter)
    assert array.array_type == kind


def test_parameter__of_an_empty_list_is_an_array_of_text() -> None:
    array = _parameter("p", ())
    assert isinstance(array, bigquery.ArrayQueryParameter)
    assert (array.array_type, array.values) == ("STRING", [])


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (Decimal("1E-18"), "0.000000000000000001"),
        (Decimal("99999999999999999999.999999999999999999"), "99999999999999999999.999999999999999999"),
        (Decimal("1E+3"), "1000"),
        (AT, "2026-01-31T12:00:00.000005+00:00"),
        (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "2026-01-31T12:00:00+02:00"),
        (date(2026, 1, 31), "2026-01-31"),
        ({"a": Decimal("0.10"), "b": [AT.date()]}, {"a": "0.10", "b": ["2026-01-31"]}),
        ((Decimal(1), None), ["1", None]),
        (True, True),
        (7, 7),
        ("x", "x"),
        (None, None),
    ],
)
def test_json_cell__passes_nothing_through_a_float(value: object, cell: object) -> None:
    assert _json_cell(value) == cell


@pytest.mark.parametrize(
    ("sizes", "bounds"),
    [
        ([], []),
        ([1], [(0, 1)]),
        ([1] * 500, [(0, 500)]),
        ([1] * 501, [(0, 500), (500, 501)]),
        ([1] * 1_200, [(0, 500), (500, 1000), (1000, 1200)]),
        ([2_500_000, 2_500_000, 10], [(0, 1), (1, 3)]),
        ([9_000_000, 1], [(0, 1), (1, 2)]),
    ],
)
def test_requests__stay_within_rows_and_bytes(sizes: list[int], bounds: list[tuple[int, int]]) -> None:
    assert list(_request_bounds([{"x": "y" * size} for size in sizes])) == bounds


def test_query__returns_decimals_and_aware_times_and_sends_typed_parameters(
    warehouse: Warehouse, bigquery_server: Any
) -> None:
    bigquery_server.default = (200, DONE)
    rows = warehouse.query("select 1", {"day": date(2026, 1, 31), "ids": ["a"]})
    assert rows == [{"n": Decimal("0.1"), "at": datetime(2026, 1, 31, 12, tzinfo=UTC)}, {"n": None, "at": None}]
    [(path, body)] = bigquery_server.requests
    assert path.split("?")[0].endswith("/projects/p/queries")
    assert body["useLegacySql"] is False
    assert body["labels"] == {"service": "ballast"}
    assert int(body["maximumBytesBilled"]) == warehouse.settings.bigquery_maximum_bytes_billed
    sent = {parameter["name"]: parameter for parameter in body["queryParameters"]}
    assert sent["day"]["parameterType"] == {"type": "DATE"}
    assert sent["ids"]["parameterType"] == {"type": "ARRAY", "arrayType": {"type": "STRING"}}


@pytest.mark.parametrize("status", [429, 502, 503, 504, -1])
def test_query__repeats_what_may_pass(warehouse: Warehouse, bigquery_server: Any, status: int) -> None:
    bigquery_server.then(status)
    bigquery_server.then(status)
    bigquery_server.default = (200, DONE)
    assert len(warehouse.query("select 1")) == 2
    assert len(bigquery_server.requests) == 3


@pytest.mark.parametrize("status", [400, 403, 404])
def test_query__does_not_repeat_what_is_refused(warehouse: Warehouse, bigquery_server: Any, status: int) -> None:
    bigquery_server.then(status)
    with pytest.raises(WarehouseError, match=r"told so\. Statement: select 'x'") as refused:
        warehouse.query("  select 'x'" + " " * 10 + "y" * 1_000)
    assert len(bigquery_server.requests) == 1
    assert len(refused.value.message) < 500


@pytest.mark.parametrize("act", ["query", "append"])
def test_credentials__that_are_refused_are_told_without_their_value(
    warehouse: Warehouse, bigquery_server: Any, act: str
) -> None:
    for _ in range(5):
        bigquery_server.then(401)
    with pytest.raises(WarehouseError, match="BALLAST_BIGQUERY_TOKEN") as refused:
        warehouse.query("select 1") if act == "query" else warehouse.append("raw.t", [{"a": 1}])
    assert "token-of-test" not in refused.value.message


@pytest.fixture
def closed_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("act", ["query", "append"])
def test_away__server_that_does_not_listen_is_not_ready(
    make_warehouse: Callable[..., Warehouse], closed_port: str, act: str
) -> None:
    warehouse = make_warehouse(closed_port, 0.3)
    with pytest.raises(NotReadyError, match="did not answer within") as away:
        warehouse.query("select 1") if act == "query" else warehouse.append("raw.t", [{"a": 1}])
    assert away.value.code == "not_ready"
    assert closed_port in away.value.message


@pytest.mark.parametrize("act", ["query", "append"])
def test_away__server_that_never_answers_is_not_waited_for(
    make_warehouse: Callable[..., Warehouse], bigquery_server: Any, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    monkeypatch.setattr(runtime, "REQUEST_TIMEOUT_S", 0.2)
    bigquery_server.default = (0, None)
    warehouse = make_warehouse(bigquery_server.url, 0.3)
    with pytest.raises(NotReadyError):
        warehouse.query("select 1") if act == "query" else warehouse.append("raw.t", [{"a": 1}])


@pytest.mark.parametrize("act", ["query", "append"])
def test_away__server_that_stays_overloaded_is_not_ready(
    make_warehouse: Callable[..., Warehouse], bigquery_server: Any, act: str
) -> None:
    bigquery_server.default = (503, {"error": {"code": 503, "message": "later"}})
    warehouse = make_warehouse(bigquery_server.url, 0.3)
    with pytest.raises(NotReadyError):
        warehouse.query("select 1") if act == "query" else warehouse.append("raw.t", [{"a": 1}])


def test_append__sends_ids_and_splits_requests(warehouse: Warehouse, bigquery_server: Any) -> None:
    rows = [{"a": Decimal(n)} for n in range(501)]
    done = warehouse.append("raw.t", rows, [f"id{n}" for n in range(501)])
    assert (done.rows, done.requests) == (501, 2)
    assert [path.split("?")[0] for path, _ in bigquery_server.requests] == [
        "/bigquery/v2/projects/p/datasets/raw/tables/t/insertAll"
    ] * 2
    first, second = bigquery_server.bodies
    assert first["rows"][0] == {"json": {"a": "0"}, "insertId": "id0"}
    assert second["rows"] == [{"json": {"a": "500"}, "insertId": "id500"}]


def test_append__without_ids_lets_bigquery_drop_nothing(warehouse: Warehouse, bigquery_server: Any) -> None:
    warehouse.append("raw.t", [{"a": 1}])
    [body] = bigquery_server.bodies
    assert body["rows"][0].get("insertId") is None


def test_append__of_nothing_sends_nothing(warehouse: Warehouse, bigquery_server: Any) -> None:
    assert warehouse.append("raw.t", []).requests == 0
    assert bigquery_server.requests == []


@pytest.mark.parametrize("status", [429, 503, -1])
def test_append__is_repeated_with_the_same_ids(warehouse: Warehouse, bigquery_server: Any, status: int) -> None:
    bigquery_server.then(status)
    warehouse.append("raw.t", [{"a": 1}], ["id"])
    first, second = bigquery_server.bodies
    assert first == second


def test_append__names_refused_rows_of_the_whole_call_and_not_those_held_back(
    warehouse: Warehouse, bigquery_server: Any
) -> None:
    bigquery_server.then(200, {})
    bigquery_server.then(
        200,
        {
            "insertErrors": [
                {"index": 0, "errors": [{"reason": "stopped", "message": ""}]},
                {"index": 2, "errors": [{"reason": "invalid", "message": "no such field: b."}]},
            ]
        },
    )
    with pytest.raises(AppendError, match=r"refused 1 rows of raw\.t; row 502") as refused:
        warehouse.append("raw.t", [{"a": n} for n in range(503)])
    assert set(refused.value.row_errors) == {502}
    assert "no such field" in refused.value.row_errors[502]


def test_append__to_a_table_that_is_not_there_is_an_error_of_the_warehouse(
    warehouse: Warehouse, bigquery_server: Any
) -> None:
    bigquery_server.then(404)
    with pytest.raises(WarehouseError, match=r"append to raw\.t: .*told so"):
        warehouse.append("raw.t", [{"a": 1}])
