"""What may be judged at all: a transaction that is whole, and an event that says the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from compliance.errors import ComplianceInputError
from compliance.model import Direction, Transaction
from compliance.screening.addresses import normalise_address
from infra.runtime.clock import as_utc
from ingest.messages import ALLOWED_SKEW, QUANTITY_LIMIT, Kind, SettlementEvent, Side

AMOUNT_LIMIT = Decimal(10) ** 29
_TEXT_LIMIT = 200


def direction_of(event: SettlementEvent) -> Direction:
    """Whether value comes to the desk: collateral that grows, or a debt that shrinks."""
    grows = event.signed_quantity > 0
    return Direction.IN if grows is (event.side is Side.COLLATERAL) else Direction.OUT


def transaction_of_event(event: SettlementEvent) -> Transaction:
    """The event as monitoring sees it, not valued yet."""
    return Transaction(
        transaction_id=event.event_id,
        account_id=event.account_id,
        direction=direction_of(event),
        kind=event.kind.value,
        side=event.side.value,
        asset=event.asset,
        quantity=event.quantity,
        amount_usd=None,
        chain=event.chain,
        occurred_at=event.occurred_at,
        counterparty_address=event.counterparty_address,
        counterparty_country=event.counterparty_country,
        has_travel_rule_data=event.has_travel_rule_data,
        is_self_hosted=event.is_self_hosted,
        has_ownership_proof=event.has_ownership_proof,
    )


def admitted(transaction: Transaction, now: datetime) -> Transaction:
    """The transaction in its one form; raises `ComplianceInputError` that names the field, never its value."""
    texts = ("transaction_id", "account_id", "kind", "side", "asset", "chain")
    for name in texts:
        _check_text(name, getattr(transaction, name), is_needed=True)
    for name in ("counterparty_address", "counterparty_country"):
        _check_text(name, getattr(transaction, name), is_needed=False)
    if transaction.kind not in set(Kind) or transaction.side not in set(Side):
        raise ComplianceInputError("kind or side is none that settlements have")
    if not transaction.quantity.is_finite() or not 0 < transaction.quantity < QUANTITY_LIMIT:
        raise ComplianceInputError("quantity must be above 0 and below 10^20")
    amount = transaction.amount_usd
    if amount is not None and (not amount.is_finite() or not 0 <= amount < AMOUNT_LIMIT):
        raise ComplianceInputError("amount_usd must be at least 0 and below 10^29; leave it out where it is not known")
    if transaction.occurred_at.tzinfo is None:
        raise ComplianceInputError("occurred_at has no time zone")
    occurred_at = as_utc(transaction.occurred_at)
    if occurred_at > now + ALLOWED_SKEW:
        raise ComplianceInputError("occurred_at lies after the clock: history up to then is not known")
    address = _address(transaction.counterparty_address, transaction.chain)
    return replace(transaction, occurred_at=occurred_at, counterparty_address=address)


def admitted_event(event: Mapping[str, Any], transaction: Transaction) -> dict[str, Any]:
    """The event as it is published once the transaction is accepted; raises `ComplianceInputError`.

    Without an id of its own it gets the transaction's, so that it is one event however often it is sent. What the
    transaction says as well must be equal: what was judged is what settles.
    """
    try:
        found = SettlementEvent.model_validate({"event_id": transaction.transaction_id, **event})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'event'}: {e['msg']}" for e in error.errors())
        raise ComplianceInputError(f"The event is no settlement event: {wrong}") from None
    said = {
        "account_id": found.account_id == transaction.account_id,
        "asset": found.asset == transaction.asset,
        "side": found.side.value == transaction.side,
        "kind": found.kind.value == transaction.kind,
        "quantity": found.quantity == transaction.quantity,
        "occurred_at": found.occurred_at == transaction.occurred_at,
        "direction": direction_of(found) is transaction.direction,
        "counterparty_address": _address(found.counterparty_address, found.chain) == transaction.counterparty_address,
        "counterparty_country": found.counterparty_country == transaction.counterparty_country,
    }
    wrong_fields = sorted(name for name, is_equal in said.items() if not is_equal)
    if wrong_fields:
        raise ComplianceInputError(f"Event and transaction differ in {', '.join(wrong_fields)}.")
    return found.model_dump(mode="json")


def _check_text(name: str, value: str | None, *, is_needed: bool) -> None:
    if value is None and not is_needed:
        return
    if not value or len(value) > _TEXT_LIMIT or "\x00" in value:
        raise ComplianceInputError(f"{name} must have 1 to {_TEXT_LIMIT} characters, without NUL")


def _address(address: str | None, chain: str) -> str | None:
    """The form in which lists hold addresses, so that a wallet is one wallet; None for a blank one."""
    return normalise_address(address, chain) or None if address is not None else None
