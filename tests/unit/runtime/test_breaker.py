"""When attempts pass a breaker."""

from __future__ import annotations

import pytest

from infra.runtime.breaker import Breaker, BreakerState


class Seconds:
    """A monotonic time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def breaker(seconds: Seconds) -> Breaker:
    """Opens after three faults, for ten seconds."""
    return Breaker(3, 10.0, seconds)


def opened(breaker: Breaker) -> None:
    for _ in range(3):
        breaker.failed()
    assert breaker.state is BreakerState.OPEN


def test_breaker__opens_only_after_faults_in_a_row(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert (breaker.state, breaker.allows(), breaker.retry_in_s()) == (BreakerState.CLOSED, True, 0.0)
    opened(breaker)
    assert not breaker.allows()
    assert breaker.retry_in_s() == 10.0


def test_breaker__lets_one_probe_through_after_its_time(breaker: Breaker, seconds: Seconds) -> None:
    opened(breaker)
    seconds.now += 9.9
    assert not breaker.allows()
    seconds.now += 0.1
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert breaker.state is BreakerState.HALF_OPEN


def test_breaker__a_good_probe_closes_it(breaker: Breaker, seconds: Seconds) -> None:
    opened(breaker)
    assert not breaker.is_pristine
    seconds.now += 10
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.is_pristine
    assert all(breaker.allows() for _ in range(3))


def test_breaker__each_failed_probe_doubles_the_time_up_to_eight_times(breaker: Breaker, seconds: Seconds) -> None:
    opened(breaker)
    waits = []
    for _ in range(6):
        waits.append(breaker.retry_in_s())
        seconds.now += breaker.retry_in_s()
        assert breaker.allows()
        breaker.failed()
    assert waits == [10, 20, 40, 80, 80, 80]
    seconds.now += breaker.retry_in_s()
    assert breaker.allows()
    breaker.succeeded()
    opened(breaker)
    assert breaker.retry_in_s() == 10


def test_breaker__late_faults_of_earlier_attempts_do_not_prolong_it(breaker: Breaker, seconds: Seconds) -> None:
    opened(breaker)
    seconds.now += 5
    breaker.failed()
    assert breaker.retry_in_s() == 5


def test_breaker__a_probe_without_outcome_does_not_block_for_ever(breaker: Breaker, seconds: Seconds) -> None:
    opened(breaker)
    seconds.now += 10
    assert breaker.allows()
    assert breaker.retry_in_s() == 10
    seconds.now += 10
    assert breaker.allows()
