"""Failures are loud, at once, and say why."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound


@pytest.mark.parametrize(
    ("sql", "error", "reason"),
    [
        ("select no_such_column from {d}.t", BadRequest, "no_such_column"),
        ("selec 1", BadRequest, "(?i)syntax"),
        ("select * from {d}.nothing", NotFound, "nothing"),
        ("create table {d}.t (x int64)", Conflict, "Already Exists"),
        ("raise using message = 'stop here'", BadRequest, "stop here"),
        ("begin raise using message = 'in a block'; end", BadRequest, "in a block"),
        ("select error('of my own')", BadRequest, "of my own"),
        ("select cast('x' as int64)", BadRequest, "x"),
        (
            "select * from {d}.t for system_time as of timestamp_sub(current_timestamp(), interval 1 minute)",
            BadRequest,
            "no history",
        ),
        ("select st_area(st_geogfromtext('point(1 1)'))", BadRequest, "(?i)st_"),
    ],
)
@pytest.mark.parametrize("way", ["query_and_wait", "query"])
def test_statement_that_cannot_run__raises_with_the_reason(warehouse, sql, error, reason, way):
    """Stock: query_and_wait returns an empty result, RAISE is an outage (500)."""
    warehouse.run("create table {d}.t (n int64)")
    text = sql.replace("{d}", warehouse.dataset)

    def query():
        warehouse.client.query(text, retry=None, job_retry=None, timeout=30).result(retry=None, timeout=30)

    with pytest.raises(error, match=reason):
        warehouse.run(sql) if way == "query_and_wait" else query()


def test_failed_script__leaves_no_transaction_behind(warehouse):
    warehouse.run("create table {d}.t (n int64)")
    with pytest.raises(BadRequest):
        warehouse.run("begin transaction; insert into {d}.t values (1); select error('no'); commit transaction;")
    for _ in range(60):  # each worker thread is used
        warehouse.run("insert into {d}.t values (2)")
    assert warehouse.value("select count(*) from {d}.t where n = 2") == 60
