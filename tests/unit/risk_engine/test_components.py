"""Components sum to the whole, increments and stand-alone figures are recomputed without the engine's own sort."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from assets.risk.engine.components import components
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.estimators import Floats, historical
from assets.risk.engine.levels import STANDARD_CONFIDENCES

untimed = settings(deadline=None)
LEVELS = [*STANDARD_CONFIDENCES, Decimal("0.75")]
Z99 = Decimal("0.99")


def parts_of(parts: int, scenarios: int) -> Floats:
    """P&L of parts that move together, the last of which is a hedge."""
    generator = np.random.default_rng(11)
    common = generator.standard_t(4, scenarios) * 100
    sizes = np.append(np.arange(parts - 1, 0, -1), -0.5)[:parts, None]
    return np.asarray(sizes * common + generator.normal(0, 20, (parts, scenarios)))


def worst_of(pnl: list[float], confidence: Decimal) -> list[int]:
    """Places of the k worst, the older of equal ones first."""
    k = math.ceil(len(pnl) * (1 - Fraction(confidence)))
    return sorted(range(len(pnl)), key=lambda place: (pnl[place], place))[:k]


@pytest.mark.parametrize("scenarios", [1, 60, 250, 500])
@pytest.mark.parametrize("parts", [1, 2, 6])
def test_components__sum_to_var_and_es(parts: int, scenarios: int) -> None:
    pnl = parts_of(parts, scenarios)
    for found, tail in zip(components(pnl, LEVELS), historical(pnl.sum(axis=0)[None, :], LEVELS), strict=True):
        assert found.confidence == tail.confidence
        assert (found.var, found.es) == pytest.approx((tail.var[0], tail.es[0]), rel=1e-12)
        assert math.fsum(found.component_var) == pytest.approx(found.var, rel=1e-9)
        assert math.fsum(found.component_es) == pytest.approx(found.es, rel=1e-9)


@untimed
@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 60)), elements=st.integers(-(10**6), 10**6)))
def test_components__of_whole_dollars_sum_exactly(parts: Floats) -> None:
    for found in components(parts, LEVELS):
        assert found.component_var.sum() == found.var
        assert found.component_es.sum() == pytest.approx(found.es, rel=1e-9, abs=1e-3)
        k = len(worst_of(parts.sum(axis=0).tolist(), found.confidence))
        assert (found.component_es * k).sum() == pytest.approx(found.es * k, rel=1e-9, abs=1e-3)


def test_components__are_the_losses_of_the_parts_in_the_tail_of_the_whole() -> None:
    pnl = parts_of(4, 250)
    whole = [math.fsum(column) for column in pnl.T]
    for found in components(pnl, LEVELS):
        places = worst_of(whole, found.confidence)
        for part in range(4):
            losses = [-float(pnl[part, place]) for place in places]
            assert found.component_var[part] == pytest.approx(losses[-1])
            assert found.component_es[part] == pytest.approx(math.fsum(losses) / len(losses))


def test_incremental_and_standalone__are_recomputed_without_and_of_the_part_alone() -> None:
    pnl = parts_of(5, 250)
    for found in components(pnl, LEVELS):
        for part in range(5):
            without = [math.fsum(column) for column in np.delete(pnl, part, axis=0).T]
            alone = pnl[part].tolist()
            var_without = -without[worst_of(without, found.confidence)[-1]]
            assert found.incremental_var[part] == pytest.approx(found.var - var_without, abs=1e-9)
            assert found.standalone_var[part] == pytest.approx(-alone[worst_of(alone, found.confidence)[-1]])


def test_single_part__is_the_whole() -> None:
    pnl = parts_of(1, 250)
    for found in components(pnl, LEVELS):
        figures = [found.component_var[0], found.incremental_var[0], found.standalone_var[0]]
        assert figures == [found.var] * 3
        assert found.component_es[0] == pytest.approx(found.es)


def test_hedge__has_a_negative_component_and_increment_and_a_positive_standalone() -> None:
    for found in components(parts_of(5, 500), STANDARD_CONFIDENCES):
        assert found.component_var[-1] < 0
        assert found.component_es[-1] < 0
        assert found.incremental_var[-1] < 0
        assert found.standalone_var[-1] > 0
        assert found.standalone_var[:-1].sum() > found.var


def test_perfect_hedge__leaves_nothing() -> None:
    pnl = parts_of(1, 250)
    (found,) = components(np.vstack([pnl, -pnl]), [Z99])
    assert found.var == found.es == 0
    assert found.component_var.sum() == found.component_es.sum() == 0
    # Without one half the other stands alone.
    np.testing.assert_array_equal(found.incremental_var, -found.standalone_var[::-1])


def test_ties__of_the_whole_are_ordered_by_age() -> None:
    # The whole loses 10 on forty days, and the tail of four takes the oldest of these, whoever lost on them.
    parts = np.zeros((2, 400))
    parts[0, 5:400:20] = -10.0
    parts[1, 10:400:20] = -10.0
    parts[1, 17] = -10.0
    (found,) = components(parts, [Z99])
    assert (found.var, found.es) == (10.0, 10.0)
    assert found.component_var.tolist() == [10.0, 0.0]
    assert found.component_es.tolist() == [5.0, 5.0]
    (turned,) = components(parts[:, ::-1], [Z99])
    assert turned.component_var.tolist() == [10.0, 0.0]
    assert turned.component_es.tolist() == [5.0, 5.0]


def test_components__scale_with_the_portfolio() -> None:
    pnl = parts_of(3, 250)
    for found, doubled in zip(components(pnl, LEVELS), components(pnl * 2, LEVELS), strict=True):
        for name in ("var", "es", "component_var", "component_es", "incremental_var", "standalone_var"):
            np.testing.assert_allclose(getattr(doubled, name), getattr(found, name) * 2, rtol=1e-12)


def test_components__refuse_no_scenarios_and_a_wrong_confidence() -> None:
    with pytest.raises(RiskInputError, match="at least one observation"):
        components(np.empty((2, 0)), [Z99])
    with pytest.raises(RiskInputError, match="is not between"):
        components(np.zeros((2, 5)), [Decimal("0.4")])
