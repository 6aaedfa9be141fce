"""Conditions: what they mean, what they refuse, and that unknown is never false."""

from __future__ import annotations

import logging
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.aml.features import Features, WalletOutcome
from compliance.errors import PolicyInvalidError
from compliance.model import Direction, Transaction
from compliance.policy.expressions import Expression, ExpressionError, micro
from compliance.policy.variables import Variables

VALUES: dict[str, object] = {
    "amount_micro_usd": 5_000_000_000,
    "count_1h": 4,
    "kind": "deposit",
    "unknown": None,
    "entries": ("a", "b"),
    "occurred_at": datetime(2026, 1, 1, 5, tzinfo=UTC),
    "is_hub": False,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('amount_micro_usd > usd(1000) && count_1h >= 3 && kind != "repayment"', True),
        ("amount_micro_usd == usd(5000)", True),
        ('amount_micro_usd == usd("5000.000001")', False),
        ("amount_micro_usd % usd(1000) == 0", True),
        ("unknown == null", True),
        ("unknown != null && unknown > 1", False),
        ("unknown > 5 || count_1h == 4", True),
        ("unknown > 5 && count_1h == 5", False),
        ('entries.exists(e, e == "b")', True),
        ('kind in ["draw", "deposit"]', True),
        ("size(entries) == 2", True),
        ("occurred_at.getHours() < 6", True),
        ('timestamp("2026-01-01T00:00:00Z") < occurred_at', True),
        ("is_hub ? count_1h > 100 : count_1h > 3", True),
        ("!is_hub", True),
        ("-count_1h < 0", True),
    ],
)
def test_expression__evaluates(text: str, expected: bool) -> None:
    assert Expression(text).evaluate(VALUES) is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("unknown > 5", "while unknown is unknown"),
        ("absent > 5", "reads absent, which is not there"),
        ("kind > 5", "cannot be evaluated"),
        ("count_1h", "neither true nor false"),
        ("amount_micro_usd / 0 > 1", "cannot be evaluated"),
        ("amount_micro_usd * 9000000000000 > 0", "cannot be evaluated"),
        ('usd("many") > 1', "cannot be evaluated"),
    ],
)
def test_expression__without_an_answer_is_an_error_that_names_no_figure(
    text: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    expression = Expression(text)
    with caplog.at_level(logging.INFO), pytest.raises(ExpressionError) as raised:
        expression.evaluate(VALUES)
    assert problem in str(raised.value)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "5000000000" not in told
    assert raised.value.__context__ is None


@pytest.mark.parametrize("value", [2.5, Decimal("2.5"), {"a": 1}, object(), 2**63])
def test_expression__takes_no_figure_that_is_not_exact(value: object) -> None:
    with pytest.raises(ExpressionError):
        Expression("count_1h > 2").evaluate({"count_1h": value})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("count_1h >", "is not CEL at line 1"),
        ("", "is not CEL"),
        (
            "amount_micro_usd > 1000.5",
            'column 20: 1000.5 is not exact; write whole numbers, or an amount as usd("1000.5")',
        ),
        ("count_1h > 1u", "is not exact"),
        ("double(count_1h) > 1", "there is no function double()"),
        ('kind.matches("(a+)+$")', "there is no method matches()"),
        ("kind.name == 1", "a variable is a plain name"),
        ('{"a": 1} == 1', "no part of conditions"),
        ("count_1h > 1\n&& count_1h > ", "line 2"),
    ],
)
def test_expression__that_is_no_condition_is_refused(text: str, problem: str) -> None:
    with pytest.raises(PolicyInvalidError) as raised:
        Expression(text)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a > 1 && b > a", {"a", "b"}),
        ("list.exists(x, x > limit)", {"list", "limit"}),
        ("usd(a) > 1", {"a"}),
        ("true", set()),
        ("size(list.filter(x, list.exists(y, y == x))) > 0", {"list"}),
    ],
)
def test_expression__knows_what_it_reads(text: str, names: set[str]) -> None:
    assert Expression(text).names == names


@given(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62))
@settings(max_examples=60, deadline=None)
def test_expression__compares_whole_numbers_exactly(left: int, right: int) -> None:
    assert Expression("a < b").evaluate({"a": left, "b": right}) is (left < right)


def test_expression__is_safe_for_several_threads() -> None:
    expression = Expression("a > 10 && entries.exists(e, e == a)")

    def answers(start: int) -> list[bool]:
        return [expression.evaluate({"a": value, "entries": [start]}) for value in range(start, start + 60)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(answers, (11, 200, 0, 3000)))
    assert found == [[True] + [False] * 59, [True] + [False] * 59, [False] * 60, [True] + [False] * 59]


def test_expression__lowers_no_limit_of_the_process() -> None:
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(5000)
        Expression("a > 1")
        assert sys.getrecursionlimit() == 5000
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    ("usd", "expected"),
    [("1", 1_000_000), ("0.000001", 1), ("0.0000005", 0), ("0.0000015", 2), ("1234.567891234", 1_234_567_891)],
)
def test_micro__is_whole_and_rounds_half_to_even(usd: str, expected: int) -> None:
    assert micro(Decimal(usd)) == expected


def transaction(**changes: Any) -> Transaction:
    """A deposit of 650 USD."""
    values: dict[str, Any] = {
        "transaction_id": "t-1",
        "account_id": "acct-1",
        "direction": Direction.IN,
        "kind": "deposit",
        "side": "collateral",
        "asset": "BTC",
        "quantity": Decimal("0.01"),
        "amount_usd": Decimal("650.25"),
        "chain": "bitcoin",
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Transaction(**(values | changes))


def test_variables__are_figures_under_the_names_of_conditions() -> None:
    variables = Variables(Features)
    features = Features(count_1h=3, p95_daily_30d_usd=None, wallet=WalletOutcome.HIT, wallet_entries=("sample-1",))
    wanted = {
        "amount_micro_usd": 650_250_000,
        "p95_daily_30d_micro_usd": None,
        "amount_24h_micro_usd": 0,
        "count_1h": 3,
        "direction": "in",
        "wallet": "hit",
        "wallet_entries": ("sample-1",),
        "is_self_hosted": None,
    }
    assert variables.read(wanted, transaction(), features) == wanted
    condition = (
        'direction == "in" && wallet == "hit" && "sample-1" in wallet_entries && amount_micro_usd > usd("650.24")'
    )
    expression = Expression(condition)
    assert expression.evaluate(variables.read(expression.names, transaction(), features)) is True


def test_variables__leave_out_what_cannot_be_exact() -> None:
    names = Variables(Features).names
    assert not {"quantity", "amount_usd", "bands", "amount_24h_usd"} & names
