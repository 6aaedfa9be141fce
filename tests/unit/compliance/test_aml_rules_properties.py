"""What holds of every rule, whatever the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from compliance.aml.features import Band, Features, WalletOutcome
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
READY = {rule_id: rule.ready(SHARED.get(rule_id, {})) for rule_id, rule in RULES.items()}
WEIGHT = (RuleOutcome.NO_HIT, RuleOutcome.INSUFFICIENT_HISTORY, RuleOutcome.ERROR, RuleOutcome.HIT)
bands = st.tuples(st.integers(0, 5), st.decimals(0, 20_000, places=2))
amounts = st.one_of(
    st.none(), st.sampled_from([Decimal(950), Decimal(2999), Decimal(9000)]), st.decimals(0, 10**12, places=9)
)
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
def test_rules__what_judges_ask_is_the_whole_answer_wherever_something_was_found(
    transaction: Transaction, seen: Features
) -> None:
    for rule_id, ready in READY.items():
        asked, whole = ready(transaction, seen), RULES[rule_id].evaluate(transaction, seen, SHARED.get(rule_id, {}))
        if whole.outcome is RuleOutcome.NO_HIT:
            assert (asked.outcome, asked.severity) == (whole.outcome, whole.severity)
        else:
            assert asked == whole


@given(transactions.filter(lambda each: each.kind == "deposit"), features, st.lists(bands, min_size=3, max_size=3))
def test_structuring__leaving_out_bands_that_the_amount_is_not_in_changes_no_verdict(
    transaction: Transaction, seen: Features, found: list[tuple[int, Decimal]]
) -> None:
    limits = (Decimal(1000), Decimal(3000), Decimal(10000))
    computed = tuple(
        Band(limit, count, total, count + 1, total * 2) for limit, (count, total) in zip(limits, found, strict=True)
    )
    result = RULES["structuring"].evaluate(transaction, replace(seen, bands=computed), {})
    assert result.outcome is max(
        (_under(transaction.amount_usd, seen, band, days) for band in computed for days in (1, 7)), key=WEIGHT.index
    )


def _under(amount: Decimal | None, seen: Features, band: Band, days: int) -> RuleOutcome:
    """One band and window, said anew: false before unknown before hit."""
    count, total = (band.count_24h, band.sum_24h_usd) if days == 1 else (band.count_7d, band.sum_7d_usd)
    is_whole = (seen.unpriced_24h if days == 1 else seen.unpriced_7d) == 0
    is_inside = None if amount is None else band.limit_usd * 9 / 10 <= amount < band.limit_usd
    answers = [
        is_inside,
        *(True if found else False if is_whole else None for found in (count >= 3, total > band.limit_usd)),
    ]
    if False in answers:
        return RuleOutcome.NO_HIT
    return RuleOutcome.ERROR if None in answers else RuleOutcome.HIT


@given(transactions, features)
def test_rules__a_missing_price_never_makes_a_transaction_clean(transaction: Transaction, seen: Features) -> None:
    priced = replace(transaction, amount_usd=Decimal(10**6))
    for rule_id in ("travel_rule_data", "self_hosted_proof", "dormant_reactivation", "new_account_large"):
        with_price = RULES[rule_id].evaluate(priced, seen, SHARED.get(rule_id, {}))
        without = RULES[rule_id].evaluate(replace(priced, amount_usd=None), seen, SHARED.get(rule_id, {}))
        if with_price.outcome is not RuleOutcome.NO_HIT:
            assert without.outcome is not RuleOutcome.NO_HIT
