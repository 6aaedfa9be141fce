"""What becomes of a held transaction, and what the gate publishes: only what passed, and once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from compliance import chain
from compliance.aml.errors import TransactionUnknownError
from compliance.aml.gate import Gate
from compliance.errors import CaseConflictError, ComplianceInputError, ForbiddenError
from compliance.model import Decision
from infra.runtime.errors import NotReadyError
from ingest.messages import SettlementEvent
from tests.integration.compliance.gate_world import (
    ANALYST,
    DEPOSIT,
    EVENT,
    OFFICER,
    Topic,
    close,
    rows,
)


def test_resolve__releases_once_two_people_closed_the_case(gate: Gate, engine: Engine) -> None:
    held = gate.check(replace(DEPOSIT, counterparty_address="0xbad"))
    assert held.case_id is not None
    with pytest.raises(CaseConflictError):
        gate.resolve("t1", Decision.RELEASED, OFFICER, "looked at")
    assert rows(engine, "select decision from compliance.transaction_logs") == [("blocked",)]
    close(engine, held.case_id, "released")
    with pytest.raises(CaseConflictError):
        gate.resolve("t1", Decision.REJECTED, OFFICER, "no")
    result = gate.resolve("t1", Decision.RELEASED, OFFICER, "looked at")
    assert (result.decision, result.reason, result.results) == (Decision.RELEASED, "looked at", held.results)
    assert gate.resolve("t1", Decision.RELEASED, OFFICER, "looked at") == result
    assert gate.check(replace(DEPOSIT, counterparty_address="0xbad")) == result
    assert rows(engine, "select outcome, actor from compliance.decisions order by sequence") == [
        ("blocked", "system"),
        ("released", "olga"),
    ]
    with engine.connect() as connection:
        assert chain.verify(connection).chains["decisions"].rows == 2


def test_resolve__refuses_who_may_not_and_what_is_not_held(gate: Gate) -> None:
    gate.check(DEPOSIT)
    with pytest.raises(ForbiddenError):
        gate.resolve("t1", Decision.RELEASED, ANALYST, "please")
    with pytest.raises(CaseConflictError):
        gate.resolve("t1", Decision.REJECTED, OFFICER, "too late")
    with pytest.raises(TransactionUnknownError):
        gate.resolve("nobody", Decision.REJECTED, OFFICER, "who")
    with pytest.raises(ComplianceInputError):
        gate.resolve("t1", Decision.ACCEPTED, OFFICER, "no")


def test_publish_accepted__publishes_once_what_passed(gate: Gate, engine: Engine) -> None:
    topic = Topic(is_away=True)
    gate.check(DEPOSIT, EVENT)
    held = gate.check(
        replace(DEPOSIT, transaction_id="t2", counterparty_address="0xbad"), EVENT | {"counterparty_address": "0xBAD"}
    )
    with pytest.raises(NotReadyError):
        gate.publish_accepted(topic)
    topic.is_away = False
    assert (gate.publish_accepted(topic), gate.publish_accepted(topic)) == (1, 0)
    assert held.case_id is not None
    close(engine, held.case_id, "released")
    gate.resolve("t2", Decision.RELEASED, OFFICER, "looked at")
    assert (gate.publish_accepted(topic), gate.publish_accepted(topic)) == (1, 0)
    events = [SettlementEvent.model_validate_json(message) for message in topic.messages]
    assert [(event.event_id, event.quantity) for event in events] == [("t1", Decimal(700)), ("t2", Decimal(700))]


def test_publish_accepted__of_a_process_that_died_repeats_the_same_event(gate: Gate, engine: Engine) -> None:
    class Dies(Topic):
        def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
            super().publish_all(topic, messages)
            raise KeyboardInterrupt

    first, second = Dies(), Topic()
    gate.check(DEPOSIT, EVENT)
    with pytest.raises(KeyboardInterrupt):
        gate.publish_accepted(first)
    assert gate.publish_accepted(second) == 1
    assert first.messages == second.messages


def test_publish_accepted__an_event_that_comes_after_the_check_goes_out(gate: Gate) -> None:
    topic = Topic()
    gate.check(DEPOSIT)
    assert gate.publish_accepted(topic) == 0
    gate.check(DEPOSIT, EVENT)
    assert gate.publish_accepted(topic) == 1
