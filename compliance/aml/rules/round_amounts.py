"""Many round amounts: practice, of low weight."""

from __future__ import annotations

from decimal import Decimal

from compliance.aml.conditions import Comparison, Fact, Finding, Limit, conclude, plain
from compliance.aml.features import Features
from compliance.aml.rules.base import NO_PRICE, Parameters, is_transfer
from compliance.model import Transaction


def round_amounts(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """Several round amounts within 7 days, this one among them."""
    modulus = parameters.decimal("modulus_usd")
    return conclude(
        [
            is_transfer(transaction),
            Fact(
                "is_round",
                f"the amount is a multiple of {plain(modulus)} USD",
                _is_round(transaction.amount_usd, modulus),
                why_unknown=NO_PRICE,
            ),
            Limit(
                "round_count_7d",
                f"multiples of {plain(modulus)} USD within 7 days",
                features.round_count_7d,
                Comparison.AT_LEAST,
                parameters.whole("min_count"),
                is_complete=features.unpriced_7d == 0,
                why_unknown=NO_PRICE,
            ),
        ]
    )


def _is_round(amount_usd: Decimal | None, modulus: Decimal) -> bool | None:
    if amount_usd is None:
        return None
    return amount_usd > 0 and amount_usd % modulus == 0
