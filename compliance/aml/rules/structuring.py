"""Amounts just under a threshold (FATF 2020: under record-keeping or reporting thresholds)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import reduce

from compliance.aml.conditions import Comparison, Finding, Limit, conclude, heavier, plain
from compliance.aml.features import Features
from compliance.aml.rules.base import NO_PRICE, USD, Parameters, amount, is_transfer
from compliance.model import Transaction


def structuring(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """Several amounts just under one limit, this one among them, which together exceed it, in 24 hours or 7 days.

    Amounts of one direction. An amount without a price could lie in any band.
    """
    share = parameters.decimal("band_from_pct")
    fewest = parameters.whole("min_count")
    found = [
        _under(transaction, features, limit, share, fewest, days)
        for limit in parameters.decimals("limits_usd")
        for days in (1, 7)
    ]
    return reduce(heavier, found)


def _under(
    transaction: Transaction, features: Features, limit: Decimal, share: Decimal, fewest: int, days: int
) -> Finding:
    window = "24 hours" if days == 1 else "7 days"
    suffix = "24h" if days == 1 else "7d"
    band = features.band(limit)
    count = None if band is None else band.count_24h if days == 1 else band.count_7d
    total = None if band is None else band.sum_24h_usd if days == 1 else band.sum_7d_usd
    unpriced = features.unpriced_24h if days == 1 else features.unpriced_7d
    words = f"from {plain(share)} % of {plain(limit)} USD up to below it within {window}"
    why = NO_PRICE if band is not None else f"the band under {plain(limit)} USD was not computed"
    is_whole = unpriced == 0
    least, total_limit = Comparison.AT_LEAST, Comparison.MORE_THAN
    return conclude(
        [
            is_transfer(transaction),
            amount(transaction, least, limit * share / 100),
            replace(amount(transaction, Comparison.LESS_THAN, limit), name="below_usd"),
            Limit(f"count_{suffix}", f"amounts {words}", count, least, fewest, "", is_whole, why_unknown=why),
            Limit(f"sum_{suffix}_usd", f"sum {words}", total, total_limit, limit, USD, is_whole, why_unknown=why),
        ],
        band_limit_usd=plain(limit),
        band_from_pct=plain(share),
        window=window,
    )
