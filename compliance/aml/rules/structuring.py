"""Amounts just under a threshold (FATF 2020: under record-keeping or reporting thresholds)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import reduce

from compliance.aml.conditions import Comparison, Condition, Finding, Limit, conclude, heavier, plain
from compliance.aml.features import Features
from compliance.aml.rules.base import NO_PRICE, USD, Parameters, amount, is_transfer
from compliance.model import RuleOutcome, Transaction


def structuring(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """Several amounts just under one limit, this one among them, which together exceed it, in 24 hours or 7 days.

    Amounts of one direction. An amount without a price could lie in any band.
    """
    share = parameters.decimal("band_from_pct")
    fewest = parameters.whole("min_count")
    found = [
        finding
        for limit in parameters.decimals("limits_usd")
        for finding in _under(transaction, features, limit, share, fewest)
    ]
    return reduce(heavier, found)


def _under(
    transaction: Transaction, features: Features, limit: Decimal, share: Decimal, fewest: int
) -> Iterator[Finding]:
    """The findings of both windows; one where the amount lies outside of the band, which makes both clean."""
    place: list[Condition] = [
        is_transfer(transaction),
        amount(transaction, Comparison.AT_LEAST, limit * share / 100),
        Limit("below_usd", "amount", transaction.amount_usd, Comparison.LESS_THAN, limit, USD, why_unknown=NO_PRICE),
    ]
    inside = conclude(place)
    if inside.outcome is RuleOutcome.NO_HIT:
        yield inside
        return
    band = features.band(limit)
    day = (band.count_24h, band.sum_24h_usd) if band is not None else (None, None)
    week = (band.count_7d, band.sum_7d_usd) if band is not None else (None, None)
    why = NO_PRICE if band is not None else f"the band under {plain(limit)} USD was not computed"
    for window, suffix, (count, total), unpriced in (
        ("24 hours", "24h", day, features.unpriced_24h),
        ("7 days", "7d", week, features.unpriced_7d),
    ):
        words = f"from {plain(share)} % of {plain(limit)} USD up to below it within {window}"
        is_whole = unpriced == 0
        least, above = Comparison.AT_LEAST, Comparison.MORE_THAN
        yield conclude(
            [
                *place,
                Limit(f"count_{suffix}", f"amounts {words}", count, least, fewest, "", is_whole, why_unknown=why),
                Limit(f"sum_{suffix}_usd", f"sum {words}", total, above, limit, USD, is_whole, why_unknown=why),
            ],
            band_limit_usd=plain(limit),
            band_from_pct=plain(share),
            window=window,
        )
