"""Many clients at once: nobody hangs, nobody waits for a heavy query, nothing is lost or doubled."""

from __future__ import annotations

import io
import threading
import time

import pyarrow as pa
import pyarrow.parquet
from google.cloud import bigquery

HEAVY = """
    select count(*) from unnest(generate_array(1, 3000)) a, unnest(generate_array(1, 3000)) b,
    unnest(generate_array(1, 24)) c where mod(a * b + c, 7) = 3
"""


def test_mixed_readers_and_writers__all_finish_and_each_row_is_there_once(warehouse, at_once):
    """Stock hangs for ever: the client's timeout ends the test."""
    warehouse.run("create table {d}.t (writer int64, n int64, v numeric)")
    warehouse.timeout = 30.0
    done = threading.Event()

    def write(writer):
        for n in range(30):
            assert warehouse.insert("t", [{"writer": writer, "n": n, "v": "1.5"}]) == []

    def query():
        while not done.is_set():
            warehouse.run("select writer, count(*), sum(v) from {d}.t group by writer")

    def read():
        while not done.is_set():
            assert all(row[2] == 1.5 for row in warehouse.read("t"))

    readers = [threading.Thread(target=task, daemon=True) for task in (query, query, query, read)]
    for reader in readers:
        reader.start()
    try:
        at_once(*(lambda w=w: write(w) for w in range(4)))
    finally:
        done.set()
    assert warehouse.run("select writer, count(*), count(distinct n) from {d}.t group by writer order by writer") == [
        (writer, 30, 30) for writer in range(4)
    ]


def test_a_heavy_query__does_not_hold_up_other_requests(warehouse):
    """Stock answers nothing until the heavy query has ended."""
    warehouse.run("create table {d}.t (n int64)")
    ended = []

    def heavy():
        warehouse.run(HEAVY)
        ended.append("heavy")

    thread = threading.Thread(target=heavy)
    thread.start()
    time.sleep(0.5)  # the heavy query is on its way; how long it lasts does not matter, only what ends first
    for n in range(5):
        warehouse.insert("t", [{"n": n}])
        warehouse.value("select count(*) from {d}.t")
        warehouse.read("t")
    ended.append("others")
    thread.join(timeout=120)
    assert ended == ["others", "heavy"]


def test_a_long_statement_on_one_table__does_not_hold_up_statements_on_others(warehouse):
    warehouse.run("create table {d}.t (n int64)")
    ended = []

    def heavy():
        warehouse.run(f"create or replace table {{d}}.big as {HEAVY.replace('count(*)', 'count(*) as n')}")
        ended.append("heavy")

    thread = threading.Thread(target=heavy)
    thread.start()
    time.sleep(0.5)
    warehouse.run("merge {d}.t t using (select 1 as n) s on t.n = s.n when not matched then insert (n) values (s.n)")
    warehouse.run("create or replace table {d}.other as select 1 as n")
    ended.append("others")
    thread.join(timeout=120)
    assert ended == ["others", "heavy"]


def test_ddl_loads_and_inserts_at_once__give_no_conflict_and_exact_counts(warehouse, at_once):
    warehouse.run("create table {d}.shared (task string, n int64)")
    warehouse.run("create table {d}.loaded (n int64)")
    table = pa.table({"n": list(range(100))})

    def insert(task):
        for n in range(15):
            assert warehouse.insert("shared", [{"task": task, "n": n}]) == []

    def load():
        for _ in range(6):
            buffer = io.BytesIO()
            pyarrow.parquet.write_table(table, buffer)
            config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
            target = f"ballast.{warehouse.dataset}.loaded"
            job = warehouse.client.load_table_from_file(
                buffer, target, rewind=True, size=buffer.tell(), job_config=config, num_retries=0
            )
            job.result(timeout=60, retry=None)

    def define(name):
        for n in range(10):
            warehouse.run(f"create or replace table {{d}}.{name} as select {n} as n")
            warehouse.run(f"create or replace view {{d}}.{name}_view as select n from {{d}}.{name}")

    def change(task):
        for n in range(10):
            warehouse.run(f"insert into {{d}}.shared values ('{task}', {n})")
            warehouse.run(f"update {{d}}.shared set n = n + 1000 where task = '{task}' and n = {n}")

    at_once(
        *(lambda t=t: insert(t) for t in ("a", "b")),
        load,
        load,
        *(lambda n=n: define(n) for n in ("same", "same", "own")),
        *(lambda t=t: change(t) for t in ("x", "y")),
    )
    counts = dict(warehouse.run("select task, count(*) from {d}.shared group by task"))
    assert counts == {"a": 15, "b": 15, "x": 10, "y": 10}
    assert warehouse.value("select count(*) from {d}.shared where n >= 1000") == 20
    assert warehouse.value("select count(*) from {d}.loaded") == 1200
    assert warehouse.value("select n from {d}.same_view") == 9


def test_a_repeated_request__is_run_once(warehouse):
    """A client repeats a request whose answer was lost; the id in the request tells."""
    warehouse.run("create table {d}.t (n int64)")
    sql = f"insert into {warehouse.dataset}.t values (1)"
    path = "/projects/ballast/queries"
    body = {"query": sql, "useLegacySql": False, "requestId": "the-same"}
    for _ in range(3):
        warehouse.client._connection.api_request(method="POST", path=path, data=body, timeout=30)
    for _ in range(2):
        job = {"configuration": {"query": {"query": sql, "useLegacySql": False}}}
        job["jobReference"] = {"projectId": "ballast", "jobId": f"job-{warehouse.dataset}"}
        warehouse.client._connection.api_request(method="POST", path="/projects/ballast/jobs", data=job, timeout=30)
    assert warehouse.value("select count(*) from {d}.t") == 2
