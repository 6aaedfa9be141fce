"""Reverse stress: the fall that is found loses exactly the amount, and no smaller one does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.reverse_stress import AccountExposure, Measure, NoFall, ReverseStress, smallest_fall


def account(collateral: str, borrow: str, other_collateral: str = "0", other_borrow: str = "0") -> AccountExposure:
    return AccountExposure(Decimal(collateral), Decimal(borrow), Decimal(other_collateral), Decimal(other_borrow))


def loss_at(accounts: Sequence[AccountExposure], fall: Fraction, measure: Measure) -> Fraction:
    """What the book has lost at a fall, account by account in exact fractions."""
    left = 1 - fall
    lost = Fraction(0)
    for each in accounts:
        collateral, borrow = Fraction(each.collateral_usd), Fraction(each.borrow_usd)
        equity = collateral + Fraction(each.other_collateral_usd) - borrow - Fraction(each.other_borrow_usd)
        after = equity - fall * (collateral - borrow)
        if measure is Measure.EQUITY:
            lost += equity - after
        elif each.borrow_usd > 0 or each.other_borrow_usd > 0:
            assert after == left * (collateral - borrow) + equity - collateral + borrow
            lost += max(Fraction(0), -after)
    return lost


LONG = account("100", "0", "0", "60")
THIN = account("100", "0", "0", "90")
SHORT = account("0", "50", "80", "0")
LENDER = account("1000", "0")

CASES: list[tuple[list[AccountExposure], str, Measure, Fraction | NoFall]] = [
    ([LONG], "10", Measure.EQUITY, Fraction(1, 10)),
    ([LONG], "100", Measure.EQUITY, Fraction(1)),
    ([LONG], "100.000000001", Measure.EQUITY, NoFall.NEVER_REACHED),
    ([LONG, SHORT], "10", Measure.EQUITY, Fraction(1, 5)),
    ([account("3", "0")], "1", Measure.EQUITY, Fraction(1, 3)),
    ([SHORT], "1", Measure.EQUITY, NoFall.NEVER_REACHED),
    ([account("0", "0", "7", "3")], "1", Measure.EQUITY, NoFall.NO_EXPOSURE),
    ([], "1", Measure.EQUITY, NoFall.NO_EXPOSURE),
    # Covered up to a fall of 40%; from there each percent costs 1.
    ([LONG], "10", Measure.BAD_DEBT, Fraction(1, 2)),
    ([LONG], "60", Measure.BAD_DEBT, Fraction(1)),
    ([LONG], "60.000000001", Measure.BAD_DEBT, NoFall.NEVER_REACHED),
    # The thin account turns at 10%; both count from 40% on.
    ([THIN, LONG], "30", Measure.BAD_DEBT, Fraction(2, 5)),
    ([THIN, LONG], "50", Measure.BAD_DEBT, Fraction(1, 2)),
    # Bad before the fall: 5 are lost already, 4 and 5 are no fall's work.
    ([account("100", "0", "0", "105")], "5", Measure.BAD_DEBT, NoFall.ALREADY_LOST),
    ([account("100", "0", "0", "105")], "6", Measure.BAD_DEBT, Fraction(1, 100)),
    # A short position that is bad now is cured by the fall while the long one turns bad.
    ([account("0", "50", "40", "0"), LONG], "9", Measure.BAD_DEBT, NoFall.ALREADY_LOST),
    ([account("0", "50", "40", "0"), LONG], "11", Measure.BAD_DEBT, Fraction(51, 100)),
    # At the threshold now: bad with the first cent.
    ([account("100", "0", "0", "100")], "1", Measure.BAD_DEBT, Fraction(1, 100)),
    # Without debt nothing can go bad, nor with a debt in the asset alone, which falls with its collateral.
    ([LENDER], "1", Measure.BAD_DEBT, NoFall.NEVER_REACHED),
    ([account("100", "100")], "1", Measure.BAD_DEBT, NoFall.NEVER_REACHED),
    ([account("-5", "0")], "1", Measure.BAD_DEBT, NoFall.NEVER_REACHED),
    ([account("0", "0", "5", "3")], "1", Measure.BAD_DEBT, NoFall.NO_EXPOSURE),
    ([account("0", "0", "3", "5")], "2", Measure.BAD_DEBT, NoFall.ALREADY_LOST),
]


@pytest.mark.parametrize(("accounts", "loss_usd", "measure", "expected"), CASES)
def test_smallest_fall__of_known_books(
    accounts: list[AccountExposure], loss_usd: str, measure: Measure, expected: Fraction | NoFall
) -> None:
    found = smallest_fall(accounts, Decimal(loss_usd), measure)
    assert found == (ReverseStress(reason=expected) if isinstance(expected, NoFall) else ReverseStress(expected))


def test_fall__is_rounded_up_so_that_the_amount_is_lost() -> None:
    found = smallest_fall([account("3", "0")], Decimal(1), Measure.EQUITY)
    assert found.fall == Decimal("0.333333333333333334")
    assert loss_at([account("3", "0")], Fraction(found.fall), Measure.EQUITY) > 1
    assert smallest_fall([LONG], Decimal(100), Measure.EQUITY).fall == 1
    assert smallest_fall([], Decimal(1), Measure.EQUITY).fall is None


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "1e29", "-1e29", "0.0000000000000000001"])
def test_smallest_fall__refuses_amounts_it_cannot_take_exactly(bad: str) -> None:
    with pytest.raises(RiskInputError, match="other_borrow_usd of account 1"):
        smallest_fall([LONG, account("1", "1", "1", bad)], Decimal(1), Measure.BAD_DEBT)


@pytest.mark.parametrize("loss_usd", [Decimal(0), Decimal(-1), Decimal("NaN"), 1.0, None])
def test_smallest_fall__refuses_a_loss_that_is_none(loss_usd: Any) -> None:
    with pytest.raises(RiskInputError, match="loss_usd"):
        smallest_fall([LONG], loss_usd, Measure.EQUITY)


def test_smallest_fall__of_a_wide_amount_is_exact() -> None:
    wide = account("99999999999999999999999999999.999999999999999999", "0")
    found = smallest_fall([wide], Decimal("0.000000000000000001"), Measure.EQUITY)
    assert found.exact_fall == Fraction(1, 10**47 - 1)
    assert found.fall == Decimal("1e-18")


MONEY = st.decimals(0, 1000, places=2) | st.integers(0, 4).map(Decimal)
DEBTS = MONEY | st.just(Decimal(0))
ACCOUNTS = st.lists(st.builds(AccountExposure, MONEY, DEBTS, DEBTS, DEBTS), max_size=12)
LOSSES = st.decimals("0.01", 3000, places=2) | st.integers(1, 5).map(Decimal)
SHARES = st.fractions(0, 1, max_denominator=997)


@given(ACCOUNTS, LOSSES, st.sampled_from(Measure), SHARES)
def test_smallest_fall__loses_exactly_the_amount_and_no_smaller_one_does(
    accounts: list[AccountExposure], loss_usd: Decimal, measure: Measure, share: Fraction
) -> None:
    found = smallest_fall(accounts, loss_usd, measure)
    wanted = Fraction(loss_usd)
    if found.exact_fall is not None:
        assert 0 < found.exact_fall <= 1
        assert loss_at(accounts, found.exact_fall, measure) == wanted
        just_before = found.exact_fall - Fraction(1, 10**60)
        for smaller in (found.exact_fall * share, just_before):
            assert smaller == found.exact_fall or loss_at(accounts, smaller, measure) < wanted
        assert found.fall is not None
        assert found.exact_fall <= Fraction(found.fall) < found.exact_fall + Fraction(1, 10**18)
        assert loss_at(accounts, Fraction(found.fall), measure) >= wanted
    elif found.reason is NoFall.ALREADY_LOST:
        assert loss_at(accounts, Fraction(0), measure) >= wanted
    else:
        assert found.reason in (NoFall.NEVER_REACHED, NoFall.NO_EXPOSURE)
        assert loss_at(accounts, share, measure) < wanted
        assert loss_at(accounts, Fraction(1), measure) < wanted


@given(ACCOUNTS, LOSSES, LOSSES, st.sampled_from(Measure))
def test_smallest_fall__grows_with_the_loss(
    accounts: list[AccountExposure], one: Decimal, other: Decimal, measure: Measure
) -> None:
    less, more = (smallest_fall(accounts, loss, measure) for loss in sorted((one, other)))
    if less.exact_fall is not None and more.exact_fall is not None:
        assert less.exact_fall <= more.exact_fall
    if less.reason in (NoFall.NEVER_REACHED, NoFall.NO_EXPOSURE):
        assert more.reason is less.reason
    if more.reason is NoFall.ALREADY_LOST:
        assert less.reason is NoFall.ALREADY_LOST


@given(ACCOUNTS, LOSSES, st.sampled_from(Measure), st.randoms(use_true_random=False))
def test_smallest_fall__does_not_depend_on_the_order_of_accounts(
    accounts: list[AccountExposure], loss_usd: Decimal, measure: Measure, shuffle: random.Random
) -> None:
    other = list(accounts)
    shuffle.shuffle(other)
    assert smallest_fall(other, loss_usd, measure) == smallest_fall(accounts, loss_usd, measure)


def test_smallest_fall__of_100_000_accounts_is_exact() -> None:
    generator = random.Random(7)

    def amount(limit: int) -> str:
        return f"{generator.randrange(limit)}.{generator.randrange(10**9):09d}"

    accounts = [account(amount(500_000), "0", amount(200_000), amount(400_000)) for _ in range(100_000)]
    found = smallest_fall(accounts, Decimal(10_000_000_000), Measure.BAD_DEBT)
    assert found.exact_fall is not None
    assert loss_at(accounts, found.exact_fall, Measure.BAD_DEBT) == 10_000_000_000
