"""Margin of one account: reference values, every reason without a trigger price, cures, and what always holds."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.margin import (
    Cure,
    Health,
    Holding,
    NoTrigger,
    Status,
    Threshold,
    Thresholds,
    Trigger,
    cure,
    health,
    health_pct,
    triggers,
)

USUAL = Thresholds(Decimal(30), Decimal(15))
NANO = Decimal("0.000000001")


def holding(asset: str, collateral: str, borrow: str, price: str | None) -> Holding:
    return Holding(asset, Decimal(collateral), Decimal(borrow), None if price is None else Decimal(price))


def found(holdings: list[Holding], asset: str, thresholds: Thresholds = USUAL) -> list[Decimal | NoTrigger | None]:
    """Trigger price or reason of an asset, margin call first."""
    return [each.reason or each.trigger_price_usd for each in triggers(holdings, thresholds) if each.asset == asset]


BTC = holding("BTC", "1", "0", "80000")
DEBT = holding("USDC", "0", "50000", "1")


@pytest.mark.parametrize(
    ("collateral", "borrow", "expected"),
    [
        ("65000", "50000", "30"),
        ("57500", "50000", "15"),
        ("50000", "50000", "0"),
        ("0", "50000", "-100"),
        ("0", "0", None),
        ("80000", "0", None),
        ("80000", "-1", None),
        ("1", "3", "-66.666666667"),
        ("0.000000000000065", "0.000000000000000001", "6499900"),
        ("65000000000000000000000", "50000000000000000000000", "30"),
    ],
)
def test_health_pct__is_what_is_left_of_collateral_by_the_debt(
    collateral: str, borrow: str, expected: str | None
) -> None:
    pct = health_pct(Decimal(collateral), Decimal(borrow))
    assert pct == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(
    ("price", "pct", "status"),
    [
        ("80000", "60", Status.HEALTHY),
        ("65000", "30", Status.HEALTHY),
        ("64999.99", "29.99998", Status.MARGIN_CALL),
        ("57500", "15", Status.MARGIN_CALL),
        ("57499.99", "14.99998", Status.LIQUIDATION),
    ],
)
def test_health__changes_status_below_each_threshold(price: str, pct: str, status: Status) -> None:
    measured = health([holding("BTC", "1", "0", price), DEBT], USUAL)
    assert measured == Health(status, Decimal(pct), Decimal(price), Decimal(50000))


def test_health__of_a_debt_without_collateral_is_minus_100() -> None:
    measured = health([DEBT], USUAL)
    assert (measured.health_pct, measured.status) == (Decimal(-100), Status.LIQUIDATION)


def test_health__without_a_debt_is_none_even_where_a_price_is_missing() -> None:
    measured = health([BTC, holding("ETH", "1", "0", None)], USUAL)
    assert measured == Health(Status.NO_DEBT, None, Decimal(80000), Decimal(0))


@pytest.mark.parametrize(
    "holdings",
    [
        [BTC, DEBT, holding("ETH", "1", "0", None)],
        [BTC, holding("USDC", "0", "50000", None)],
        [BTC, DEBT, holding("DAI", "0", "-50000", "1")],
    ],
    ids=["collateral without price", "debt without price", "debts that sum to nothing"],
)
def test_health__with_a_debt_that_cannot_be_measured_is_unpriced(holdings: list[Holding]) -> None:
    measured = health(holdings, USUAL)
    assert (measured.health_pct, measured.status) == (None, Status.UNPRICED)


def test_triggers__reference_values() -> None:
    assert triggers([BTC, DEBT], USUAL)[:2] == [
        Trigger("BTC", Threshold.MARGIN_CALL, Decimal(30), Decimal(65000), None, Decimal(80000), False),
        Trigger("BTC", Threshold.LIQUIDATION, Decimal(15), Decimal(57500), None, Decimal(80000), False),
    ]


def test_triggers__debt_in_the_same_asset_uses_net_units() -> None:
    # 1.3 * 50,000 = 65,000 over 2 - 1.3 * 0.5 units; 1.15 * 50,000 = 57,500 over 2 - 1.15 * 0.5.
    holdings = [holding("BTC", "2", "0.5", "80000"), DEBT]
    assert found(holdings, "BTC") == [Decimal("48148.148148148"), Decimal("40350.877192982")]


def test_triggers__of_a_debt_lie_above_its_price() -> None:
    # (1.3 * 0 - 80,000) / -(1.3 * 50,000) and the same at 1.15.
    assert found([BTC, DEBT], "USDC") == [Decimal("1.230769231"), Decimal("1.391304348")]


@pytest.mark.parametrize(
    ("holdings", "asset", "reason"),
    [
        ([BTC, holding("ETH", "1", "0", "2000")], "BTC", NoTrigger.NO_DEBT),
        ([BTC, DEBT, holding("ETH", "1", "0", None)], "BTC", NoTrigger.OTHER_WITHOUT_PRICE),
        ([holding("BTC", "1.3", "1", "80000"), DEBT], "BTC", NoTrigger.NO_EFFECT),
        ([BTC, DEBT, holding("ETH", "100", "0", "2000")], "BTC", NoTrigger.COVERED),
        ([holding("BTC", "0", "1", "80000"), DEBT], "BTC", NoTrigger.BELOW),
    ],
)
def test_triggers__without_a_positive_price_say_why(holdings: list[Holding], asset: str, reason: NoTrigger) -> None:
    assert found(holdings, asset)[0] is reason


def test_triggers__a_reason_may_hold_at_one_threshold_only() -> None:
    holdings = [holding("BTC", "1.3", "1", "80000"), DEBT]
    assert found(holdings, "BTC") == [NoTrigger.NO_EFFECT, Decimal("383333.333333333")]


def test_triggers__of_an_asset_without_price_rest_on_the_others() -> None:
    holdings = [holding("BTC", "1", "0", None), DEBT]
    assert found(holdings, "BTC") == [Decimal(65000), Decimal(57500)]
    assert {each.has_unpriced_other for each in triggers(holdings, USUAL) if each.asset == "USDC"} == {True}


def test_triggers__leave_out_what_is_neither_held_nor_owed() -> None:
    holdings = [BTC, DEBT, holding("ETH", "0", "0", None)]
    assert {each.asset for each in triggers(holdings, USUAL)} == {"BTC", "USDC"}


@pytest.mark.parametrize(("units", "price"), [("1e-18", "6.5e22"), ("1e18", "6.5e-14"), ("1e12", "6.5e-8")])
def test_triggers__bear_the_smallest_and_the_largest_quantities(units: str, price: str) -> None:
    exact = Decimal(price)
    at_call = found([holding("BTC", units, "0", "80000"), DEBT], "BTC")[0]
    assert at_call == exact.quantize(NANO) if exact < 1 else at_call == exact


@pytest.mark.parametrize(
    ("collateral", "borrow", "target", "deposit", "repay"),
    [
        ("60000", "50000", "30", "5000", "3846.153846154"),
        ("65000", "50000", "30", "0", "0"),
        ("80000", "50000", "30", "0", "0"),
        ("0", "50000", "30", "65000", "50000"),
        ("80000", "0", "30", "0", "0"),
        ("-10", "50000", "30", "65010", None),
        ("50000", "50000", "-50", "0", "0"),
    ],
)
def test_cure__is_what_is_missing_rounded_up(
    collateral: str, borrow: str, target: str, deposit: str, repay: str | None
) -> None:
    cured = cure(Decimal(collateral), Decimal(borrow), Decimal(target))
    assert cured == Cure(Decimal(target), Decimal(deposit), None if repay is None else Decimal(repay))


@pytest.mark.parametrize("target", ["-100", "-101", "NaN", "Infinity"])
def test_cure__to_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(RiskInputError, match="give a target above"):
        cure(Decimal(1), Decimal(1), Decimal(target))


@pytest.mark.parametrize(
    ("margin_call", "liquidation"), [("15", "15"), ("15", "30"), ("30", "-101"), ("NaN", "15"), ("30", "NaN")]
)
def test_thresholds__that_do_not_rise_are_refused(margin_call: str, liquidation: str) -> None:
    with pytest.raises(RiskInputError, match="must be below"):
        Thresholds(Decimal(margin_call), Decimal(liquidation))


@pytest.mark.parametrize(
    ("holdings", "message"),
    [
        ([BTC, BTC], "stands twice"),
        ([holding("BTC", "NaN", "0", "1")], "a quantity of BTC is not a number"),
        ([holding("BTC", "0", "Infinity", "1")], "a quantity of BTC is not a number"),
        ([holding("BTC", "1", "0", "0")], "which is no price"),
        ([holding("BTC", "1", "0", "-1")], "which is no price"),
        ([holding("BTC", "1", "0", "NaN")], "which is no price"),
    ],
)
def test_holdings__that_are_no_holdings_are_refused(holdings: list[Holding], message: str) -> None:
    for rule in (health, triggers):
        with pytest.raises(RiskInputError, match=message):
            rule(holdings, USUAL)


quantities = st.decimals("0", "1e9", places=18)
prices = st.decimals("0.000001", "1e7", places=9)
accounts = st.lists(st.tuples(quantities, quantities, prices), min_size=1, max_size=5)


def made(account: list[tuple[Decimal, Decimal, Decimal]]) -> list[Holding]:
    return [Holding(f"A{number}", *each) for number, each in enumerate(account)]


@given(accounts)
def test_triggers__at_its_price_health_equals_the_threshold(account: list[tuple[Decimal, Decimal, Decimal]]) -> None:
    holdings = made(account)
    with localcontext() as context:
        context.prec = 120
        for trigger in triggers(holdings, USUAL):
            if trigger.trigger_price_usd is None:
                continue
            # The price is rounded to a nano-USD, which moves health by as much as the net units make of it.
            rounded = trigger.trigger_price_usd
            at_trigger = [
                Holding(each.asset, each.collateral_quantity, each.borrow_quantity, rounded)
                if each.asset == trigger.asset
                else each
                for each in holdings
            ]
            collateral = sum(each.collateral_quantity * (each.price_usd or 0) for each in at_trigger)
            borrow = sum(each.borrow_quantity * (each.price_usd or 0) for each in at_trigger)
            own = next(each for each in holdings if each.asset == trigger.asset)
            factor = 1 + trigger.threshold_pct / 100
            net = abs(own.collateral_quantity - factor * own.borrow_quantity)
            missed = abs(collateral - factor * borrow)
            assert missed <= net * NANO


@given(accounts)
def test_triggers__have_a_price_or_a_reason(account: list[tuple[Decimal, Decimal, Decimal]]) -> None:
    for trigger in triggers(made(account), USUAL):
        assert (trigger.trigger_price_usd is None) is (trigger.reason is not None)
        assert trigger.trigger_price_usd is None or trigger.trigger_price_usd >= 0


amounts = st.decimals("0", "1e15", places=9)
targets = st.decimals("-99", "1000", places=4)


@given(amounts, amounts, targets)
def test_cure__brings_health_to_the_target_and_a_nano_less_does_not(
    collateral: Decimal, borrow: Decimal, target: Decimal
) -> None:
    cured = cure(collateral, borrow, target)
    assert cured.repay_usd is not None
    with localcontext() as context:
        context.prec = 120
        factor = 1 + target / 100
        assert borrow == 0 or collateral + cured.deposit_usd >= factor * borrow
        assert collateral >= factor * (borrow - cured.repay_usd) or borrow == 0
        if cured.deposit_usd > 0:
            assert collateral + cured.deposit_usd - NANO < factor * borrow
            assert collateral < factor * (borrow - cured.repay_usd + NANO)
    assert cured.repay_usd <= borrow


@given(accounts, st.decimals("0.5", "2", places=3))
def test_health__is_the_same_in_any_currency(account: list[tuple[Decimal, Decimal, Decimal]], rate: Decimal) -> None:
    one = health(made(account), USUAL)
    other = health(
        [
            Holding(h.asset, h.collateral_quantity, h.borrow_quantity, p * rate)
            for h, (_, _, p) in zip(made(account), account, strict=True)
        ],
        USUAL,
    )
    assert one.health_pct == other.health_pct
    assert one.status is other.status
