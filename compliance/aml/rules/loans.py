"""Loans that are drawn and repaid by different wallets: the loan turns one's coins into another's."""

from __future__ import annotations

from datetime import timedelta

from compliance.aml.conditions import Comparison, Fact, Finding, conclude, moment
from compliance.aml.features import Features
from compliance.aml.rules.base import Parameters, amount
from compliance.model import Transaction


def quick_repay_other_wallet(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """A repayment soon after a draw to another wallet."""
    hours = parameters.whole("within_hours")
    since = transaction.occurred_at - timedelta(hours=hours)
    other, unknown = features.draw_other_wallet_at, features.draw_unknown_wallet_at
    is_other = other is not None and other >= since
    is_unknown = unknown is not None and unknown >= since
    return conclude(
        [
            Fact("is_repayment", "a loan is repaid", transaction.kind == "repayment"),
            Fact(
                "is_other_wallet",
                f"within {hours} hours after a draw to another wallet",
                True if is_other else None if is_unknown else False,
                why_unknown="a wallet of the draw or of the repayment is not known",
            ),
            amount(transaction, Comparison.AT_LEAST, parameters.decimal("min_usd")),
        ],
        draw_other_wallet_at=moment(other),
    )
