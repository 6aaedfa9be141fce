"""Reverse stress: the smallest fall of one asset's price that makes the book lose a given amount, found exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from fractions import Fraction
from operator import itemgetter

from assets.risk.engine.errors import RiskInputError

USD_DECIMALS = 18
USD_LIMIT = Decimal(10) ** 29
FALL_DECIMALS = 18
# Digits that an amount within the limit needs in its smallest unit.
_PRECISION = 60


class Measure(StrEnum):
    """What counts as lost."""

    EQUITY = "equity"
    BAD_DEBT = "bad_debt"


class NoFall(StrEnum):
    """Why no fall makes the book lose the amount."""

    ALREADY_LOST = "already_lost"
    NEVER_REACHED = "never_reached"
    NO_EXPOSURE = "no_exposure"
    # Said by who reads the book: what a position is worth is unknown.
    UNPRICED = "unpriced"


@dataclass(frozen=True)
class AccountExposure:
    """What an account holds and owes in the asset that falls, and in all others; USD at today's prices."""

    collateral_usd: Decimal
    borrow_usd: Decimal
    other_collateral_usd: Decimal
    other_borrow_usd: Decimal


@dataclass(frozen=True)
class ReverseStress:
    """The fall as a fraction in (0, 1], or None and the reason.

    `exact_fall` is the smallest of all; `fall` is it rounded up to eighteen decimals, so that the amount is lost.
    """

    exact_fall: Fraction | None = None
    reason: NoFall | None = None

    @property
    def fall(self) -> Decimal | None:
        """The smallest fall of eighteen decimals that loses the amount."""
        if self.exact_fall is None:
            return None
        units = -(-self.exact_fall.numerator * 10**FALL_DECIMALS // self.exact_fall.denominator)
        return Decimal(units).scaleb(-FALL_DECIMALS)


# In the smallest unit of USD: what an account's debt exceeds its collateral by now, and what a fall to nothing adds.
_Line = tuple[int, int]


def smallest_fall(accounts: Sequence[AccountExposure], loss_usd: Decimal, measure: Measure) -> ReverseStress:
    """The smallest fall of the asset, all other prices held, that loses `loss_usd` (above 0) by the measure.

    `equity`: collateral less debt of all accounts, against today. `bad_debt`: the sum over accounts with a debt of
    what their collateral does not cover, in all. O(n log n). Raises `RiskInputError` for amounts that are not finite,
    not below 10**29, or of more than eighteen decimals.
    """
    with localcontext() as context:
        context.prec = _PRECISION
        loss = _units(loss_usd, "loss_usd")
        if loss <= 0:
            raise RiskInputError(f"loss_usd must be above 0, but is {loss_usd}.")
        rows = [_checked(number, account) for number, account in enumerate(accounts)]
    if Measure(measure) is Measure.EQUITY:
        found = _equity_fall(sum(held - owed for held, owed, _, _ in rows), loss)
    else:
        found = _bad_debt_fall(
            [
                (owed + other_owed - held - other_held, held - owed)
                for held, owed, other_held, other_owed in rows
                if owed > 0 or other_owed > 0
            ],
            loss,
        )
    if found.reason is NoFall.NEVER_REACHED and not any(held or owed for held, owed, _, _ in rows):
        return ReverseStress(reason=NoFall.NO_EXPOSURE)
    return found


def _equity_fall(net: int, loss: int) -> ReverseStress:
    return ReverseStress(Fraction(loss, net)) if net >= loss else ReverseStress(reason=NoFall.NEVER_REACHED)


def _bad_debt_fall(lines: Sequence[_Line], loss: int) -> ReverseStress:
    """The sum of max(0, shortfall + growth * fall) is convex and linear between the falls at which an account turns."""
    level = sum(shortfall for shortfall, _ in lines if shortfall > 0)
    if level >= loss:
        return ReverseStress(reason=NoFall.ALREADY_LOST)
    slope = sum(growth for shortfall, growth in lines if shortfall > 0 or (shortfall == 0 and growth > 0))
    for at, shortfall, growth in sorted(_turns(lines), key=itemgetter(0)):
        if slope * at.numerator >= (loss - level) * at.denominator:
            return ReverseStress(Fraction(loss - level, slope))
        level, slope = level + shortfall, slope + growth
    if level + slope < loss:
        return ReverseStress(reason=NoFall.NEVER_REACHED)
    return ReverseStress(Fraction(loss - level, slope))


def _turns(lines: Sequence[_Line]) -> list[tuple[Fraction, int, int]]:
    """Falls between 0 and 1 at which an account becomes bad or is cured, with what that adds to level and slope."""
    turns = []
    for shortfall, growth in lines:
        if shortfall < 0 < shortfall + growth:
            turns.append((Fraction(-shortfall, growth), shortfall, growth))
        elif shortfall > 0 > shortfall + growth:
            turns.append((Fraction(-shortfall, growth), -shortfall, -growth))
    return turns


def _checked(number: int, account: AccountExposure) -> tuple[int, int, int, int]:
    return (
        _units(account.collateral_usd, "collateral_usd", number),
        _units(account.borrow_usd, "borrow_usd", number),
        _units(account.other_collateral_usd, "other_collateral_usd", number),
        _units(account.other_borrow_usd, "other_borrow_usd", number),
    )


def _units(value: Decimal, name: str, number: int | None = None) -> int:
    """The amount in its smallest unit."""
    where = name if number is None else f"{name} of account {number}"
    if not isinstance(value, Decimal) or not value.is_finite():
        raise RiskInputError(f"{where} must be a finite Decimal, but is {value!r}.")
    if abs(value) >= USD_LIMIT:
        raise RiskInputError(f"{where} must be below {USD_LIMIT:f} USD, but is {value}.")
    scaled = value.scaleb(USD_DECIMALS)
    units = int(scaled)
    if units != scaled:
        raise RiskInputError(f"{where} has more than {USD_DECIMALS} decimals: {value}.")
    return units
