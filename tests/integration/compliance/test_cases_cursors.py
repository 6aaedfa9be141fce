"""Cursors of the queue that a caller made up: each is refused with one error, and PostgreSQL never sees it."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from compliance import cases
from compliance.cases import QueueFilters
from compliance.errors import ComplianceInputError
from infra.runtime.clock import FixedClock

DUE = "2026-01-31T12:00:00+00:00"


def packed(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


BAD: dict[str, str] = {
    "empty": "",
    "no base64": "a",
    "foreign letters": "é",
    "letters between": f"{packed([DUE, 'cas_1'])[:8]}!{packed([DUE, 'cas_1'])[8:]}",
    "no JSON": packed(b"x"),
    "no UTF-8": packed(b"\xff\xfe"),
    "null": packed(None),
    "one": packed([DUE]),
    "three": packed([DUE, "cas_1", 1]),
    "object": packed({"a": 1, "b": 2}),
    "numbers": packed([1, 2]),
    "id is a number": packed([DUE, 7]),
    "id is a list": packed([DUE, ["cas_1"]]),
    "id is empty": packed([DUE, ""]),
    "id is long": packed([DUE, "c" * 129]),
    "NUL": packed([DUE, "cas_\x00"]),
    "half a pair": packed([DUE, "cas_\ud800"]),
    "injection": packed([DUE, "' or 1=1 --"]),
    "no time": packed(["soon", "cas_1"]),
    "no zone": packed(["2026-01-31T12:00:00", "cas_1"]),
    "before the year 1": packed(["0001-01-01T00:00:00+23:59", "cas_1"]),
    "after the year 9999": packed(["9999-12-31T23:59:59-23:59", "cas_1"]),
    "deep": packed(b"[" * 100_000),
    "long number": packed(b"[1" + b"0" * 5_000 + b", 2]"),
}


def test_queue__refuses_cursors_that_no_page_gave(engine: Engine, clock: FixedClock) -> None:
    for name, cursor in BAD.items():
        with engine.connect() as connection:
            with pytest.raises(ComplianceInputError, match="cursor"):
                cases.queue(connection, QueueFilters(at=clock.now(), cursor=cursor))
            assert not connection.in_transaction(), name


@pytest.mark.parametrize("due", [DUE, "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"])
def test_queue__takes_any_place_of_the_order(engine: Engine, clock: FixedClock, due: str) -> None:
    with engine.begin() as connection:
        cases.open_case(
            connection, kind="aml", subject_id="t", title="t", priority="low", sla=timedelta(hours=1), at=clock.now()
        )
        page = cases.queue(connection, QueueFilters(at=clock.now(), cursor=packed([due, "cas_1"])))
    assert len(page.cases) == (0 if due.startswith("9999") else 1)
