"""Times are aware and in UTC; ids are the same wherever they are made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.runtime.clock import FixedClock, SystemClock, as_utc
from infra.runtime.ids import stable_id

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_system_clock__is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_fixed_clock__stands_until_it_is_moved() -> None:
    clock = FixedClock(NOON)
    assert clock.now() == clock.now() == NOON
    clock.advance(timedelta(minutes=1))
    assert clock.now() == NOON + timedelta(minutes=1)


def test_as_utc__refuses_a_naive_time() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        as_utc(datetime(2026, 1, 31, 12))  # noqa: DTZ001 -- what is refused


def test_as_utc__keeps_the_instant() -> None:
    east = datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2)))
    assert as_utc(east) == NOON
    assert as_utc(east).tzinfo is UTC


def test_stable_id__is_a_contract() -> None:
    assert stable_id("ev", "a", 1, None) == "ev_4d4c921084b03999dc84498d0cde9be4"


_parts = st.lists(st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"])), min_size=1, max_size=5)


@given(one=_parts, other=_parts)
def test_stable_id__differs_unless_all_parts_are_equal(one: list[str], other: list[str]) -> None:
    assert (stable_id("x", *one) == stable_id("x", *other)) == (one == other)
