"""Replays in their own process: what it tells, and what is known when it is killed or has no database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from compliance.aml.features import Features
from compliance.aml.rules import RULES
from compliance.api.replay_process import ReplayProcess
from compliance.api.replays import ReplayFailedError, Replays, ReplayState, Task, Tell
from compliance.policy.book import PolicyBook
from compliance.policy.judging import Judge
from infra.embedded.ports import free_ports
from infra.runtime.clock import FixedClock
from tests.integration.compliance.gate_world import NOW

WAIT_S = 60.0
BOOK = PolicyBook.load()
JUDGE = Judge(BOOK.policies[-1], RULES, Features)
TEXT = BOOK.content(JUDGE.policy.version)
TASK = Task(JUDGE, "policy.yaml", TEXT, NOW - timedelta(days=30), NOW)


@dataclass
class Told(Tell):
    """What a replay told, and what to do once it can be stopped."""

    then: Callable[[Callable[[], None]], None] = lambda stop: None
    totals: list[int] = field(default_factory=list)
    judged: int = 0

    def total(self, transactions: int) -> None:
        self.totals.append(transactions)

    def more(self, transactions: int) -> None:
        self.judged += transactions

    def stoppable(self, stop: Callable[[], None]) -> None:
        self.then(stop)


def test_replay__of_an_empty_history_has_a_report(engine: Engine) -> None:
    told = Told()
    report = ReplayProcess(engine.url)(TASK, told)
    assert (report["policy_version"], report["transactions"]) == (JUDGE.policy.version, 0)
    assert (told.totals, told.judged) == ([0], 0)


def test_replay__whose_process_is_killed_has_failed(engine: Engine) -> None:
    with pytest.raises(ReplayFailedError, match="ended with -9 and without a report"):
        ReplayProcess(engine.url)(TASK, Told(then=lambda stop: stop()))


def test_replay__without_a_database_says_so_and_no_password(engine: Engine) -> None:
    away = engine.url.set(port=free_ports(1)[0], password="not-to-be-told")
    with pytest.raises(ReplayFailedError, match="PostgreSQL did not answer") as caught:
        ReplayProcess(away)(TASK, Told())
    assert "not-to-be-told" not in str(caught.value)


def test_replay__that_is_cancelled_does_not_wait_for_its_process(engine: Engine) -> None:
    replays = Replays(ReplayProcess(engine.url), FixedClock(NOW))
    run = replays.start(JUDGE, TASK.name, TEXT, 30, "anna")
    replays.cancel(run.replay_id)
    replays.wait(WAIT_S)
    assert replays.get(run.replay_id).state is ReplayState.CANCELLED
