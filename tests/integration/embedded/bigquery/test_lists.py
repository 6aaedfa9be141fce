"""`x IN UNNEST(@list)` finds what the same condition written out finds."""

from __future__ import annotations

import pytest
from google.cloud import bigquery

ROWS = "select * from unnest([1, 2, 3, null]) as number"


@pytest.mark.parametrize(
    ("condition", "kind", "values", "found"),
    [
        ("number in unnest(@wanted)", "INT64", [3, 1, 3, 9], [1, 3]),
        ("number not in unnest(@wanted)", "INT64", [3, 1], [2]),
        ("number in unnest(@wanted)", "INT64", [], []),
        ("cast(number as string) in unnest(@wanted) and @other = 2", "STRING", ["2", "it's ?, @other"], [2]),
        ("cast(number as numeric) in unnest(@wanted) or number in unnest(@wanted)", "NUMERIC", ["1", "2.5"], [1]),
        ("number in unnest(@wanted)", "INT64", list(range(2, 6_000)), [2, 3]),
    ],
)
def test_in_unnest__finds_the_listed_values(
    warehouse, condition: str, kind: str, values: list[object], found: list[int]
) -> None:
    parameters = [
        bigquery.ArrayQueryParameter("wanted", kind, values),
        bigquery.ScalarQueryParameter("other", "INT64", 2),
    ]
    rows = warehouse.client.query_and_wait(
        f"select number from ({ROWS}) where {condition} order by number",
        job_config=bigquery.QueryJobConfig(query_parameters=parameters),
        retry=None,
        job_retry=None,
        api_timeout=60,
        wait_timeout=60,
    )
    assert [row["number"] for row in rows] == found
