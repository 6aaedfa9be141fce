"""What holds of every rule, whatever the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from compliance.aml.features import Features, WalletOutcome
from compliance.aml.rules import RULES
from compliance.model import Direction, RuleOutcome, Transaction
from compliance.policy.parameters import ParameterValue

UNKNOWN = (RuleOutcome.ERROR, RuleOutcome.INSUFFICIENT_HISTORY)
SHARED: Mapping[str, dict[str, ParameterValue]] = {
    "geo_block": {"countries": ("IR", "KP")},
    "geo_edd": {"countries": ("MM",)},
    "geo_review": {"countries": ("DZ", "VE")},
    "travel_rule_data": {"threshold_usd": Decimal(1000)},
    "self_hosted_proof": {"threshold_usd": Decimal(1000)},
}
BASE = Transaction(
    transaction_id="t",
    account_id="a",
    direction=Direction.IN,
    kind="deposit",
    side="collateral",
    asset="USDC",
    quantity=Decimal(1),
    amount_usd=None,
    chain="ethereum",
    occurred_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
)
amounts = st.one_of(st.none(), st.decimals(0, 10**12, places=9))
features = st.builds(
    Features,
    count_1h=st.integers(0, 40),
    amount_24h_usd=st.decimals(0, 10**12, places=9),
    unpriced_24h=st.integers(0, 2),
    unpriced_7d=st.integers(0, 2),
    history_count_30d=st.integers(0, 20),
    p95_daily_30d_usd=amounts,
    inflow_24h_usd=st.decimals(0, 10**6, places=9),
    outflow_24h_usd=st.decimals(0, 10**6, places=9),
    inflow_unpriced_24h=st.integers(0, 1),
    new_senders_7d=st.integers(0, 20),
    senders_unknown_7d=st.integers(0, 20),
    declared_profile_usd=amounts,
    has_mixer_list=st.booleans(),
    is_mixer=st.sampled_from([None, True, False]),
    mixer_one_hop_count=st.integers(0, 2),
    wallet=st.sampled_from(WalletOutcome),
)
transactions = st.builds(
    replace,
    st.just(BASE),
    direction=st.sampled_from(Direction),
    kind=st.sampled_from(["deposit", "withdrawal", "draw", "repayment", "interest", "seizure"]),
    amount_usd=amounts,
    counterparty_address=st.sampled_from([None, "0xSECRET"]),
    counterparty_country=st.sampled_from([None, "CH", "KP"]),
    has_travel_rule_data=st.sampled_from([None, True, False]),
    is_self_hosted=st.sampled_from([None, True, False]),
)


@given(transactions, features)
def test_rules__always_answer_with_texts_and_never_with_an_address(transaction: Transaction, seen: Features) -> None:
    for rule_id, rule in RULES.items():
        result = rule.evaluate(transaction, seen, SHARED.get(rule_id, {}))
        assert all(isinstance(value, str) for value in result.evidence.values())
        assert "SECRET" not in f"{result.reason} {result.evidence}"
        assert (result.outcome in UNKNOWN) == result.reason.startswith("Could not run")


@given(transactions, features)
def test_rules__a_missing_price_never_makes_a_transaction_clean(transaction: Transaction, seen: Features) -> None:
    priced = replace(transaction, amount_usd=Decimal(10**6))
    for rule_id in ("travel_rule_data", "self_hosted_proof", "dormant_reactivation", "new_account_large"):
        with_price = RULES[rule_id].evaluate(priced, seen, SHARED.get(rule_id, {}))
        without = RULES[rule_id].evaluate(replace(priced, amount_usd=None), seen, SHARED.get(rule_id, {}))
        if with_price.outcome is not RuleOutcome.NO_HIT:
            assert without.outcome is not RuleOutcome.NO_HIT
