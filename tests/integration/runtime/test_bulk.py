"""Tables read in bulk, and rows that replace others at once: by their scope, also after a kill, or not at all.

Run as a program, it is the writer that is killed between load and merge.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from infra.embedded.ports import free_ports
from infra.runtime.bigquery import TableSpec, Warehouse, nullable, required
from infra.runtime.bulk import load_rows, read_table, replace_rows
from infra.runtime.errors import NotReadyError, WarehouseError
from infra.runtime.settings import PROJECT_ROOT, Settings, load_settings

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(300)]

SPEC = TableSpec(
    "risk",
    "figures",
    (
        required("day", "DATE", "Scope"),
        required("method", "STRING", "Scope"),
        required("name", "STRING", "Key"),
        nullable("usd", "NUMERIC", "Figure"),
        nullable("note", "STRING", "Words"),
    ),
    "Rows of these tests.",
)
DAY, NEXT_DAY = date(2026, 3, 1), date(2026, 3, 2)
KEY = ("name",)
_SCHEMA = pa.schema(
    {
        "day": pa.date32(),
        "method": pa.string(),
        "name": pa.string(),
        "usd": pa.decimal128(38, 9),
        "note": pa.string(),
    }
)

Row = tuple[str, str | None, str | None]


def put(warehouse: Warehouse, day: date, method: str, *rows: Row) -> int:
    """Replace the rows of a day and method: name, USD, note."""
    table = pa.Table.from_pylist(
        [
            {"day": day, "method": method, "name": name, "usd": Decimal(usd) if usd else None, "note": note}
            for name, usd, note in rows
        ],
        _SCHEMA,
    )
    return replace_rows(warehouse, SPEC, table, {"day": day, "method": method}, KEY)


def killed_between_load_and_merge() -> None:
    """Load other rows, and be killed in the place of the statement that would merge them."""
    warehouse = Warehouse(load_settings())
    warehouse.execute = lambda *_arguments: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    put(warehouse, DAY, "a", ("x", "100", "half done"), ("z", "3", None))


@pytest.fixture(scope="module")
def settings(new_project: Callable[..., Settings]) -> Settings:
    return new_project("ballast-bulk")


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """The table, with rows of one scope that is replaced and of two that must stay."""
    found = Warehouse(settings)
    found.ensure_table(SPEC)
    found.query(f"delete from {SPEC.table_id} where true")
    assert put(found, DAY, "a", ("x", "1.000000001", None), ("y", "2", "second")) == 2
    assert put(found, DAY, "b", ("x", "7", None)) == 1
    assert put(found, NEXT_DAY, "a", ("x", "8", None), ("y", "9", None)) == 2
    return found


STAYS = [(date(2026, 3, 1), "b", "x", Decimal(7), None)] + [
    (date(2026, 3, 2), "a", name, usd, None) for name, usd in (("x", Decimal(8)), ("y", Decimal(9)))
]


def rows_of(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    found = warehouse.query(f"select day, method, name, usd, note from {SPEC.table_id} order by day, method, name")
    return [tuple(row.values()) for row in found]


def leftovers(warehouse: Warehouse) -> list[str]:
    project = warehouse.settings.gcp_project
    return [table.table_id for table in warehouse.client.list_tables(f"{project}.risk") if "loading" in table.table_id]


def test_read_table__keeps_types_and_nulls(settings: Settings) -> None:
    Warehouse(settings).query(
        """
        create or replace table risk.typed as
        select 'ä' as text, 9007199254740993 as number, numeric '12345678901234567890.123456789' as usd,
            bignumeric '0.000000000000000001' as units, 0.1 as ratio, date '2026-03-01' as day,
            timestamp '2026-03-01 12:00:00.123456+00' as at, true as is_so
        union all
        select null, null, null, null, null, null, null, null
        """
    )
    found = read_table(settings, "risk.typed")
    assert found.schema.field("usd").type == pa.decimal128(38, 9)
    assert found.schema.field("ratio").type == pa.float64()
    assert sorted(found.to_pylist(), key=lambda row: row["text"] is None) == [
        {
            "text": "ä",
            "number": 9007199254740993,
            "usd": Decimal("12345678901234567890.123456789"),
            "units": Decimal("1e-18"),
            "ratio": 0.1,
            "day": date(2026, 3, 1),
            "at": datetime(2026, 3, 1, 12, 0, 0, 123456, UTC),
            "is_so": True,
        },
        dict.fromkeys(("text", "number", "usd", "units", "ratio", "day", "at", "is_so")),
    ]
    assert read_table(settings, "risk.typed", ["day", "text"]).column_names == ["day", "text"]


def test_read_table__takes_messages_beyond_four_megabytes(settings: Settings) -> None:
    columns = ", ".join(f"n * {place} / 7.0 as c{place}" for place in range(300))
    Warehouse(settings).query(
        f"create or replace table risk.wide as select {columns} from unnest(generate_array(1, 4000)) as n"
    )
    found = read_table(settings, "risk.wide")
    assert (found.num_rows, found.num_columns) == (4000, 300)
    assert sorted(found["c7"].to_pylist()) == [float(n) for n in range(1, 4001)]


def test_read_table__of_an_empty_table_has_its_columns(settings: Settings) -> None:
    Warehouse(settings).query("create or replace table risk.empty (name string, usd numeric)")
    found = read_table(settings, "risk.empty")
    assert (found.num_rows, found.column_names) == (0, ["name", "usd"])


def test_read_table__that_is_missing_or_forbidden_is_refused(settings: Settings) -> None:
    with pytest.raises(WarehouseError, match=r"refused to read risk\.nowhere"):
        read_table(settings, "risk.nowhere")
    with pytest.raises(WarehouseError, match=r"refused to read risk\.figures"):
        read_table(settings.model_copy(update={"bigquery_token": None}), "risk.figures")


def test_read_table__of_a_server_that_is_away_is_not_ready(settings: Settings) -> None:
    [port] = free_ports(1)
    away = settings.model_copy(update={"bigquery_storage_endpoint": f"127.0.0.1:{port}"})
    with pytest.raises(NotReadyError, match=r"did not answer for risk\.figures"):
        read_table(away, "risk.figures", away_s=1.0)


def test_replace_rows__changes_adds_and_deletes_within_its_scope_only(warehouse: Warehouse) -> None:
    assert rows_of(warehouse)[:2] == [
        (DAY, "a", "x", Decimal("1.000000001"), None),
        (DAY, "a", "y", Decimal(2), "second"),
    ]
    for _ in range(2):
        assert put(warehouse, DAY, "a", ("y", None, None), ("z", "-3", "new")) == 2
        assert rows_of(warehouse) == [(DAY, "a", "y", None, None), (DAY, "a", "z", Decimal(-3), "new"), *STAYS]
    assert put(warehouse, DAY, "a") == 0
    assert rows_of(warehouse) == STAYS
    assert leftovers(warehouse) == []


def test_replace_rows__that_are_refused_change_nothing(warehouse: Warehouse) -> None:
    before = rows_of(warehouse)
    worded = pa.table({"day": [DAY], "method": ["a"], "name": ["x"], "usd": ["a lot"], "note": ["?"]})
    with pytest.raises(WarehouseError, match=r"refused rows for risk\.figures__loading"):
        replace_rows(warehouse, SPEC, worded, {"day": DAY, "method": "a"}, KEY)
    assert rows_of(warehouse) == before
    assert leftovers(warehouse) == []


def test_replace_rows__of_a_table_that_is_missing_is_refused(warehouse: Warehouse) -> None:
    spec = TableSpec("risk", "never_made", SPEC.schema, "None.")
    with pytest.raises(WarehouseError, match="refused a statement"):
        replace_rows(warehouse, spec, _SCHEMA.empty_table(), {"day": DAY, "method": "a"}, KEY)
    assert leftovers(warehouse) == []


def test_replace_rows__are_seen_whole_or_not_at_all(warehouse: Warehouse) -> None:
    many: list[Row] = [(f"n{number}", "1", None) for number in range(500)]
    few: list[Row] = [(f"n{number}", "2", None) for number in range(250, 300)]
    seen, done = set(), threading.Event()

    def look() -> None:
        sql = f"select count(*) as n, min(usd) as low, max(usd) as high from {SPEC.table_id} where method = 'c'"
        while not done.is_set():
            seen.add(tuple(warehouse.query(sql)[0].values()))

    put(warehouse, DAY, "c", *many)
    reader = threading.Thread(target=look)
    reader.start()
    for rows in (few, many) * 4:
        put(warehouse, DAY, "c", *rows)
    done.set()
    reader.join()
    assert seen == {(500, 1, 1), (50, 2, 2)}


def test_replace_rows__killed_between_load_and_merge_leave_the_old_ones(
    settings: Settings, warehouse: Warehouse
) -> None:
    before = rows_of(warehouse)
    assert settings.bigquery_token is not None
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BALLAST_")}
    own = {
        "BALLAST_STATE_DIR": str(settings.state_dir),
        "BALLAST_GCP_PROJECT": settings.gcp_project,
        "BALLAST_BIGQUERY_ENDPOINT": str(settings.bigquery_endpoint),
        "BALLAST_BIGQUERY_TOKEN": settings.bigquery_token.get_secret_value(),
    }
    writer = subprocess.run(
        [sys.executable, __file__], env=inherited | own, cwd=PROJECT_ROOT, timeout=60, capture_output=True, check=False
    )
    assert writer.returncode == -signal.SIGKILL, writer.stderr.decode()
    assert rows_of(warehouse) == before
    [left] = leftovers(warehouse)
    assert warehouse.query(f"select count(*) as n from risk.{left}") == [{"n": 2}]
    # The next run is of a version with other columns: what was left does not stand in its way.
    other = TableSpec("risk", left, (*SPEC.schema[:3], nullable("loss", "NUMERIC", "What usd was called")), "Left.")
    warehouse.client.delete_table(f"{settings.gcp_project}.risk.{left}")
    warehouse.ensure_table(other)
    put(warehouse, DAY, "a", ("x", "4", None), ("z", "5", None))
    assert rows_of(warehouse) == [(DAY, "a", "x", Decimal(4), None), (DAY, "a", "z", Decimal(5), None), *STAYS]
    assert leftovers(warehouse) == []


def test_load_rows__are_all_that_the_table_holds(warehouse: Warehouse) -> None:
    load_rows(warehouse, SPEC, pa.Table.from_pylist([{"day": DAY, "method": "d", "name": "x"}], _SCHEMA))
    assert rows_of(warehouse) == [(DAY, "d", "x", None, None)]


if __name__ == "__main__":
    killed_between_load_and_merge()
