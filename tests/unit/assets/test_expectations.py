"""Suites of Great Expectations as checks: broken rows fail, and so does what could not be evaluated."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import dagster as dg

    from assets.expectations import Expected, Suite, evaluate, read_rows
    from assets.market_data.checks import CLOSES, PRICES
    from assets.settlements.checks import EVENTS

KEY = dg.AssetKey(["raw", "t"])
Evaluate = Callable[[Suite, pd.DataFrame], dict[str, dg.AssetCheckResult]]


@pytest.fixture(autouse=True)
def _environment_kept() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def evaluated() -> Evaluate:
    """Results by name; what Great Expectations and its libraries warn of is not ours."""

    def run(suite: Suite, rows: pd.DataFrame) -> dict[str, dg.AssetCheckResult]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {str(result.check_name): result for result in evaluate(suite, rows)}

    return run


def suite(*expected: Expected) -> Suite:
    return Suite(KEY, "select 1", expected)


POSITIVE = Expected("positive", "ExpectColumnValuesToBeBetween", {"column": "n", "min_value": 1})
PRESENT = Expected("present", "ExpectColumnValuesToNotBeNull", {"column": "n"})


def test_evaluate__rows_that_hold_pass(evaluated: Evaluate) -> None:
    found = evaluated(suite(POSITIVE, PRESENT), pd.DataFrame({"n": [1, 2]}))
    assert {name: result.passed for name, result in found.items()} == {"positive": True, "present": True}
    assert found["positive"].metadata["rows_checked"].value == 2
    assert found["positive"].description is None


def test_evaluate__rows_that_break_it_fail_with_examples(evaluated: Evaluate) -> None:
    found = evaluated(suite(POSITIVE, PRESENT), pd.DataFrame({"n": [1, -7, None]}))
    assert not found["positive"].passed
    assert found["positive"].metadata["unexpected_rows"].value == 1
    assert found["positive"].metadata["examples"].value == ["-7.0"]
    assert not found["present"].passed
    assert found["positive"].severity is dg.AssetCheckSeverity.ERROR


def test_evaluate__what_cannot_be_evaluated_fails_and_says_so(evaluated: Evaluate) -> None:
    missing = Expected("missing", "ExpectColumnValuesToNotBeNull", {"column": "gone"})
    found = evaluated(suite(missing, POSITIVE), pd.DataFrame({"n": [5]}))
    assert not found["missing"].passed
    assert str(found["missing"].description).startswith("could not be evaluated: ")
    assert "gone" in str(found["missing"].description)
    assert found["positive"].passed


def test_specs__are_blocking_checks_of_the_asset_that_say_what_is_expected() -> None:
    [spec] = suite(POSITIVE).check_specs()
    assert (spec.asset_key, spec.name, spec.blocking) == (KEY, "positive", True)
    assert spec.description == "ExpectColumnValuesToBeBetween(column=n, min_value=1)"


class Rows:
    """A warehouse that reads always the same."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def query(self, sql: str) -> list[dict[str, Any]]:
        assert "limit" in sql
        return self.rows


@pytest.mark.parametrize("chosen", [PRICES, CLOSES, EVENTS], ids=["prices", "closes", "events"])
def test_suite__an_empty_table_keeps_its_columns(evaluated: Evaluate, chosen: Suite) -> None:
    warehouse: Any = Rows([])
    found = evaluated(chosen, read_rows(warehouse, chosen))
    assert set(found) == {item.name for item in chosen.expected}
    assert {name for name, result in found.items() if not result.passed} == {"rows_present"} & set(found)


GOOD_PRICE = {"price_id": "px", "asset": "BTC", "price_usd": 65_000.0, "quality": "ok"}
GOOD_EVENT = {"event_id": "ev", "account_id": "a", "side": "borrow", "kind": "draw", "quantity": 1e-18}


@pytest.mark.parametrize(
    ("chosen", "good", "bad", "broken"),
    [
        (PRICES, GOOD_PRICE, {"price_id": None}, "price_id_present"),
        (PRICES, GOOD_PRICE, {"asset": "btc"}, "asset_is_a_symbol"),
        (PRICES, GOOD_PRICE, {"price_usd": 0.0}, "price_is_positive"),
        (PRICES, GOOD_PRICE, {"quality": "fine"}, "quality_is_known"),
        (EVENTS, GOOD_EVENT, {"account_id": None}, "account_present"),
        (EVENTS, GOOD_EVENT, {"quantity": 0.0}, "quantity_is_positive"),
        (EVENTS, GOOD_EVENT, {"side": "debt"}, "side_is_known"),
        (EVENTS, GOOD_EVENT, {"kind": "gift"}, "kind_is_known"),
    ],
)
def test_suite__names_exactly_what_is_broken(
    evaluated: Evaluate, chosen: Suite, good: dict[str, Any], bad: dict[str, Any], broken: str
) -> None:
    warehouse: Any = Rows([good, good | bad])
    found = evaluated(chosen, read_rows(warehouse, chosen))
    assert {name for name, result in found.items() if not result.passed} == {broken}


def test_suite__a_degraded_price_without_a_value_is_fine(evaluated: Evaluate) -> None:
    warehouse: Any = Rows([GOOD_PRICE | {"price_usd": None, "quality": "degraded"}])
    assert all(result.passed for result in evaluated(PRICES, read_rows(warehouse, PRICES)).values())
