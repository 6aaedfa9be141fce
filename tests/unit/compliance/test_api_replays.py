"""Replays that people start: one at a time, stopped on request, told how they ended, and forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from compliance.aml.features import Features
from compliance.aml.rules import RULES
from compliance.api.errors import ReplayBusyError, ReplayNotFoundError
from compliance.api.replays import EVERY, KEPT, MOST_KEPT, Replays, ReplaySource, ReplayState, replay_here
from compliance.errors import ComplianceInputError
from compliance.model import Decision, Direction, Transaction
from compliance.policy.book import PolicyBook
from compliance.policy.judging import Judge
from compliance.policy.replay import Past
from infra.runtime.clock import FixedClock

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
WAIT_S = 30.0
BOOK = PolicyBook.load()
JUDGE = Judge(BOOK.policies[0], RULES, Features)
TEXT = BOOK.content(JUDGE.policy.version)
SECRET = "bc1qsmv6lkrw65l30yazdqpdjjtwzpvk9f8gfh0cy7"


def past(number: int) -> Past:
    moved = Transaction(
        f"t-{number}",
        "acct-1",
        Direction.IN,
        "deposit",
        "collateral",
        "BTC",
        Decimal(1),
        Decimal(5),
        "bitcoin",
        NOW,
        SECRET,
        "DE",
    )
    return Past(moved, Features(), Decision.ACCEPTED)


class Past50(ReplaySource):
    """Two lots of transactions; the second comes when it is let through, or ends in an error."""

    def __init__(self, error: Exception | None = None, *, is_held: bool = False) -> None:
        super().__init__(create_engine("sqlite://"))
        self.error, self.has_begun, self.go_on = error, threading.Event(), threading.Event()
        if not is_held:
            self.go_on.set()

    def count(self, since: datetime, until: datetime) -> int:
        assert until - since == timedelta(days=30)
        return 2 * EVERY

    def read(self, judge: Judge, since: datetime, until: datetime) -> Iterator[Past]:
        yield from map(past, range(EVERY))
        self.has_begun.set()
        assert self.go_on.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        yield from map(past, range(EVERY, 2 * EVERY))


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def open_replays(clock: FixedClock) -> Iterable[list[Replays]]:
    """What a test has begun; closed when it ends, whatever happened."""
    opened: list[Replays] = []
    yield opened
    for each in opened:
        each.close()


def ended(replays: Replays, replay_id: str) -> ReplayState:
    replays.wait(WAIT_S)
    return replays.get(replay_id).state


def test_replay__runs_to_its_report(clock: FixedClock) -> None:
    replays = Replays(replay_here(Past50()), clock)
    run = replays.start(JUDGE, "policy.yaml", TEXT, 30, "anna")
    assert ended(replays, run.replay_id) is ReplayState.DONE
    found = replays.get(run.replay_id)
    assert (found.done, found.total, found.started_by, found.problem) == (2 * EVERY, 2 * EVERY, "anna", None)
    assert found.report is not None
    assert found.report["transactions"] == 2 * EVERY
    assert found.report["policy_version"] == JUDGE.policy.version


def test_replay__runs_alone_and_says_who_is_before(clock: FixedClock, open_replays: list[Replays]) -> None:
    source = Past50(is_held=True)
    replays = Replays(replay_here(source), clock)
    open_replays.append(replays)
    run = replays.start(JUDGE, "policy.yaml", TEXT, 30, "anna")
    assert source.has_begun.wait(WAIT_S)
    assert (replays.get(run.replay_id).state, replays.get(run.replay_id).total) == (ReplayState.RUNNING, 2 * EVERY)
    with pytest.raises(ReplayBusyError, match=f"anna started.*{run.replay_id}"):
        replays.start(JUDGE, "policy.yaml", TEXT, 30, "otto")
    source.go_on.set()
    assert ended(replays, run.replay_id) is ReplayState.DONE
    assert replays.start(JUDGE, "policy.yaml", TEXT, 30, "otto").started_by == "otto"


def test_replay__stops_when_it_is_cancelled_and_lets_the_next_one_begin(clock: FixedClock) -> None:
    source = Past50(is_held=True)
    replays = Replays(replay_here(source), clock)
    run = replays.start(JUDGE, "policy.yaml", TEXT, 30, "anna")
    assert source.has_begun.wait(WAIT_S)
    replays.cancel(run.replay_id)
    source.go_on.set()
    assert ended(replays, run.replay_id) is ReplayState.CANCELLED
    assert replays.get(run.replay_id).report is None
    assert replays.cancel(run.replay_id).state is ReplayState.CANCELLED
    assert ended(replays, replays.start(JUDGE, "policy.yaml", TEXT, 30, "otto").replay_id) is ReplayState.DONE


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OperationalError("select", {"address": SECRET}, Exception(SECRET)), "PostgreSQL did not answer"),
        (ComplianceInputError("That cannot be read."), "That cannot be read."),
        (ZeroDivisionError(SECRET), "ZeroDivisionError"),
    ],
)
def test_replay__that_fails_says_why_without_figures(clock: FixedClock, error: Exception, problem: str) -> None:
    replays = Replays(replay_here(Past50(error)), clock)
    run = replays.start(JUDGE, "policy.yaml", TEXT, 30, "anna")
    assert ended(replays, run.replay_id) is ReplayState.FAILED
    found = replays.get(run.replay_id).problem or ""
    assert problem in found
    assert SECRET not in found


def test_replay__is_forgotten_an_hour_after_its_end(clock: FixedClock) -> None:
    replays = Replays(replay_here(Past50()), clock)
    run = replays.start(JUDGE, "policy.yaml", TEXT, 30, "anna")
    assert ended(replays, run.replay_id) is ReplayState.DONE
    clock.advance(KEPT)
    assert replays.get(run.replay_id).state is ReplayState.DONE
    clock.advance(timedelta(seconds=1))
    with pytest.raises(ReplayNotFoundError, match=run.replay_id):
        replays.get(run.replay_id)
    with pytest.raises(ReplayNotFoundError):
        replays.cancel(run.replay_id)


def test_replay__of_many_the_oldest_are_forgotten(clock: FixedClock) -> None:
    numbers = iter(range(100))
    replays = Replays(replay_here(Past50()), clock, lambda: str(next(numbers)))
    for _ in range(MOST_KEPT + 2):
        replays.start(JUDGE, "policy.yaml", TEXT, 30, "anna")
        replays.wait(WAIT_S)
        clock.advance(timedelta(seconds=1))
    assert replays.get(f"rpl_{MOST_KEPT + 1}").state is ReplayState.DONE
    with pytest.raises(ReplayNotFoundError):
        replays.get("rpl_0")
