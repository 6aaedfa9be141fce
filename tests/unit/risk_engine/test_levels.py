"""The size of a tail is exact, the ranks of its interval are those of the binomial, and the dbt macros agree."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import cache
from types import SimpleNamespace
from typing import Any, NoReturn

import jinja2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.levels import (
    INTERVAL_CONFIDENCE,
    STANDARD_CONFIDENCES,
    TailRanks,
    checked_confidence,
    tail_count,
    tail_ranks,
)
from assets.risk.engine.methods import STANDARD_HORIZONS, STANDARD_WINDOW, STANDARD_WINDOWS, Method
from infra.runtime.settings import PROJECT_ROOT

untimed = settings(deadline=None)
DBT = PROJECT_ROOT / "dbt_project"
MACROS = DBT / "macros" / "var_tail.sql"
VARIABLES = yaml.safe_load((DBT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
STANDARD = [(window, confidence) for window in STANDARD_WINDOWS for confidence in STANDARD_CONFIDENCES]
OUTSIDE = ["0.5", "0.49", "0", "-0.99", "1", "1.01", "99", "NaN", "-NaN", "Infinity", "-Infinity"]


@pytest.mark.parametrize(
    ("observations", "confidence", "k"),
    [
        (250, "0.95", 13),
        (250, "0.975", 7),
        (250, "0.99", 3),
        (250, "0.999", 1),
        (500, "0.95", 25),
        (500, "0.975", 13),
        (500, "0.99", 5),
        (500, "0.999", 1),
        (1000, "0.95", 50),
        (1000, "0.975", 25),
        (1000, "0.99", 10),
        (1000, "0.999", 1),
        (2000, "0.999", 2),
        (100, "0.99", 1),
        (101, "0.99", 2),
        (1, "0.99", 1),
        (1, "0.500000001", 1),
        (2, "0.500000001", 1),
        (500, "0.990000001", 5),
        (500, "0.989999999", 6),
        (10**9, "0.999999999", 1),
        # 0.99 as a float is a little less than 0.99, which is one loss more.
        (500, str(Decimal(0.99)), 6),  # noqa: RUF032
    ],
)
def test_tail_count__is_exact(observations: int, confidence: str, k: int) -> None:
    assert tail_count(observations, Decimal(confidence)) == k


@untimed
@given(st.integers(1, 5_000), st.decimals("0.500000001", "0.999999999", places=9))
def test_tail_count__is_the_smallest_share_that_is_enough(observations: int, confidence: Decimal) -> None:
    k, wanted = tail_count(observations, confidence), observations * (1 - Fraction(confidence))
    assert k - 1 < wanted <= k
    assert 1 <= k <= observations


@pytest.mark.parametrize("confidence", OUTSIDE)
def test_confidence__outside_a_half_and_one_is_refused(confidence: str) -> None:
    level = Decimal(confidence)
    for refusing in (checked_confidence, lambda each: tail_count(500, each), lambda each: tail_ranks(500, each)):
        with pytest.raises(RiskInputError, match=r"is not between 0\.5 and 1, both excluded"):
            refusing(level)
    with pytest.raises(RiskInputError, match="is not between"):
        tail_ranks(500, Decimal("0.99"), level)


@pytest.mark.parametrize("observations", [0, -1])
def test_tail__of_no_observations_is_refused(observations: int) -> None:
    for refusing in (tail_count, tail_ranks):
        with pytest.raises(RiskInputError, match="at least one observation"):
            refusing(observations, Decimal("0.99"))


def enumerated(observations: int, confidence: Decimal, interval: Decimal = INTERVAL_CONFIDENCE) -> TailRanks:
    """The ranks by their definition, from exact probabilities of the number of losses beyond the quantile."""
    beyond, left_out = 1 - Fraction(confidence), (1 - Fraction(interval)) / 2
    total, milder, worse = Fraction(0), None, None
    for rank in range(1, observations + 1):
        total += math.comb(observations, rank - 1) * beyond ** (rank - 1) * (1 - beyond) ** (observations - rank + 1)
        if total <= left_out:
            worse = rank
        if 1 - total <= left_out:
            milder = rank
            break
    tail = math.ceil(observations * beyond)
    return TailRanks(tail, worse, milder)


@pytest.mark.parametrize(("observations", "confidence"), [*STANDARD, (1, Decimal("0.99")), (60, Decimal("0.95"))])
def test_tail_ranks__are_those_of_an_exact_enumeration(observations: int, confidence: Decimal) -> None:
    assert tail_ranks(observations, confidence) == enumerated(observations, confidence)


@pytest.mark.parametrize(
    ("observations", "confidence", "ranks"),
    [
        (500, "0.99", TailRanks(5, 1, 11)),
        (500, "0.999", TailRanks(1, None, 3)),
        (250, "0.99", TailRanks(3, None, 7)),
        (250, "0.95", TailRanks(13, 6, 21)),
        (1, "0.99", TailRanks(1, None, 1)),
    ],
)
def test_tail_ranks__bound_a_quantile_only_where_the_sample_can(
    observations: int, confidence: str, ranks: TailRanks
) -> None:
    assert tail_ranks(observations, Decimal(confidence)) == ranks


@untimed
@given(st.integers(1, 120), st.sampled_from(["0.6", "0.9", "0.95", "0.975", "0.99"]), st.sampled_from(["0.8", "0.95"]))
def test_tail_ranks__enclose_the_estimate_for_any_sample(observations: int, confidence: str, interval: str) -> None:
    ranks = tail_ranks(observations, Decimal(confidence), Decimal(interval))
    assert ranks == enumerated(observations, Decimal(confidence), Decimal(interval))
    assert ranks.upper is None or ranks.upper <= ranks.tail
    assert ranks.lower is None or ranks.lower >= ranks.tail
    assert ranks.deepest == max(ranks.tail, ranks.lower or 0)
    assert ranks.deepest <= observations


BOUNDED = [(n, c) for n, c in STANDARD if tail_ranks(n, c).upper and tail_ranks(n, c).lower]


@pytest.mark.parametrize(("observations", "confidence"), BOUNDED)
def test_tail_ranks__cover_the_true_quantile_at_least_as_often_as_promised(
    observations: int, confidence: Decimal
) -> None:
    ranks = tail_ranks(observations, confidence)
    assert ranks.upper is not None
    assert ranks.lower is not None
    # Of uniform losses the quantile is the confidence, and what lies beyond it is Binomial; that is all that counts.
    losses = np.random.default_rng(20260130).random((8_000, observations))
    worst = -np.sort(np.partition(-losses, ranks.deepest - 1, axis=1)[:, : ranks.deepest], axis=1)
    quantile = float(confidence)
    covered = (worst[:, ranks.lower - 1] <= quantile) & (quantile <= worst[:, ranks.upper - 1])
    assert covered.mean() >= float(INTERVAL_CONFIDENCE)


class Returned(Exception):  # noqa: N818
    """Carries what a macro returns, as in dbt."""

    def __init__(self, value: Any) -> None:
        self.value = value


@cache
def macros() -> dict[str, Callable[..., Any]]:
    """The macros of the file by name, each of which may call all of them, with the project's variables."""

    def returned(value: Any) -> NoReturn:
        raise Returned(value)

    def refused(message: str) -> NoReturn:
        raise RiskInputError(message)

    exceptions = SimpleNamespace(raise_compiler_error=refused)
    known: dict[str, Any] = {"var": VARIABLES.__getitem__, "return": returned, "exceptions": exceptions}
    environment = jinja2.Environment(autoescape=False)

    def callable_of(name: str, source: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                return getattr(environment.from_string(source).make_module(known), name)(*arguments)
            except Returned as found:
                return found.value

        return call

    text = MACROS.read_text(encoding="utf-8")
    for found in re.finditer(r"\{%-? macro (\w+)\(.*?endmacro -?%\}", text, re.DOTALL):
        known[found[1]] = callable_of(found[1], found[0])
    return known


def test_dbt_variables__are_the_constants_of_the_engine() -> None:
    assert VARIABLES["var_windows"] == list(STANDARD_WINDOWS)
    assert VARIABLES["var_standard_window"] == STANDARD_WINDOW
    assert VARIABLES["var_horizons_days"] == list(STANDARD_HORIZONS)
    assert VARIABLES["var_confidences_bp"] == [each * 10_000 for each in STANDARD_CONFIDENCES]
    assert VARIABLES["var_interval_confidence_bp"] == INTERVAL_CONFIDENCE * 10_000
    assert set(VARIABLES["var_account_methods"]) <= set(VARIABLES["var_book_methods"]) < set(Method)


@pytest.mark.parametrize(("observations", "confidence"), STANDARD)
def test_dbt_macros__give_the_same_ranks(observations: int, confidence: Decimal) -> None:
    confidence_bp = int(confidence * 10_000)
    ranks = tail_ranks(observations, confidence)
    expected = {"tail": ranks.tail, "upper": ranks.upper, "lower": ranks.lower}
    assert macros()["tail_ranks"](observations, confidence_bp) == expected
    assert int(macros()["tail_observations"](observations, confidence_bp)) == ranks.tail


@pytest.mark.parametrize("observations", STANDARD_WINDOWS)
def test_dbt_macros__keep_as_many_losses_as_any_figure_needs(observations: int) -> None:
    deepest = max(tail_ranks(observations, confidence).deepest for confidence in STANDARD_CONFIDENCES)
    assert macros()["deepest_rank"](observations) == deepest


@pytest.mark.parametrize("confidence_bp", [0, 4_999, 5_000, 10_000, 10_001, 99])
def test_dbt_macros__refuse_a_confidence_outside_a_half_and_one(confidence_bp: int) -> None:
    with pytest.raises(RiskInputError, match=f"var_confidences_bp: {confidence_bp} is not between 5000 and 10000"):
        macros()["tail_observations"](500, confidence_bp)
