"""Margin of one account in exact decimals: health, the prices that trigger a threshold, and what cures a shortfall.

The models `margin_health` and `liquidation_prices` say the same in SQL. They round each amount to nine decimals on the
way, here only the results are rounded: a figure may differ by what half a nano-USD an amount makes of it. A haircut
for the confidence of a price is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal, localcontext
from enum import StrEnum
from functools import wraps
from typing import ParamSpec, TypeVar

from assets.risk.engine.errors import RiskInputError

# Quantities of 38 digits times prices of 24, summed over an account and divided by the smallest quantity.
_CONTEXT = Context(prec=120, rounding=ROUND_HALF_UP)
_QUANTUM = Decimal("0.000000001")
_PERCENT = Decimal(100)
# Health of a debt without any collateral, in percent: there is none below.
LOWEST_HEALTH_PCT = Decimal(-100)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Status(StrEnum):
    """State of an account; `unpriced` means that its health is not known."""

    HEALTHY = "healthy"
    MARGIN_CALL = "margin_call"
    LIQUIDATION = "liquidation"
    UNPRICED = "unpriced"
    NO_DEBT = "no_debt"


class Threshold(StrEnum):
    """A level of health that starts something."""

    MARGIN_CALL = "margin_call"
    LIQUIDATION = "liquidation"


class NoTrigger(StrEnum):
    """Why no positive price of an asset brings health to a threshold."""

    NO_DEBT = "no_debt"
    OTHER_WITHOUT_PRICE = "other_asset_without_price"
    NO_EFFECT = "price_has_no_effect"
    COVERED = "covered_without_asset"
    BELOW = "below_at_any_price"


@dataclass(frozen=True)
class Holding:
    """Units of one asset that are held and owed, below zero where an event is missing; `price_usd` of one unit."""

    asset: str
    collateral_quantity: Decimal
    borrow_quantity: Decimal
    price_usd: Decimal | None


@dataclass(frozen=True)
class Thresholds:
    """Health in percent below which a call is due, and collateral sold; `RiskInputError` unless the latter is lower."""

    margin_call_pct: Decimal
    liquidation_pct: Decimal

    def __post_init__(self) -> None:
        are_finite = self.margin_call_pct.is_finite() and self.liquidation_pct.is_finite()
        if not are_finite or not LOWEST_HEALTH_PCT <= self.liquidation_pct < self.margin_call_pct:
            raise RiskInputError(
                f"the liquidation threshold {self.liquidation_pct} % must be below the margin call's "
                f"{self.margin_call_pct} %, and neither below {LOWEST_HEALTH_PCT} %"
            )

    def levels(self) -> tuple[tuple[Threshold, Decimal], ...]:
        """Each threshold with its health in percent."""
        return (Threshold.MARGIN_CALL, self.margin_call_pct), (Threshold.LIQUIDATION, self.liquidation_pct)


@dataclass(frozen=True)
class Health:
    """Health of an account in percent, None without debt or where it is not known; amounts in USD.

    The amounts leave out assets without a price.
    """

    status: Status
    health_pct: Decimal | None
    collateral_usd: Decimal
    borrow_usd: Decimal


@dataclass(frozen=True)
class Trigger:
    """The price of one asset, all others held, at which health reaches a threshold; None with a reason."""

    asset: str
    threshold: Threshold
    threshold_pct: Decimal
    trigger_price_usd: Decimal | None
    reason: NoTrigger | None
    price_usd: Decimal | None
    has_unpriced_other: bool


@dataclass(frozen=True)
class Cure:
    """USD to deposit, or else to repay, that bring health to `target_pct`, rounded up; zero where it is there already.

    `repay_usd` is None where not even the whole debt would do, because collateral is below zero.
    """

    target_pct: Decimal
    deposit_usd: Decimal
    repay_usd: Decimal | None


def _precise(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Run with digits enough for every amount, whatever the caller's context."""

    @wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with localcontext(_CONTEXT):
            return function(*args, **kwargs)

    return run


@_precise
def health_pct(collateral_usd: Decimal, borrow_usd: Decimal) -> Decimal | None:
    """(collateral - borrow) / borrow in percent, nine decimals, half away from zero; None where nothing is owed."""
    if borrow_usd <= 0:
        return None
    return _rounded((collateral_usd - borrow_usd) * _PERCENT / borrow_usd)


@_precise
def health(holdings: Sequence[Holding], thresholds: Thresholds) -> Health:
    """Health and status; `RiskInputError` for an asset that stands twice or a figure that is none.

    With a debt and any asset without a price, or debts that sum to nothing, it is `unpriced`.
    """
    _check(holdings)
    account = _Account.of(holdings)
    pct = health_pct(account.collateral_usd, account.borrow_usd) if account.owes and not account.unpriced else None
    status = _status(pct, thresholds) if account.owes else Status.NO_DEBT
    return Health(status, pct, _rounded(account.collateral_usd), _rounded(account.borrow_usd))


