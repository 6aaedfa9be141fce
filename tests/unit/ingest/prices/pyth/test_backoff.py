"""Waits between attempts."""

from __future__ import annotations

import random

from ingest.prices.pyth.backoff import Backoff


class Longest(random.Random):
    """Always draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_next_s__doubles_up_to_its_limit_and_begins_anew() -> None:
    backoff = Backoff(1.0, 10.0, Longest())
    assert [backoff.next_s() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_next_s__survives_any_number_of_failures() -> None:
    backoff = Backoff(1.0, 10.0, Longest())
    assert max(backoff.next_s() for _ in range(5_000)) == 10.0


def test_next_s__is_spread_over_the_whole_range() -> None:
    backoff = Backoff(1.0, 1.0, random.Random(7))
    drawn = [backoff.next_s() for _ in range(200)]
    assert min(drawn) < 0.1
    assert max(drawn) > 0.9
