"""The gate on PostgreSQL: one decision a transaction, recorded with its grounds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from compliance.aml.errors import TransactionConflictError
from compliance.aml.gate import Gate
from compliance.errors import ComplianceInputError
from compliance.model import Decision, RuleOutcome
from infra.runtime.clock import FixedClock
from tests.integration.compliance.gate_world import (
    DEPOSIT,
    EVENT,
    NOW,
    Book,
    Lists,
    add_customer,
    rows,
    shipped_book,
)


def test_check__accepts_what_nothing_speaks_against(gate: Gate, engine: Engine) -> None:
    result = gate.check(DEPOSIT, EVENT)
    assert (result.decision, result.case_id, result.decided_at) == (Decision.ACCEPTED, None, NOW)
    assert result.list_versions == {"ofac_sdn": "v7"}
    outcomes = {each.rule_id: each.outcome for each in result.results}
    assert outcomes["sanctioned_wallet"] is RuleOutcome.NO_HIT
    assert outcomes["mixer_exposure"] is RuleOutcome.INSUFFICIENT_HISTORY
    assert rows(engine, "select transaction_id, decision, counterparty_address from compliance.transaction_logs") == [
        ("t1", "accepted", "0xabc")
    ]
    assert rows(engine, "select subject_id, outcome, actor from compliance.decisions") == [("t1", "accepted", "system")]
    assert rows(engine, "select rule_id, outcome from compliance.aml_alerts order by rule_id") == [
        ("mixer_exposure", "insufficient_history"),
        ("velocity_amount", "insufficient_history"),
    ]


def test_check__the_same_again_is_the_same_answer(gate: Gate, engine: Engine, clock: FixedClock) -> None:
    first = gate.check(DEPOSIT, EVENT)
    clock.advance(timedelta(hours=1))
    assert gate.check(replace(DEPOSIT, amount_usd=Decimal(9)), EVENT) == first
    assert len(rows(engine, "select 1 from compliance.decisions")) == 1


def test_check__blocks_a_listed_wallet_and_opens_a_case(gate: Gate, engine: Engine) -> None:
    result = gate.check(replace(DEPOSIT, counterparty_address="0xBAD"))
    assert result.decision is Decision.BLOCKED
    hit = next(each for each in result.results if each.rule_id == "sanctioned_wallet")
    assert hit.evidence["entries"] == "ofac_sdn:77"
    assert rows(engine, "select case_id, kind, subject_id, account_id, priority from compliance.cases") == [
        (result.case_id, "aml", "t1", "acct-1", "urgent")
    ]
    recorded = rows(engine, "select cast(evidence as text), reason from compliance.decisions")
    alerts = rows(engine, "select cast(evidence as text), case_id from compliance.aml_alerts")
    assert {case_id for _, case_id in alerts} == {result.case_id}
    assert "0xbad" not in str([*recorded, *alerts]).lower()


@pytest.mark.parametrize(
    ("changes", "rule_id"),
    [
        ({"amount_usd": None}, "structuring"),
        ({"counterparty_address": None}, "sanctioned_wallet"),
        ({"counterparty_country": None}, "geo_block"),
    ],
)
def test_check__what_could_not_run_is_looked_at(gate: Gate, changes: dict[str, Any], rule_id: str) -> None:
    result = gate.check(replace(DEPOSIT, **changes))
    assert result.decision is Decision.REVIEW
    assert f"{rule_id} could not run" in result.reason
    assert result.case_id is not None


def test_check__a_screening_that_fails_is_looked_at(gate: Gate, lists: Lists) -> None:
    lists.fails = True
    result = gate.check(DEPOSIT)
    assert result.decision is Decision.REVIEW
    assert "sanctioned_wallet could not run" in result.reason


def test_check__shadow_rules_are_recorded_and_never_decide(engine: Engine, clock: FixedClock, lists: Lists) -> None:
    shipped = shipped_book().current(NOW)
    rules = dict(shipped.model_dump()["aml"])
    rules["geo_block"] = {"severity": "block", "shadow": True}
    add_customer(engine, "acct-1")
    result = Gate(engine, clock, Book(aml=rules), lists).check(replace(DEPOSIT, counterparty_country="KP"))
    assert result.decision is Decision.ACCEPTED
    assert rows(engine, "select rule_id, outcome, is_shadow, case_id from compliance.aml_alerts where is_shadow") == [
        ("geo_block", "hit", True, None)
    ]


def test_check__values_at_the_latest_price(engine: Engine, clock: FixedClock, lists: Lists) -> None:
    class Prices:
        def price_usd(self, asset: str) -> Decimal | None:
            return {"USDC": Decimal("1.0000000005")}.get(asset)

    gate = Gate(engine, clock, Book(), lists, Prices())
    gate.check(replace(DEPOSIT, amount_usd=None))
    gate.check(replace(DEPOSIT, amount_usd=None, asset="NONE", transaction_id="t2"))
    assert rows(engine, "select amount_usd from compliance.transaction_logs order by transaction_id") == [
        (Decimal("700.000000350"),),
        (None,),
    ]


def test_check__refuses_another_transaction_under_the_same_id(gate: Gate) -> None:
    gate.check(DEPOSIT, EVENT)
    for changes in ({"quantity": Decimal(7)}, {"account_id": "acct-2"}, {"counterparty_address": "0xdef"}):
        with pytest.raises(TransactionConflictError):
            gate.check(replace(DEPOSIT, **changes))
    with pytest.raises(TransactionConflictError):
        gate.check(DEPOSIT, EVENT | {"tx_hash": "0x98"})


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal(0)},
        {"quantity": Decimal("NaN")},
        {"amount_usd": Decimal(-1)},
        {"amount_usd": Decimal("Infinity")},
        {"kind": "theft"},
        {"account_id": ""},
        {"transaction_id": "a\x00b"},
        {"occurred_at": NOW + timedelta(minutes=3)},
        {"occurred_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - without a zone on purpose
    ],
)
def test_check__refuses_what_cannot_be_judged(gate: Gate, engine: Engine, changes: dict[str, Any]) -> None:
    with pytest.raises(ComplianceInputError):
        gate.check(replace(DEPOSIT, **changes))
    assert rows(engine, "select 1 from compliance.transaction_logs") == []


@pytest.mark.parametrize(
    "changes", [{"quantity": "7"}, {"kind": "draw"}, {"asset": "ETH"}, {"counterparty_country": "KP"}]
)
def test_check__refuses_an_event_that_says_otherwise(gate: Gate, changes: dict[str, Any]) -> None:
    with pytest.raises(ComplianceInputError):
        gate.check(DEPOSIT, EVENT | changes)
