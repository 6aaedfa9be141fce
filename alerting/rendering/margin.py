"""The facts of a margin event as alerts tell them, with what cures the shortfall."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from alerting.errors import TemplateError
from alerting.events import Severity
from alerting.rendering import fields
from alerting.rendering.fields import Payload
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.margin import Cure, cure

MAX_DEDUP_KEY = 255


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one asset at which health reaches a threshold, or why there is none."""

    asset: str
    threshold_pct: Decimal
    price_usd: Decimal | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class MarginFacts:
    """What a margin event says; percentages in percent.

    `health_pct` is None where it is not known, whatever the event carries: an unpriced account's is not current.
    `prices` are those of the lowest threshold, which is that of liquidation. `cure` leads to `target_pct`; None where
    it cannot be known.
    """

    account_id: str
    severity: Severity
    previous: str | None
    episode_id: str
    health_pct: Decimal | None
    threshold_pct: Decimal | None
    collateral_usd: Decimal
    borrow_usd: Decimal
    prices: tuple[Price, ...]
    unpriced_assets: tuple[str, ...]
    unpriced_reason: str | None
    is_simulated: bool
    detected_at: datetime
    target_pct: Decimal
    cure: Cure | None

    @property
    def has_health(self) -> bool:
        """Whether health is known."""
        return self.health_pct is not None

    @property
    def is_better(self) -> bool:
        """Whether health has risen past the threshold: after liquidation, a margin call tells of the way up."""
        return self.health_pct is not None and self.threshold_pct is not None and self.health_pct >= self.threshold_pct


def margin_facts(payload: Payload, target_pct: Decimal) -> MarginFacts:
    """The facts of the wire form of a `MarginEvent`; `TemplateError` where they are not complete.

    The cure leads to `target_pct`, or to the account's highest threshold that the event names where that is higher:
    at the target the account must be out of what it is told of.
    """
    try:
        severity = Severity(fields.text(payload, "severity"))
    except ValueError:
        raise TemplateError("The margin event's severity is not known.") from None
    is_priced = severity is not Severity.UNPRICED
    collateral_usd, borrow_usd = fields.decimal(payload, "collateral_usd"), fields.decimal(payload, "borrow_usd")
    health_pct = fields.optional_decimal(payload, "health") if is_priced else None
    threshold_pct = fields.optional_decimal(payload, "threshold")
    prices = [_price(each) for each in fields.parts(payload, "liquidation_prices")]
    levels = [each.threshold_pct for each in prices]
    lowest = min(levels, default=None)
    if threshold_pct is not None:
        levels.append(threshold_pct)
    target_pct = max([target_pct, *levels])
    # An account without debt has no health and needs nothing.
    is_known = health_pct is not None or severity is Severity.RECOVERED
    return MarginFacts(
        account_id=fields.text(payload, "account_id"),
        severity=severity,
        previous=fields.optional_text(payload, "previous_severity"),
        episode_id=fields.text(payload, "episode_id"),
        health_pct=health_pct,
        threshold_pct=threshold_pct,
        collateral_usd=collateral_usd,
        borrow_usd=borrow_usd,
        prices=tuple(each for each in prices if each.threshold_pct == lowest),
        unpriced_assets=tuple(fields.one_line(str(each)) for each in fields.parts(payload, "unpriced_assets")),
        unpriced_reason=fields.optional_text(payload, "unpriced_reason"),
        is_simulated=fields.flag(payload, "is_simulated"),
        detected_at=fields.moment(payload, "detected_at"),
        target_pct=target_pct,
        cure=_cure(collateral_usd, borrow_usd, target_pct) if is_known else None,
    )


def dedup_key(*parts: str) -> str:
    """PagerDuty's key of what `parts` name, at most 255 characters: the rest of a longer one is hashed."""
    key = ":".join(parts)
    if len(key) <= MAX_DEDUP_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{key[: MAX_DEDUP_KEY - 33]}:{digest}"


def _price(found: object) -> Price:
    if not isinstance(found, Mapping):
        raise TemplateError("liquidation_prices holds what is not an object.")
    return Price(
        fields.text(found, "asset"),
        fields.decimal(found, "threshold_pct"),
        fields.optional_decimal(found, "price_usd"),
        fields.optional_text(found, "reason"),
    )


def _cure(collateral_usd: Decimal, borrow_usd: Decimal, target_pct: Decimal) -> Cure | None:
    try:
        return cure(collateral_usd, borrow_usd, target_pct)
    # Figures of more digits than the engine counts with: the alert goes out without the amounts.
    except (RiskInputError, ArithmeticError):
        return None
