"""Many transactions, or far more value than usual (FATF 2020: high-value transactions in a short time)."""

from __future__ import annotations

from compliance.aml.conditions import Comparison, Finding, Limit, conclude, plain
from compliance.aml.features import Features
from compliance.aml.rules.base import NO_PRICE, USD, Parameters, is_transfer
from compliance.model import RuleOutcome, Transaction


def velocity_count(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """More transactions within an hour than an account makes."""
    most = parameters.whole("max_count_1h")
    return conclude(
        [
            is_transfer(transaction),
            Limit("count_1h", "transactions within 1 hour", features.count_1h, Comparison.MORE_THAN, most),
        ]
    )


def velocity_amount(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """More value within a day than a multiple of the 95th percentile of the days before.

    Too few transactions in the 30 days before: nothing is usual yet. One of them without a price: the percentile would
    be too low, which makes hits more likely and is therefore taken; a sum of today that lacks a price is a lower bound.
    """
    multiple = parameters.decimal("multiple")
    fewest = parameters.whole("min_history_count")
    usual = features.p95_daily_30d_usd if features.history_count_30d >= fewest else None
    is_thin = features.history_count_30d < fewest
    many = Limit(
        "amount_24h_usd",
        f"amount within 24 hours, where {plain(multiple)} times the usual most of a day is the limit",
        features.amount_24h_usd if usual is not None else None,
        Comparison.MORE_THAN,
        multiple * (usual or 0),
        USD,
        is_complete=features.unpriced_24h == 0,
        unknown=RuleOutcome.INSUFFICIENT_HISTORY if is_thin else RuleOutcome.ERROR,
        why_unknown=(
            f"{features.history_count_30d} transactions in the 30 days before, of {fewest} that are needed"
            if is_thin
            else NO_PRICE
        ),
    )
    return conclude(
        [is_transfer(transaction), many],
        history_count_30d=str(features.history_count_30d),
        history_unpriced_30d=str(features.history_unpriced_30d),
        p95_daily_30d_usd="none" if usual is None else plain(usual),
        multiple=plain(multiple),
    )
