"""The chain as pure computation: any change, removal, insertion or exchange of rows shows, at the right row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.canonical import canonical, instant, plain
from compliance.chain import GENESIS, ChainState, follow, row_hash
from compliance.errors import ChainBrokenError, ComplianceInputError
from compliance.model import Role

FEW = settings(max_examples=30, deadline=None)
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12)
bodies = st.dictionaries(words, st.none() | st.booleans() | st.integers() | words, max_size=3)


def chained(contents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    before = GENESIS
    for number, content in enumerate(contents, start=1):
        row = content | {"sequence": number, "previous_hash": before}
        before = row_hash(row)
        rows.append(row | {"hash": before})
    return rows


def walk(rows: Sequence[dict[str, Any]]) -> ChainState:
    state = ChainState(0, GENESIS)
    for row in rows:
        state = follow("decisions", state, row)
    return state


chains = st.lists(st.fixed_dictionaries({"id": words, "body": bodies}), min_size=2, max_size=8).map(chained)


@FEW
@given(chains)
def test_follow__an_untouched_chain_holds(rows: list[dict[str, Any]]) -> None:
    assert walk(rows) == ChainState(len(rows), rows[-1]["hash"])


@FEW
@given(chains, st.data())
def test_follow__a_changed_row_is_named(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(["id", "body"]))
    other = data.draw((words if column == "id" else bodies).filter(lambda value: value != rows[place][column]))
    rows[place] = rows[place] | {column: other}
    with pytest.raises(ChainBrokenError, match=f"row {place + 1} was changed"):
        walk(rows)


@FEW
@given(chains, st.data())
def test_follow__a_row_that_was_changed_with_its_hash_breaks_the_next(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(rows) - 2))
    forged = {key: value for key, value in rows[place].items() if key != "hash"} | {"id": rows[place]["id"] + "!"}
    rows[place] = forged | {"hash": row_hash(forged)}
    with pytest.raises(ChainBrokenError, match=f"row {place + 2} does not follow row {place + 1}"):
        walk(rows)


@FEW
@given(chains, st.data())
def test_follow__a_removed_row_is_named_as_missing(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 2))
    del rows[place]
    with pytest.raises(ChainBrokenError, match=f"row {place + 1} is missing"):
        walk(rows)


@FEW
@given(chains, st.data())
def test_follow__an_inserted_row_breaks_the_chain_where_it_stands(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    state = walk(rows[:place])
    forged = {"id": "x", "body": {}, "sequence": place + 1, "previous_hash": state.head_hash}
    moved = [row | {"sequence": row["sequence"] + 1} for row in rows[place:]]
    with pytest.raises(ChainBrokenError, match=f"row {place + 2} was changed"):
        walk([*rows[:place], forged | {"hash": row_hash(forged)}, *moved])


@FEW
@given(chains, st.data())
def test_follow__exchanged_rows_break_the_chain_at_the_first(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 2))
    one, other = rows[place], rows[place + 1]
    rows[place], rows[place + 1] = other | {"sequence": place + 1}, one | {"sequence": place + 2}
    with pytest.raises(ChainBrokenError, match=f"row {place + 1} was changed"):
        walk(rows)


def test_follow__a_row_before_the_first_is_an_inserted_one() -> None:
    row = {"sequence": 0, "previous_hash": GENESIS}
    with pytest.raises(ChainBrokenError, match="row 0 was inserted"):
        walk([row | {"hash": row_hash(row)}])


def test_row_hash__is_sha_256_of_sorted_json_without_spaces() -> None:
    row = {"sequence": 2, "at": "2026-01-31T12:00:00.000000Z", "body": {"b": 1, "a": "é"}}
    expected = '{"at":"2026-01-31T12:00:00.000000Z","body":{"a":"\\u00e9","b":1},"sequence":2}'
    assert row_hash(row) == hashlib.sha256(expected.encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.10"), "-0.10"),
        (0.1, "0.1"),
        (1e22, "10000000000000000000000"),
        (-0.0, "-0.0"),
        (10**40, 10**40),
        (True, True),
        (Role.OFFICER, "officer"),
        (datetime(2026, 1, 31, 21, tzinfo=timezone(timedelta(hours=9))), "2026-01-31T12:00:00.000000Z"),
        ((1, [2], {"a": None}), [1, [2], {"a": None}]),
        ({Role.ADMIN: {"b", "a"}}, {"admin": ["a", "b"]}),
    ],
)
def test_plain__keeps_figures_exactly(value: object, kept: object) -> None:
    found = plain(value)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    "value", [float("nan"), Decimal("Infinity"), "a\x00b", "\ud800", {"\x00": 1}, b"bytes", object(), AT.date()]
)
def test_plain__refuses_what_cannot_be_kept_exactly(value: object) -> None:
    with pytest.raises(ComplianceInputError):
        plain({"value": [value]})


def test_instant__refuses_a_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        instant(datetime(2026, 1, 31))  # noqa: DTZ001 - a time without a zone is the point


@FEW
@given(bodies)
def test_canonical__reads_back_as_the_same(body: dict[str, Any]) -> None:
    assert json.loads(canonical(plain(body))) == body
