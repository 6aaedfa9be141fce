"""The gate when checks race, a list is missing or a process dies: every transaction is still judged, and once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from compliance.aml import gate_store
from compliance.aml.gate import Gate
from compliance.errors import ComplianceNotReadyError
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError
from tests.integration.compliance.gate_world import (
    DEPOSIT,
    EVENT,
    NOW,
    Lists,
    rows,
)


def test_check__racing_checks_give_one_decision(gate: Gate, engine: Engine) -> None:
    listed = replace(DEPOSIT, counterparty_address="0xbad")
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: gate.check(listed), range(12)))
    assert len({result.case_id for result in found}) == 1
    assert all(result == found[0] for result in found)
    assert rows(engine, "select count(*) from compliance.decisions") == [(1,)]
    assert rows(engine, "select count(*) from compliance.case_events") == [(1,)]


def test_check__racing_transactions_of_an_account_see_each_other(gate: Gate) -> None:
    burst = [replace(DEPOSIT, transaction_id=f"t{number}") for number in range(14)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(gate.check, burst))
    held = [result for result in found if "velocity_count" in result.reason]
    # Which one is the eleventh is open; that the last ones to be judged saw more than ten is not.
    assert 1 <= len(held) <= 14
    with_history = gate.check(replace(DEPOSIT, transaction_id="t99"))
    assert "velocity_count" in with_history.reason


def test_check__without_a_list_waits_and_is_judged_later(
    gate: Gate, engine: Engine, clock: FixedClock, lists: Lists
) -> None:
    lists.is_loaded = False
    with pytest.raises(ComplianceNotReadyError):
        gate.check(replace(DEPOSIT, has_travel_rule_data=False, amount_usd=Decimal(5000)), EVENT)
    assert rows(engine, "select decision from compliance.transaction_logs") == [(None,)]
    clock.advance(timedelta(minutes=2))
    assert [(each.transaction_id, each.age) for each in gate.undecided(timedelta(minutes=1))] == [
        ("t1", timedelta(minutes=2))
    ]
    with pytest.raises(ComplianceNotReadyError):
        gate.finish_undecided()
    lists.is_loaded = True
    assert gate.finish_undecided() == 1
    assert gate.undecided(timedelta(0)) == []
    # What the caller stated is still known.
    assert "travel_rule_data" in gate.check(replace(DEPOSIT, has_travel_rule_data=False), EVENT).reason


def test_finish_undecided__takes_over_from_a_process_that_died(
    gate: Gate, engine: Engine, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        # The decision, its case and its alerts are written, and the process dies before the last statement.
        patched.setattr("compliance.aml.gate.append_decision", dies)
        with pytest.raises(KeyboardInterrupt):
            gate.check(replace(DEPOSIT, counterparty_address="0xbad"))
    assert rows(engine, "select decision from compliance.transaction_logs") == [(None,)]
    assert rows(engine, "select 1 from compliance.cases") == rows(engine, "select 1 from compliance.aml_alerts") == []
    assert gate.finish_undecided() == 0, "it is not old enough to be left behind"
    clock.advance(timedelta(seconds=11))
    assert gate.finish_undecided() == 1
    assert gate.finish_undecided() == 0
    assert rows(engine, "select decision from compliance.transaction_logs") == [("blocked",)]


def test_finish_undecided__one_that_fails_stops_no_other(
    gate: Gate, engine: Engine, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        for name in ("t1", "t2"):
            gate_store.store(connection, replace(DEPOSIT, transaction_id=name), None, NOW - timedelta(minutes=5))
    real = gate_store.lock_account

    def fails_first(connection: Any, account_id: str) -> None:
        monkeypatch.setattr(gate_store, "lock_account", real)
        raise NotReadyError("lost")

    monkeypatch.setattr(gate_store, "lock_account", fails_first)
    assert gate.finish_undecided() == 1
    assert gate.finish_undecided() == 1
