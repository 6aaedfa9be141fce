"""Value that does not stay (FATF 2020: deposit, then immediate withdrawal or conversion)."""

from __future__ import annotations

from decimal import Decimal

from compliance.aml.conditions import Comparison, Fact, Finding, Limit, conclude, plain
from compliance.aml.features import Features
from compliance.aml.rules.base import NO_PRICE, USD, Parameters, amount, is_going, is_transfer
from compliance.model import Direction, Transaction


def pass_through(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """Most of what came in within 24 hours leaves again after it, and this transaction is part of it."""
    share = parameters.decimal("out_pct")
    came, left = features.inflow_24h_usd, features.outflow_24h_usd
    is_whole = features.inflow_unpriced_24h == 0
    # What came in without a price would make the limit higher: then the limit itself is not known.
    is_hidden = not is_whole or (features.outflow_unpriced_24h > 0 and left < came * share / 100)
    return conclude(
        [
            is_transfer(transaction),
            is_going(transaction, Direction.OUT),
            Limit(
                "inflow_24h_usd",
                "came in within 24 hours",
                came,
                Comparison.AT_LEAST,
                parameters.decimal("min_in_usd"),
                USD,
                is_complete=is_whole,
                why_unknown=NO_PRICE,
            ),
            Limit(
                "outflow_24h_usd",
                f"left since the first of it, where {plain(share)} % of it is the limit",
                None if is_hidden else left,
                Comparison.AT_LEAST,
                came * share / 100,
                USD,
                why_unknown=NO_PRICE,
            ),
        ],
        out_pct=plain(share),
    )


def overcollateralised_drain(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """Collateral that came in within 24 hours leaves again, and more of it than was borrowed in that time."""
    share = parameters.decimal("out_pct")
    came, left, drawn = features.collateral_in_24h_usd, features.collateral_out_24h_usd, features.drawn_24h_usd
    is_whole = features.inflow_unpriced_24h + features.outflow_unpriced_24h == 0
    return conclude(
        [
            Fact("is_withdrawal", "collateral is withdrawn", transaction.kind == "withdrawal"),
            amount(transaction, Comparison.AT_LEAST, parameters.decimal("min_usd")),
            Limit(
                "collateral_in_24h_usd",
                "collateral that came in within 24 hours",
                came,
                Comparison.MORE_THAN,
                Decimal(0),
                USD,
                is_complete=is_whole,
                why_unknown=NO_PRICE,
            ),
            Limit(
                "collateral_out_24h_usd",
                f"collateral that left, where {plain(share)} % of it is the limit",
                left if is_whole else None,
                Comparison.AT_LEAST,
                came * share / 100,
                USD,
                why_unknown=NO_PRICE,
            ),
            Limit(
                "drawn_24h_usd",
                "drawn in that time, where the collateral that left is the limit",
                drawn if is_whole else None,
                Comparison.LESS_THAN,
                left,
                USD,
                why_unknown=NO_PRICE,
            ),
        ],
        out_pct=plain(share),
    )
