"""The rule pack: every rule by its id, in the order in which people read them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from compliance.aml.rules.base import Parameters, Rule
from compliance.aml.rules.fan_in import fan_in
from compliance.aml.rules.flows import overcollateralised_drain, pass_through
from compliance.aml.rules.geography import geo_block, geo_edd, geo_review
from compliance.aml.rules.lifecycle import dormant_reactivation, new_account_large
from compliance.aml.rules.loans import quick_repay_other_wallet
from compliance.aml.rules.round_amounts import round_amounts
from compliance.aml.rules.structuring import structuring
from compliance.aml.rules.travel_rule import self_hosted_proof, travel_rule_data
from compliance.aml.rules.velocity import velocity_amount, velocity_count
from compliance.aml.rules.wallets import mixer_exposure, sanctioned_wallet

__all__ = ["RULES", "Parameters", "Rule"]

_PACK = {
    "sanctioned_wallet": sanctioned_wallet,
    "mixer_exposure": mixer_exposure,
    "geo_block": geo_block,
    "geo_edd": geo_edd,
    "geo_review": geo_review,
    "velocity_count": velocity_count,
    "velocity_amount": velocity_amount,
    "structuring": structuring,
    "pass_through": pass_through,
    "new_account_large": new_account_large,
    "dormant_reactivation": dormant_reactivation,
    "fan_in": fan_in,
    "round_amounts": round_amounts,
    "travel_rule_data": travel_rule_data,
    "self_hosted_proof": self_hosted_proof,
    "quick_repay_other_wallet": quick_repay_other_wallet,
    "overcollateralised_drain": overcollateralised_drain,
}

RULES: Mapping[str, Rule] = MappingProxyType({rule_id: Rule(rule_id, find) for rule_id, find in _PACK.items()})
