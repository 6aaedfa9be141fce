"""What a transaction is worth in USD, where the caller does not say."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Protocol

from compliance.model import Transaction

_USD = Decimal("1e-9")
_CONTEXT = Context(prec=80, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])


class Valuation(Protocol):
    """Where prices come from."""

    def price_usd(self, asset: str) -> Decimal | None:
        """USD for one unit; None where no price may be relied upon."""
        ...


def valued(transaction: Transaction, valuation: Valuation | None) -> Transaction:
    """The transaction with an amount in USD to nine decimals; without a usable price it stays unknown, never zero."""
    if transaction.amount_usd is not None or valuation is None:
        return transaction
    price = valuation.price_usd(transaction.asset)
    if price is None or not price.is_finite() or price <= 0:
        return transaction
    amount = _CONTEXT.quantize(_CONTEXT.multiply(transaction.quantity, price), _USD)
    return replace(transaction, amount_usd=amount)
