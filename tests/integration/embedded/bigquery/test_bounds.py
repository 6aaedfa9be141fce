"""What is kept in memory and on disk is bounded."""

from __future__ import annotations

import duckdb
import pytest
from google.api_core.exceptions import NotFound

from infra.embedded.bigquery.results import BoundedStore


def test_bounded_store__drops_the_oldest_by_number_and_by_size():
    store = BoundedStore(3, 100, len)
    for key in "abcd":
        store[key] = "x" * 10
    assert list(store) == ["b", "c", "d"]
    store["e"] = "x" * 90
    assert list(store) == ["d", "e"]
    store["f"] = "x" * 500
    assert list(store) == ["f"]
    store["f"] = "x"
    store["g"] = "x" * 99
    assert list(store) == ["f", "g"]
    assert store.pop("f") == "x"
    assert store.pop("f", "gone") == "gone"
    store["h"] = "x"
    assert list(store) == ["g", "h"]


def test_results_and_jobs__are_kept_up_to_their_number(new_server, new_warehouse, stock):
    """Stock keeps the rows of each query and each job for ever."""
    options = () if stock else ("--kept-results", "20", "--kept-jobs", "30")
    warehouse = new_warehouse(new_server(*options).start())
    jobs = [warehouse.client.query(f"select {n} as n", retry=None, job_retry=None) for n in range(50)]
    assert [row.n for row in jobs[-1].result(retry=None)] == [49]
    assert len(list(warehouse.client.list_jobs(max_results=1000))) == 30
    with pytest.raises(NotFound):
        warehouse.client._connection.api_request(method="GET", path=f"/projects/ballast/queries/{jobs[0].job_id}")


def test_writes__store_no_copy_of_the_table(new_server, new_warehouse):
    """Stock keeps a copy of the whole table for each write."""
    server = new_server().start()
    warehouse = new_warehouse(server)
    warehouse.run("create table {d}.t as select n from unnest(generate_array(1, 1000)) as n")
    for n in range(5):
        warehouse.insert("t", [{"n": n}])
        warehouse.run(f"insert into {{d}}.t values ({n})")
    warehouse.run("update {d}.t set n = 0 where n = 1")
    server.stop()
    with duckdb.connect(str(server.folder / "data" / "bqemulator.duckdb"), read_only=True) as database:
        copies = database.execute(
            "select count(*) from duckdb_tables() where schema_name = '_bqemulator_snapshots'"
        ).fetchone()
        jobs = database.execute('select count(*) from "_bqemulator_catalog"."jobs"').fetchone()
    assert (copies, jobs) == ((0,), (0,))


def test_log_of_writes__is_folded_into_the_database_beside_readers(new_server, new_warehouse):
    server = new_server().start()
    warehouse = new_warehouse(server)
    warehouse.run("create table {d}.t (n int64, text string)")
    log = server.folder / "data" / "bqemulator.duckdb.wal"
    sizes = []
    for _ in range(14):
        warehouse.insert("t", [{"n": n, "text": f"{n:06d}" * 40} for n in range(10_000)])
        warehouse.client.list_rows(warehouse.client.get_table(f"ballast.{warehouse.dataset}.t"), max_results=5)
        warehouse.value("select count(*) from {d}.t")
        sizes.append(log.stat().st_size if log.exists() else 0)
    assert min(sizes[7:]) < max(sizes)
    assert max(sizes) < 40_000_000
