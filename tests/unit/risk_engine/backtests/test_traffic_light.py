"""Zones, multipliers and desk limits as printed in the standards."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.risk.engine.backtests import (
    Multipliers,
    Zone,
    desk_counter,
    desk_limit,
    multipliers_of,
    traffic_light,
    zone_of,
)
from assets.risk.engine.errors import RiskInputError

C99, C975, C95 = Decimal("0.99"), Decimal("0.975"), Decimal("0.95")
BASEL_CUMULATIVE = [8.11, 28.58, 54.32, 75.81, 89.22, 95.88, 98.63, 99.60, 99.89, 99.97, 99.99]
PLUS_FACTORS = {0: "0", 4: "0", 5: ".40", 6: ".50", 7: ".65", 8: ".75", 9: ".85", 10: "1.00", 11: "1.00", 250: "1.00"}
FRTB = {
    0: "1.50",
    4: "1.50",
    5: "1.70",
    6: "1.76",
    7: "1.83",
    8: "1.88",
    9: "1.92",
    10: "2.00",
    11: "2.00",
    250: "2.00",
}


@pytest.mark.parametrize(("exceptions", "percent"), list(enumerate(BASEL_CUMULATIVE)))
def test_traffic_light__has_the_cumulative_probabilities_of_basel(exceptions: int, percent: float) -> None:
    assert 100 * traffic_light(exceptions, 250, C99).cumulative_probability == pytest.approx(percent, abs=0.0051)


@pytest.mark.parametrize(("exceptions", "percent"), [(0, 100.0), (5, 10.78), (10, 0.03)])
def test_traffic_light__has_the_type_one_probabilities_of_basel(exceptions: int, percent: float) -> None:
    assert 100 * traffic_light(exceptions, 250, C99).type_one_probability == pytest.approx(percent, abs=0.0051)


def test_zone_of__reproduces_the_table_at_250_days_and_99_percent() -> None:
    zones = [zone_of(exceptions, 250, C99) for exceptions in range(251)]
    assert zones == [Zone.GREEN] * 5 + [Zone.YELLOW] * 5 + [Zone.RED] * 241


@pytest.mark.parametrize(
    ("observations", "confidence", "green_up_to", "yellow_up_to"),
    [(500, C99, 8, 14), (250, C975, 10, 16), (250, C95, 17, 26), (1000, C99, 14, 23)],
)
def test_zone_of__generalises_by_cumulative_probability(
    observations: int, confidence: Decimal, green_up_to: int, yellow_up_to: int
) -> None:
    zones = [zone_of(exceptions, observations, confidence) for exceptions in range(observations + 1)]
    assert zones.index(Zone.YELLOW) == green_up_to + 1
    assert zones.index(Zone.RED) == yellow_up_to + 1


@pytest.mark.parametrize("observations", [0, 1, 5, 50, 250])
def test_zone_of__is_green_without_exceptions_at_any_length(observations: int) -> None:
    assert zone_of(0, observations, C99) is Zone.GREEN


@pytest.mark.parametrize("exceptions", sorted(PLUS_FACTORS))
def test_multipliers_of__follow_both_tables(exceptions: int) -> None:
    plus_factor = Decimal(PLUS_FACTORS[exceptions])
    assert multipliers_of(exceptions, 250, C99) == Multipliers(plus_factor, 3 + plus_factor, Decimal(FRTB[exceptions]))


@pytest.mark.parametrize(("observations", "confidence"), [(249, C99), (251, C99), (500, C99), (250, C975)])
def test_multipliers_of__are_undefined_outside_250_days_at_99_percent(observations: int, confidence: Decimal) -> None:
    assert multipliers_of(3, observations, confidence) is None
    assert traffic_light(3, observations, confidence).multipliers is None


@pytest.mark.parametrize(("confidence", "limit"), [(C99, 12), (Decimal("0.990"), 12), (C975, 30), (C95, None)])
def test_desk_limit__is_defined_at_two_confidences(confidence: Decimal, limit: int | None) -> None:
    assert desk_limit(confidence) == limit


@pytest.mark.parametrize(
    ("confidence", "exceptions", "breached"), [(C99, 12, False), (C99, 13, True), (C975, 30, False), (C975, 31, True)]
)
def test_desk_counter__is_breached_by_more_than_the_limit(confidence: Decimal, exceptions: int, breached: bool) -> None:
    pnl = np.zeros(250)
    pnl[:exceptions] = -2.0
    counter = desk_counter(pnl, np.ones(250), confidence)
    assert counter is not None
    assert (counter.exceptions, counter.observations, counter.breached) == (exceptions, 250, breached)


def test_desk_counter__looks_at_the_last_250_observations() -> None:
    pnl = np.zeros(600)
    pnl[:350], pnl[-3:] = -2.0, -2.0
    counter = desk_counter(pnl, np.ones(600), C99)
    assert counter is not None
    assert (counter.exceptions, counter.observations) == (3, 250)
    assert desk_counter(pnl, np.ones(600), C95) is None


@pytest.mark.parametrize(("exceptions", "observations"), [(-1, 250), (251, 250)])
def test_traffic_light__refuses_impossible_counts(exceptions: int, observations: int) -> None:
    with pytest.raises(RiskInputError, match="cannot happen in 250 days"):
        traffic_light(exceptions, observations, C99)


@given(observations=st.integers(1, 2000), confidence=st.sampled_from([C95, C975, C99]), data=st.data())
def test_zone_of__never_improves_with_one_more_exception(
    observations: int, confidence: Decimal, data: st.DataObject
) -> None:
    order = [Zone.GREEN, Zone.YELLOW, Zone.RED]
    exceptions = data.draw(st.integers(0, observations - 1))
    now, then = (order.index(zone_of(exceptions + more, observations, confidence)) for more in (0, 1))
    light = traffic_light(exceptions, observations, confidence)
    assert now <= then
    assert 0 <= light.cumulative_probability <= 1
    assert 0 <= light.type_one_probability <= 1
