"""The gate with the real screener on lists in PostgreSQL: sanctioned wallets, mixers, and a step away from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text

from compliance.aml.gate import Gate
from compliance.errors import ComplianceNotReadyError
from compliance.model import AmlResult, Decision, Direction, RuleOutcome, RuleSeverity, Transaction
from compliance.screening.service import Screener
from infra.runtime.clock import FixedClock
from tests.integration.compliance.gate_world import shipped_book

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LISTED, MIXER, OTHER = "0x" + "b" * 40, "0x" + "c" * 40, "0x" + "d" * 40
DEPOSIT = Transaction(
    transaction_id="t1",
    account_id="acct-1",
    direction=Direction.IN,
    kind="deposit",
    side="collateral",
    asset="USDC",
    quantity=Decimal(700),
    amount_usd=Decimal(700),
    chain="ethereum",
    occurred_at=NOW - timedelta(hours=1),
    counterparty_address=OTHER,
    counterparty_country="CH",
    has_travel_rule_data=True,
    is_self_hosted=False,
)
PROFILE = text(
    "insert into compliance.users (user_id, reference, account_id, kind, pii_sealed, pii_key_id, pii_wrapped_key,"
    " name_hash, declared_profile_usd, created_at, updated_at)"
    " select a, a, a, 'person', '', 'k', '', 'h', 100000, :at, :at from unnest(array['acct-1', 'acct-2']) as a"
)


def activate(engine: Engine, list_name: str, topic: str, address: str) -> None:
    with engine.begin() as connection:
        for statement in (
            "insert into compliance.list_versions"
            " (list_version_id, list_name, content_hash, state, entries, wallets, loaded_at)"
            " values (:name || '-1', :name, 'x', 'active', 1, 1, now())",
            "insert into compliance.list_entries (list_version_id, entry_id, entry_hash, kind, topics, names, details)"
            " values (:name || '-1', 'e', 'h', 'wallet', array[:topic], '[]', '{}')",
            "insert into compliance.list_wallets (list_version_id, address, entry_id)"
            " values (:name || '-1', :address, 'e')",
        ):
            connection.execute(text(statement), {"name": list_name, "topic": topic, "address": address})


@pytest.fixture
def gate(engine: Engine, clock: FixedClock) -> Gate:
    with engine.begin() as connection:
        connection.execute(PROFILE, {"at": NOW - timedelta(days=9)})
    return Gate(engine, clock, shipped_book(), Screener(engine, clock))


def answer(result: AmlResult, rule_id: str) -> tuple[RuleOutcome, RuleSeverity]:
    found = next(each for each in result.results if each.rule_id == rule_id)
    return found.outcome, found.severity


def test_gate__blocks_a_wallet_of_the_list_in_any_writing(gate: Gate, engine: Engine) -> None:
    activate(engine, "ofac_sdn", "sanction", LISTED)
    result = gate.check(replace(DEPOSIT, counterparty_address=LISTED.upper().replace("0X", "0x")))
    assert result.decision is Decision.BLOCKED
    assert result.list_versions == {"ofac_sdn": "ofac_sdn-1"}
    assert gate.check(replace(DEPOSIT, transaction_id="t2")).decision is Decision.ACCEPTED


def test_gate__judges_nothing_without_a_list(gate: Gate) -> None:
    with pytest.raises(ComplianceNotReadyError):
        gate.check(DEPOSIT)


def test_gate__a_list_that_comes_later_counts_from_then_on(gate: Gate, engine: Engine) -> None:
    activate(engine, "ofac_sdn", "sanction", LISTED)
    before = gate.check(replace(DEPOSIT, counterparty_address=MIXER))
    activate(engine, "mixers", "crime.mixer", MIXER)
    after = gate.check(replace(DEPOSIT, transaction_id="t2", counterparty_address=MIXER))
    assert answer(before, "mixer_exposure")[0] is RuleOutcome.INSUFFICIENT_HISTORY
    assert answer(after, "mixer_exposure") == (RuleOutcome.HIT, RuleSeverity.HIGH)
    assert answer(after, "sanctioned_wallet")[0] is RuleOutcome.NO_HIT
    assert after.list_versions == {"ofac_sdn": "ofac_sdn-1", "mixers": "mixers-1"}


def test_gate__sees_a_mixer_one_step_away(gate: Gate, engine: Engine) -> None:
    activate(engine, "ofac_sdn", "sanction", LISTED)
    activate(engine, "mixers", "crime.mixer", MIXER)
    clean = gate.check(replace(DEPOSIT, transaction_id="t0", account_id="acct-2"))
    gate.check(replace(DEPOSIT, counterparty_address=MIXER))
    gate.check(replace(DEPOSIT, transaction_id="t2"))
    # Another account deals with the address that the one with the mixer deals with.
    found = gate.check(replace(DEPOSIT, transaction_id="t3", account_id="acct-2"))
    assert answer(clean, "mixer_exposure")[0] is RuleOutcome.NO_HIT
    assert answer(found, "mixer_exposure") == (RuleOutcome.HIT, RuleSeverity.MEDIUM)
