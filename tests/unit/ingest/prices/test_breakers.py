"""When a source stops counting, and when it counts again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.messages import BreakerState
from ingest.prices.breakers import Breaker, BreakerPolicy, Standing, explained

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
POLICY = BreakerPolicy()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def breaker() -> Breaker:
    """Closed since noon; opens after 5 failures or 60 s, cools 5 s, closes after 3 answers over 10 s."""
    return Breaker(source="pyth", since=NOON)


def failed(breaker: Breaker, times: int, start: float = 0.0) -> Breaker:
    for number in range(times):
        breaker = breaker.failed("http_500", "Hermes answered 500", at(start + number))
    return breaker


def test_breaker__opens_at_the_fifth_failure_in_a_row(breaker: Breaker) -> None:
    assert failed(breaker, 4).state is BreakerState.CLOSED
    opened = failed(breaker, 5)
    assert (opened.state, opened.since, opened.failures) == (BreakerState.OPEN, at(4), 5)
    assert opened.standing is Standing.UNUSABLE
    assert opened.last_error is not None
    assert explained(opened) == ("cannot be relied upon since 2026-01-31 12:00:04 UTC (http_500: Hermes answered 500)")


def test_breaker__stays_closed_where_every_other_read_fails(breaker: Breaker) -> None:
    for number in range(100):
        breaker = failed(breaker, 1, number).answered(at(number + 0.5)).passed(at(number + 0.5))
    assert breaker.state is BreakerState.CLOSED


def test_breaker__opens_on_silence(breaker: Breaker) -> None:
    heard = breaker.answered(at(30))
    assert heard.passed(at(89)).state is BreakerState.CLOSED
    opened = heard.passed(at(90))
    assert opened.state is BreakerState.OPEN
    assert opened.last_error is not None
    assert opened.last_error.code == "silent"


def test_breaker__names_the_failure_that_led_to_the_silence(breaker: Breaker) -> None:
    opened = failed(breaker, 2).passed(at(60))
    assert opened.last_error is not None
    assert (opened.state, opened.last_error.code) == (BreakerState.OPEN, "http_500")


def test_breaker__readings_without_a_complete_answer_are_silence(breaker: Breaker) -> None:
    assert breaker.ticked(at(59)).passed(at(60)).state is BreakerState.OPEN


def test_breaker__closes_only_after_enough_answers_over_a_while(breaker: Breaker) -> None:
    opened = failed(breaker, 5)
    assert opened.answered(at(8)).state is BreakerState.OPEN
    half = opened.answered(at(9))
    assert (half.state, half.standing) == (BreakerState.HALF_OPEN, Standing.LAST_RESORT)
    soon = half.answered(at(10)).answered(at(11)).answered(at(18.9))
    assert soon.state is BreakerState.HALF_OPEN
    closed = soon.answered(at(19))
    assert (closed.state, closed.standing, explained(closed)) == (BreakerState.CLOSED, Standing.USABLE, "")
    assert half.answered(at(30)).state is BreakerState.HALF_OPEN


def test_breaker__failure_on_probation_opens_it_for_longer(breaker: Breaker) -> None:
    half = failed(breaker, 5).answered(at(9))
    again = half.failed("http_429", "too many requests", at(10))
    assert (again.state, again.cool_down) == (BreakerState.OPEN, timedelta(seconds=10))
    assert again.answered(at(19)).state is BreakerState.OPEN
    assert again.answered(at(20)).state is BreakerState.HALF_OPEN


def test_breaker__cool_down_grows_to_its_limit_and_starts_anew_after_a_steady_time(breaker: Breaker) -> None:
    known, seconds = breaker, 0.0
    for _ in range(12):
        known = failed(known, 5, seconds)
        seconds += 4 + known.cool_down.total_seconds()
        for _ in range(4):
            known = known.answered(at(seconds))
            seconds += 5
        assert known.state is BreakerState.CLOSED
    assert known.cool_down == POLICY.longest_cool_down
    steady = failed(known, 5, seconds + POLICY.steady_after.total_seconds())
    assert steady.cool_down == POLICY.cool_down


def test_breaker__rejection_is_remembered_and_changes_nothing(breaker: Breaker) -> None:
    known = breaker
    for number in range(50):
        known = known.rejected("zero_answer", "the answer is 0", at(number))
    assert known.state is BreakerState.CLOSED
    assert known.last_error is not None
    assert known.last_error.code == "zero_answer"


def test_breaker__source_that_cannot_run_is_open_at_once_and_stays_so(breaker: Breaker) -> None:
    opened = breaker.broken("invalid_feed_table", "BTC is not BTC", at(1))
    again = opened.broken("invalid_feed_table", "BTC is not BTC", at(2))
    assert (again.state, again.since, again.failures) == (BreakerState.OPEN, at(1), 2)


STEPS = st.lists(st.tuples(st.sampled_from(["answered", "failed", "passed", "broken"]), st.integers(0, 100)))


@given(STEPS)
def test_breaker__counts_only_while_it_was_well(steps: list[tuple[str, int]]) -> None:
    breaker, now = Breaker(source="pyth", since=NOON), NOON
    for step, wait_s in steps:
        now += timedelta(seconds=wait_s)
        before = breaker
        match step:
            case "answered":
                breaker = breaker.answered(now)
            case "passed":
                breaker = breaker.passed(now)
            case "failed":
                breaker = breaker.failed("x", "x", now)
            case _:
                breaker = breaker.broken("x", "x", now)
        if breaker.state is BreakerState.CLOSED:
            assert breaker.failures < POLICY.failures_to_open
            if before.state is not BreakerState.CLOSED:
                assert step == "answered"
                assert before.state is BreakerState.HALF_OPEN
                assert now - before.since >= POLICY.recovery
        assert breaker.since <= now
        assert POLICY.cool_down <= breaker.cool_down <= POLICY.longest_cool_down
