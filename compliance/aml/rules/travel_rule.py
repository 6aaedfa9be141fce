"""Data on originator and beneficiary, and who owns a wallet (31 CFR 1010.410; FATF R.16; Regulation (EU) 2023/1113)."""

from __future__ import annotations

from compliance.aml.conditions import Comparison, Fact, Finding, conclude
from compliance.aml.features import Features
from compliance.aml.rules.base import Parameters, amount, is_transfer
from compliance.model import Transaction


def travel_rule_data(transaction: Transaction, _features: Features, parameters: Parameters) -> Finding:
    """A transfer from the threshold on without the data; threshold 0: every transfer, priced or not."""
    threshold = parameters.decimal("threshold_usd")
    has_data = transaction.has_travel_rule_data
    return conclude(
        [
            is_transfer(transaction),
            *([amount(transaction, Comparison.AT_LEAST, threshold)] if threshold > 0 else []),
            Fact(
                "lacks_travel_rule_data",
                "data on originator and beneficiary are missing",
                None if has_data is None else not has_data,
                why_unknown="nobody stated whether the data are there",
            ),
        ]
    )


def self_hosted_proof(transaction: Transaction, _features: Features, parameters: Parameters) -> Finding:
    """A self-hosted wallet above the threshold that the customer has not proven to be theirs."""
    return conclude(
        [
            is_transfer(transaction),
            amount(transaction, Comparison.MORE_THAN, parameters.decimal("threshold_usd")),
            Fact(
                "is_self_hosted",
                "the wallet is self-hosted, so that ownership must be proven",
                transaction.is_self_hosted,
                why_unknown="nobody stated whether the wallet is self-hosted",
            ),
            # A proof that nobody stated is none.
            Fact(
                "lacks_ownership_proof",
                "nobody has seen the proof that the wallet is the customer's",
                transaction.has_ownership_proof is not True,
            ),
        ]
    )