@_precise
def triggers(holdings: Sequence[Holding], thresholds: Thresholds) -> list[Trigger]:
    """For each asset that is held or owed and each threshold h: P = ((1 + h/100) * B - C) / (q_c - (1 + h/100) * q_b).

    B and C are what is owed and held of the other assets in USD, q_c and q_b units of this one. `RiskInputError` as
    for `health`.
    """
    _check(holdings)
    account = _Account.of(holdings)
    return [_trigger(each, account, level, pct) for each in account.held for level, pct in thresholds.levels()]


@_precise
def cure(collateral_usd: Decimal, borrow_usd: Decimal, target_pct: Decimal) -> Cure:
    """What brings health to `target_pct`, which must be above -100; without a debt nothing is needed."""
    if not target_pct.is_finite() or target_pct <= LOWEST_HEALTH_PCT:
        raise RiskInputError(f"health cannot be brought to {target_pct} %; give a target above {LOWEST_HEALTH_PCT} %")
    factor = 1 + target_pct / _PERCENT
    deposit_usd = factor * borrow_usd - collateral_usd
    if borrow_usd <= 0 or deposit_usd <= 0:
        return Cure(target_pct, Decimal(0), Decimal(0))
    repay_usd = deposit_usd / factor if collateral_usd >= 0 else None
    return Cure(target_pct, _raised(deposit_usd), None if repay_usd is None else _raised(repay_usd))


def _check(holdings: Sequence[Holding]) -> None:
    assets = [each.asset for each in holdings]
    if len(set(assets)) < len(assets):
        raise RiskInputError("an asset stands twice among the holdings; sum its units first")
    for each in holdings:
        if not each.collateral_quantity.is_finite() or not each.borrow_quantity.is_finite():
            raise RiskInputError(f"a quantity of {each.asset} is not a number")
        if each.price_usd is not None and not (each.price_usd.is_finite() and each.price_usd > 0):
            raise RiskInputError(f"the price of {each.asset} is {each.price_usd}, which is no price")


def _usd(quantity: Decimal, price_usd: Decimal | None) -> Decimal:
    return Decimal(0) if price_usd is None else quantity * price_usd


def _status(pct: Decimal | None, thresholds: Thresholds) -> Status:
    if pct is None:
        return Status.UNPRICED
    if pct < thresholds.liquidation_pct:
        return Status.LIQUIDATION
    return Status.MARGIN_CALL if pct < thresholds.margin_call_pct else Status.HEALTHY


@dataclass(frozen=True)
class _Account:
    """The assets that are held or owed, and their sums in USD."""

    held: Sequence[Holding]
    collateral_usd: Decimal
    borrow_usd: Decimal
    unpriced: int
    owes: bool

    @classmethod
    def of(cls, holdings: Sequence[Holding]) -> _Account:
        held = [each for each in holdings if each.collateral_quantity != 0 or each.borrow_quantity != 0]
        return cls(
            held,
            collateral_usd=sum((_usd(each.collateral_quantity, each.price_usd) for each in held), Decimal(0)),
            borrow_usd=sum((_usd(each.borrow_quantity, each.price_usd) for each in held), Decimal(0)),
            unpriced=sum(each.price_usd is None for each in held),
            owes=any(each.borrow_quantity > 0 for each in held),
        )


def _trigger(holding: Holding, account: _Account, level: Threshold, pct: Decimal) -> Trigger:
    factor = 1 + pct / _PERCENT
    others_unpriced = account.unpriced - (holding.price_usd is None)
    other_borrow_usd = account.borrow_usd - _usd(holding.borrow_quantity, holding.price_usd)
    other_collateral_usd = account.collateral_usd - _usd(holding.collateral_quantity, holding.price_usd)
    shortfall_usd = factor * other_borrow_usd - other_collateral_usd
    net_quantity = holding.collateral_quantity - factor * holding.borrow_quantity
    reason = None
    if not account.owes:
        reason = NoTrigger.NO_DEBT
    elif others_unpriced:
        reason = NoTrigger.OTHER_WITHOUT_PRICE
    elif net_quantity == 0:
        reason = NoTrigger.NO_EFFECT
    elif net_quantity > 0 >= shortfall_usd:
        reason = NoTrigger.COVERED
    elif net_quantity < 0 <= shortfall_usd:
        reason = NoTrigger.BELOW
    price_usd = _rounded(shortfall_usd / net_quantity) if reason is None else None
    return Trigger(holding.asset, level, pct, price_usd, reason, holding.price_usd, others_unpriced > 0)


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(_QUANTUM)


def _raised(value: Decimal) -> Decimal:
    return value.quantize(_QUANTUM, rounding=ROUND_CEILING)
