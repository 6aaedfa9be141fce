"""Nothing acknowledged is lost, nothing is doubled, and a killed process does not stand in the way of the next."""

from __future__ import annotations

import threading

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery
from requests.exceptions import RequestException


def test_kill_while_clients_append__keeps_each_acknowledged_row_once(new_server, new_warehouse, signals):
    server = new_server().start()
    warehouse = new_warehouse(server)
    warehouse.run("create table {d}.t (writer int64, n int64)")
    acknowledged = [[] for _ in range(4)]
    stop = threading.Event()

    def write(writer):
        client = server.client()
        for n in range(10_000):
            if stop.is_set():
                return
            try:
                refused = client.insert_rows_json(
                    f"ballast.{warehouse.dataset}.t",
                    [{"writer": writer, "n": n}],
                    row_ids=bigquery.AutoRowIDs.DISABLED,
                    retry=None,
                    timeout=10,
                )
            except (GoogleAPICallError, RequestException):
                return
            assert refused == []
            acknowledged[writer].append(n)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    while min(map(len, acknowledged)) < 20:
        threading.Event().wait(0.02)
    server.signal(signals.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join(timeout=30)

    server.start()
    warehouse.client = server.client()
    found = warehouse.run("select writer, n, count(*) from {d}.t group by writer, n")
    assert all(count == 1 for _, _, count in found)
    stored = {(writer, n) for writer, n, _ in found}
    assert stored >= {(writer, n) for writer in range(4) for n in acknowledged[writer]}
    # What was in flight may be there or not: at most one row a writer.
    assert len(stored) <= sum(map(len, acknowledged)) + 4
    assert warehouse.insert("t", [{"writer": 9, "n": 0}]) == []


def test_tables_views_and_their_listing__survive_a_kill(new_server, new_warehouse, signals):
    server = new_server().start()
    warehouse = new_warehouse(server)
    warehouse.run("create table {d}.t (n numeric)")
    warehouse.run("insert into {d}.t values (numeric '1')")
    warehouse.run("create view {d}.v as select n / 3 as third from {d}.t")
    warehouse.run("create materialized view {d}.m options(enable_refresh=true) as select sum(n) as n from {d}.t")
    server.signal(signals.SIGKILL)
    server.start()
    warehouse.client = server.client()
    listed = {table.table_id: table.table_type for table in warehouse.client.list_tables(warehouse.dataset)}
    assert listed == {"t": "TABLE", "v": "VIEW", "m": "MATERIALIZED_VIEW"}
    assert str(warehouse.value("select third from {d}.v")) == "0.333333333"
    assert warehouse.value("select n from {d}.m") == 1


def test_sigterm__ends_cleanly_and_keeps_the_rows(new_server, new_warehouse, signals):
    server = new_server().start()
    warehouse = new_warehouse(server)
    warehouse.run("create table {d}.t (n int64)")
    warehouse.insert("t", [{"n": 1}])
    assert server.signal(signals.SIGTERM) == 0
    assert not (server.folder / "data" / "bqemulator.duckdb.wal").exists()
    server.start()
    warehouse.client = server.client()
    assert warehouse.value("select count(*) from {d}.t") == 1


@pytest.mark.parametrize("port", ["rest_port", "grpc_port"])
def test_busy_port__is_refused_with_the_reason(new_server, port):
    first = new_server().start()
    second = new_server()
    second.folder.mkdir(parents=True)
    setattr(second, port, getattr(first, port))
    assert second.spawn().wait(timeout=60) != 0
    assert "address already in use" in second.log.read_text().lower() or "bind" in second.log.read_text().lower()
