"""The rule pack: what each rule hits, what it leaves alone, and what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from compliance.aml.features import Band, Features, WalletOutcome
from compliance.aml.rules import RULES
from compliance.model import Direction, RuleOutcome, RuleSeverity, Transaction
from compliance.policy.parameters import CATALOGUE, ParameterValue

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
D = Decimal
HIT, CLEAN, THIN, ERROR = RuleOutcome.HIT, RuleOutcome.NO_HIT, RuleOutcome.INSUFFICIENT_HISTORY, RuleOutcome.ERROR
IN, OUT = {"direction": Direction.IN, "kind": "deposit"}, {"direction": Direction.OUT, "kind": "withdrawal"}
REPAY = {"direction": Direction.IN, "kind": "repayment", "side": "borrow"}
BASE = Transaction(
    transaction_id="t",
    account_id="a",
    direction=Direction.IN,
    kind="deposit",
    side="collateral",
    asset="USDC",
    quantity=D(1),
    amount_usd=D(500),
    chain="ethereum",
    occurred_at=AT,
    counterparty_address="0x1",
    counterparty_country="CH",
    has_travel_rule_data=True,
    is_self_hosted=False,
)
QUIET = Features(
    count_1h=1,
    count_24h=1,
    count_7d=1,
    count_30d=1,
    declared_profile_usd=D(1_000_000),
    history_count_30d=5,
    p95_daily_30d_usd=D(1000),
    has_mixer_list=True,
    is_mixer=False,
    bands=tuple(Band(D(limit), 0, D(0), 0, D(0)) for limit in (1000, 3000, 10000)),
    wallet=WalletOutcome.CLEAR,
)
SHARED: Mapping[str, dict[str, ParameterValue]] = {
    "geo_block": {"countries": ("IR", "KP")},
    "geo_edd": {"countries": ("MM",)},
    "geo_review": {"countries": ("DZ", "VE")},
    "travel_rule_data": {"threshold_usd": D(1000)},
    "self_hosted_proof": {"threshold_usd": D(1000)},
}
FLOWS = {"inflow_24h_usd": D(10000), "outflow_24h_usd": D(8000)}
DRAIN = {"collateral_in_24h_usd": D(40000), "collateral_out_24h_usd": D(20000), "drawn_24h_usd": D(5000)}
USUAL = {"history_count_30d": 5, "p95_daily_30d_usd": D(1000)}


def bands(limit: int, day: tuple[int, int], week: tuple[int, int]) -> dict[str, Any]:
    full = Band(D(limit), day[0], D(day[1]), week[0], D(week[1]))
    return {"bands": tuple(full if each.limit_usd == limit else each for each in QUIET.bands)}


CASES: list[tuple[str, RuleOutcome, dict[str, Any], dict[str, Any]]] = [
    ("velocity_count", CLEAN, {}, {"count_1h": 10}),
    ("velocity_count", HIT, {}, {"count_1h": 11}),
    ("velocity_count", CLEAN, {"kind": "interest"}, {"count_1h": 11}),
    ("velocity_amount", THIN, {}, {"amount_24h_usd": D(10**9), "history_count_30d": 4, "p95_daily_30d_usd": D(1)}),
    ("velocity_amount", CLEAN, {}, {"amount_24h_usd": D(3000), **USUAL}),
    ("velocity_amount", HIT, {}, {"amount_24h_usd": D("3000.000000001"), **USUAL}),
    ("velocity_amount", ERROR, {}, {"amount_24h_usd": D(3000), "unpriced_24h": 1, **USUAL}),
    ("velocity_amount", HIT, {}, {"amount_24h_usd": D(4000), "unpriced_24h": 1, **USUAL}),
    ("velocity_amount", ERROR, {}, {"history_unpriced_30d": 5, "p95_daily_30d_usd": None}),
    ("structuring", CLEAN, {}, {}),
    ("structuring", HIT, {"amount_usd": D(950)}, bands(1000, (3, 2850), (3, 2850))),
    ("structuring", HIT, {"amount_usd": D(950)}, bands(1000, (1, 950), (3, 2850))),
    ("structuring", CLEAN, {"amount_usd": D(950)}, bands(1000, (2, 1900), (2, 1900))),
    ("structuring", CLEAN, {"amount_usd": D(1000)}, bands(1000, (3, 2850), (3, 2850))),
    ("structuring", CLEAN, {"amount_usd": D("899.99")}, bands(1000, (3, 2850), (3, 2850))),
    ("structuring", HIT, {"amount_usd": D(9000)}, bands(10000, (3, 27000), (3, 27000))),
    ("structuring", ERROR, {"amount_usd": D(950)}, bands(1000, (2, 1900), (2, 1900)) | {"unpriced_7d": 1}),
    ("structuring", ERROR, {"amount_usd": None}, {"unpriced_24h": 1, "unpriced_7d": 1}),
    ("structuring", ERROR, {"amount_usd": D(950)}, {"bands": ()}),
    ("pass_through", HIT, OUT, FLOWS),
    ("pass_through", CLEAN, OUT, FLOWS | {"outflow_24h_usd": D("7999.99")}),
    ("pass_through", CLEAN, IN, FLOWS),
    ("pass_through", CLEAN, OUT, {"inflow_24h_usd": D(999), "outflow_24h_usd": D(999)}),
    ("pass_through", ERROR, OUT, FLOWS | {"inflow_unpriced_24h": 1}),
    ("pass_through", ERROR, OUT, FLOWS | {"outflow_24h_usd": D(1), "outflow_unpriced_24h": 1}),
    ("pass_through", HIT, OUT, FLOWS | {"outflow_unpriced_24h": 1}),
    ("new_account_large", CLEAN, {"amount_usd": D(5000)}, {"declared_profile_usd": D(1000)}),
    ("new_account_large", HIT, {"amount_usd": D(5001)}, {"declared_profile_usd": D(1000)}),
    ("new_account_large", CLEAN, {"amount_usd": D(9000)}, {"declared_profile_usd": D(1000), "has_prior_deposit": True}),
    ("new_account_large", CLEAN, OUT | {"amount_usd": D(9000)}, {"declared_profile_usd": D(1000)}),
    ("new_account_large", ERROR, {}, {"declared_profile_usd": None}),
    ("new_account_large", ERROR, {"amount_usd": None}, {}),
    ("dormant_reactivation", HIT, {"amount_usd": D(1001)}, {"last_activity_at": AT - 180 * DAY}),
    ("dormant_reactivation", CLEAN, {"amount_usd": D(1000)}, {"last_activity_at": AT - 180 * DAY}),
    ("dormant_reactivation", CLEAN, {"amount_usd": D(1001)}, {"last_activity_at": AT - 180 * DAY + HOUR}),
    ("dormant_reactivation", CLEAN, {"amount_usd": D(1001)}, {"customer_since": AT - 179 * DAY}),
    ("dormant_reactivation", THIN, {"amount_usd": D(1001)}, {"customer_since": AT - 180 * DAY}),
    ("dormant_reactivation", ERROR, {"amount_usd": None}, {"last_activity_at": AT - 180 * DAY}),
    ("fan_in", HIT, OUT, {"new_senders_7d": 10}),
    ("fan_in", CLEAN, OUT, {"new_senders_7d": 9}),
    ("fan_in", CLEAN, IN, {"new_senders_7d": 10}),
    ("fan_in", CLEAN, OUT, {"new_senders_7d": 8, "senders_unknown_7d": 1}),
    ("fan_in", ERROR, OUT, {"new_senders_7d": 8, "senders_unknown_7d": 2}),
    ("round_amounts", HIT, {"amount_usd": D(2000)}, {"round_count_7d": 5}),
    ("round_amounts", CLEAN, {"amount_usd": D(2000)}, {"round_count_7d": 4}),
    ("round_amounts", CLEAN, {"amount_usd": D("2000.01")}, {"round_count_7d": 5}),
    ("round_amounts", CLEAN, {"amount_usd": D(0)}, {"round_count_7d": 5}),
    ("round_amounts", ERROR, {"amount_usd": D(2000)}, {"round_count_7d": 4, "unpriced_7d": 1}),
    ("round_amounts", ERROR, {"amount_usd": None}, {"unpriced_7d": 1}),
    ("sanctioned_wallet", CLEAN, {}, {}),
    ("sanctioned_wallet", HIT, {}, {"wallet": WalletOutcome.HIT, "wallet_entries": ("ofac_sdn:1",)}),
    ("sanctioned_wallet", ERROR, {}, {"wallet": WalletOutcome.ERROR}),
    ("sanctioned_wallet", ERROR, {}, {"wallet": WalletOutcome.NOT_SCREENED}),
    ("sanctioned_wallet", ERROR, {"counterparty_address": None}, {"wallet": WalletOutcome.NOT_SCREENED}),
    (
        "sanctioned_wallet",
        CLEAN,
        {"kind": "seizure", "counterparty_address": None},
        {"wallet": WalletOutcome.NOT_SCREENED},
    ),
    ("mixer_exposure", CLEAN, {}, {}),
    ("mixer_exposure", HIT, {}, {"is_mixer": True}),
    ("mixer_exposure", HIT, {}, {"mixer_one_hop_count": 1}),
    ("mixer_exposure", THIN, {}, {"has_mixer_list": False}),
    ("mixer_exposure", ERROR, {"counterparty_address": None}, {"is_mixer": None}),
    ("mixer_exposure", HIT, {"counterparty_address": None}, {"is_mixer": None, "mixer_one_hop_count": 2}),
    ("geo_block", CLEAN, {}, {}),
    ("geo_block", HIT, {"counterparty_country": "KP"}, {}),
    ("geo_block", ERROR, {"counterparty_country": None}, {}),
    ("geo_block", CLEAN, {"counterparty_country": None, "kind": "interest"}, {}),
    ("geo_edd", HIT, {"counterparty_country": "MM"}, {}),
    ("geo_edd", CLEAN, {"counterparty_country": "KP"}, {}),
    ("geo_review", CLEAN, {}, {}),
    ("geo_review", HIT, {"counterparty_country": "VE"}, {}),
    ("travel_rule_data", CLEAN, {"amount_usd": D(1000)}, {}),
    ("travel_rule_data", HIT, {"amount_usd": D(1000), "has_travel_rule_data": False}, {}),
    ("travel_rule_data", CLEAN, {"amount_usd": D("999.99"), "has_travel_rule_data": False}, {}),
    ("travel_rule_data", ERROR, {"amount_usd": D(1000), "has_travel_rule_data": None}, {}),
    ("travel_rule_data", ERROR, {"amount_usd": None, "has_travel_rule_data": False}, {}),
    ("self_hosted_proof", HIT, {"amount_usd": D(1001), "is_self_hosted": True}, {}),
    ("self_hosted_proof", HIT, {"amount_usd": D(1001), "is_self_hosted": True, "has_ownership_proof": False}, {}),
    ("self_hosted_proof", CLEAN, {"amount_usd": D(1001), "is_self_hosted": True, "has_ownership_proof": True}, {}),
    ("self_hosted_proof", CLEAN, {"amount_usd": D(1000), "is_self_hosted": True}, {}),
    ("self_hosted_proof", CLEAN, {"amount_usd": D(1001)}, {}),
    ("self_hosted_proof", ERROR, {"amount_usd": D(1001), "is_self_hosted": None}, {}),
    ("quick_repay_other_wallet", HIT, REPAY | {"amount_usd": D(1000)}, {"draw_other_wallet_at": AT - 24 * HOUR}),
    ("quick_repay_other_wallet", CLEAN, REPAY | {"amount_usd": D(1000)}, {"draw_other_wallet_at": AT - 25 * HOUR}),
    ("quick_repay_other_wallet", CLEAN, REPAY | {"amount_usd": D(999)}, {"draw_other_wallet_at": AT - HOUR}),
    ("quick_repay_other_wallet", CLEAN, IN | {"amount_usd": D(1000)}, {"draw_other_wallet_at": AT - HOUR}),
    ("quick_repay_other_wallet", ERROR, REPAY | {"amount_usd": D(1000)}, {"draw_unknown_wallet_at": AT - HOUR}),
    ("quick_repay_other_wallet", ERROR, REPAY | {"amount_usd": None}, {"draw_other_wallet_at": AT - HOUR}),
    ("overcollateralised_drain", HIT, OUT | {"amount_usd": D(20000)}, DRAIN),
    ("overcollateralised_drain", CLEAN, OUT | {"amount_usd": D(9999)}, DRAIN),
    ("overcollateralised_drain", CLEAN, OUT | {"amount_usd": D(20000)}, DRAIN | {"drawn_24h_usd": D(20000)}),
    ("overcollateralised_drain", CLEAN, OUT | {"amount_usd": D(19000)}, DRAIN | {"collateral_out_24h_usd": D(19000)}),
    ("overcollateralised_drain", CLEAN, OUT | {"amount_usd": D(20000)}, DRAIN | {"collateral_in_24h_usd": D(0)}),
    ("overcollateralised_drain", ERROR, OUT | {"amount_usd": D(20000)}, DRAIN | {"inflow_unpriced_24h": 1}),
]


@pytest.mark.parametrize(("rule_id", "outcome", "moved", "seen"), CASES)
def test_rule__says(rule_id: str, outcome: RuleOutcome, moved: dict[str, Any], seen: dict[str, Any]) -> None:
    result = RULES[rule_id].evaluate(replace(BASE, **moved), replace(QUIET, **seen), SHARED.get(rule_id, {}))
    assert (result.rule_id, result.outcome) == (rule_id, outcome)
    assert result.severity is CATALOGUE[rule_id].severity or rule_id == "mixer_exposure"


def test_rules__are_those_of_the_catalogue_and_each_is_tested_both_ways() -> None:
    assert set(RULES) == set(CATALOGUE)
    for rule_id in RULES:
        assert {HIT, CLEAN} <= {outcome for tested, outcome, _, _ in CASES if tested == rule_id}


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_rule__is_clean_on_a_quiet_account(rule_id: str) -> None:
    assert RULES[rule_id].evaluate(BASE, QUIET, SHARED.get(rule_id, {})).outcome is CLEAN


# (rule, parameter, value): with it the case that hits by default must not hit, and the text must name it.
CHANGED: list[tuple[str, str, ParameterValue, str, dict[str, Any], dict[str, Any]]] = [
    ("velocity_count", "max_count_1h", 23, "more than 23", {}, {"count_1h": 11}),
    ("velocity_amount", "multiple", D(7), "more than 7000 USD", {}, {"amount_24h_usd": D(4000), **USUAL}),
    ("velocity_amount", "min_history_count", 6, "of 6 that", {}, {"amount_24h_usd": D(4000), **USUAL}),
    ("pass_through", "out_pct", D(85), "at least 8500 USD", OUT, FLOWS),
    ("pass_through", "min_in_usd", D(10001), "at least 10001 USD", OUT, FLOWS),
    (
        "new_account_large",
        "multiple",
        D(9),
        "more than 9000 USD",
        {"amount_usd": D(6000)},
        {"declared_profile_usd": D(1000)},
    ),
    (
        "dormant_reactivation",
        "idle_days",
        181,
        "at least 181",
        {"amount_usd": D(1001)},
        {"last_activity_at": AT - 180 * DAY},
    ),
    (
        "dormant_reactivation",
        "min_usd",
        D(1500),
        "more than 1500 USD",
        {"amount_usd": D(1001)},
        {"last_activity_at": AT - 180 * DAY},
    ),
    ("fan_in", "min_senders_7d", 12, "at least 12", OUT, {"new_senders_7d": 10}),
    ("round_amounts", "modulus_usd", D(1500), "multiple of 1500 USD", {"amount_usd": D(2000)}, {"round_count_7d": 5}),
    ("round_amounts", "min_count", 6, "at least 6", {"amount_usd": D(2000)}, {"round_count_7d": 5}),
    ("geo_block", "countries", ("IR",), "(IR)", {"counterparty_country": "KP"}, {}),
    (
        "travel_rule_data",
        "threshold_usd",
        D(3000),
        "at least 3000 USD",
        {"amount_usd": D(1000), "has_travel_rule_data": False},
        {},
    ),
    (
        "self_hosted_proof",
        "threshold_usd",
        D(2000),
        "more than 2000 USD",
        {"amount_usd": D(1001), "is_self_hosted": True},
        {},
    ),
    (
        "quick_repay_other_wallet",
        "within_hours",
        3,
        "within 3 hours",
        REPAY | {"amount_usd": D(1000)},
        {"draw_other_wallet_at": AT - 4 * HOUR},
    ),
    (
        "quick_repay_other_wallet",
        "min_usd",
        D(1200),
        "at least 1200 USD",
        REPAY | {"amount_usd": D(1000)},
        {"draw_other_wallet_at": AT - HOUR},
    ),
    ("overcollateralised_drain", "out_pct", D(60), "at least 24000 USD", OUT | {"amount_usd": D(20000)}, DRAIN),
    ("overcollateralised_drain", "min_usd", D(30000), "at least 30000 USD", OUT | {"amount_usd": D(20000)}, DRAIN),
    ("structuring", "min_count", 4, "at least 4", {"amount_usd": D(950)}, bands(1000, (3, 2850), (3, 2850))),
    (
        "structuring",
        "band_from_pct",
        D(96),
        "at least 960 USD",
        {"amount_usd": D(950)},
        bands(1000, (3, 2850), (3, 2850)),
    ),
]


@pytest.mark.parametrize(("rule_id", "name", "value", "words", "moved", "seen"), CHANGED)
def test_rule__verdict_and_text_follow_the_same_parameter(
    rule_id: str, name: str, value: ParameterValue, words: str, moved: dict[str, Any], seen: dict[str, Any]
) -> None:
    transaction, features, shared = replace(BASE, **moved), replace(QUIET, **seen), SHARED.get(rule_id, {})
    before = RULES[rule_id].evaluate(transaction, features, shared)
    after = RULES[rule_id].evaluate(transaction, features, {**shared, name: value})
    assert before.outcome is HIT
    assert after.outcome is not HIT
    # Of several limits structuring tells of the first one.
    assert words in after.reason or rule_id == "structuring"
    assert words not in before.reason


def test_structuring__tells_of_the_band_that_hits() -> None:
    seen = replace(QUIET, **bands(3000, (3, 8400), (3, 8400)))
    result = RULES["structuring"].evaluate(replace(BASE, amount_usd=D(2800)), seen, {})
    assert (result.evidence["band_limit_usd"], result.evidence["count_24h"], result.evidence["sum_24h_usd"]) == (
        "3000",
        "3",
        "8400",
    )
    assert "3 (the rule asks for at least 3)" in result.reason


def test_mixer_exposure__weighs_one_hop_less_and_names_its_lists() -> None:
    rule = RULES["mixer_exposure"]
    parameters: dict[str, ParameterValue] = {"one_hop_severity": "low", "topics": ("x.mixer",)}
    direct = rule.evaluate(BASE, replace(QUIET, is_mixer=True, mixer_one_hop_count=1), parameters)
    one_hop = rule.evaluate(BASE, replace(QUIET, mixer_one_hop_count=1, is_hub=True), parameters)
    assert (direct.severity, direct.evidence["hops"]) == (RuleSeverity.HIGH, "0")
    assert (one_hop.severity, one_hop.evidence["hops"]) == (RuleSeverity.LOW, "1")
    assert "not followed" in one_hop.evidence["is_service"]
    assert "x.mixer" in direct.reason


def test_rule__weighs_what_the_policy_says() -> None:
    result = RULES["geo_edd"].evaluate(BASE, QUIET, {"severity": "block", "countries": ("CH",)})
    assert (result.outcome, result.severity) == (HIT, RuleSeverity.BLOCK)


def test_rule__without_its_parameters_raises_and_is_not_clean() -> None:
    with pytest.raises(KeyError):
        RULES["geo_block"].evaluate(BASE, QUIET, {})
