"""Many senders, one transfer out (FATF 2020: many small wallets, then one transfer)."""

from __future__ import annotations

from compliance.aml.conditions import Comparison, Finding, Limit, conclude
from compliance.aml.features import Features
from compliance.aml.rules.base import Parameters, is_going, is_transfer
from compliance.model import Direction, Transaction


def fan_in(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """Value leaves after many addresses that are new to the account have sent within 7 days.

    A deposit whose sender is not known could be one more.
    """
    fewest = parameters.whole("min_senders_7d")
    could_be_more = features.new_senders_7d + features.senders_unknown_7d >= fewest
    return conclude(
        [
            is_transfer(transaction),
            is_going(transaction, Direction.OUT),
            Limit(
                "new_senders_7d",
                "addresses that sent within 7 days and not in the 24 days before",
                features.new_senders_7d,
                Comparison.AT_LEAST,
                fewest,
                is_complete=not could_be_more,
                why_unknown="deposits without a known sender",
            ),
        ],
        senders_7d=str(features.senders_7d),
        senders_unknown_7d=str(features.senders_unknown_7d),
    )
