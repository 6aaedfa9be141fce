"""ALTER TABLE SET OPTIONS as dbt writes it at the end of a seed: with a text of ours in it and a comment behind it."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest

DESCRIPTIONS = [
    "",
    "description='plain'",
    'description="""Rows (two of them); as read"""',
    "labels=[('team', 'risk')], description='x'",
]


@pytest.fixture
def table(warehouse):
    warehouse.run("create table {d}.t (id string)")
    warehouse.run("insert into {d}.t values ('a')")
    return warehouse


@pytest.mark.parametrize("options", DESCRIPTIONS)
@pytest.mark.parametrize("after", ["", "\n/* {{}} */", ";"])
def test_set_options__that_describe_a_table_succeed_and_change_nothing(table, options, after):
    table.run(f"alter table {{d}}.t set options({options}){after}")
    assert table.run("select * from {d}.t") == [("a",)]


def test_set_options__that_would_do_something_still_fail(table):
    with pytest.raises(BadRequest):
        table.run(
            "alter table {d}.t set options(expiration_timestamp=timestamp_add(current_timestamp(), interval 1 day))"
        )
