"""One portfolio: every label of its rows, which method makes the headline, its components and its scenarios."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal, localcontext

import numpy as np
import pytest

from assets.risk.engine.batch import Histories, Question
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.levels import STANDARD_CONFIDENCES
from assets.risk.engine.methods import Method
from assets.risk.engine.portfolio import (
    Estimate,
    asset_components,
    estimates,
    exposure_vector,
    headline,
    scenarios,
    usd,
)

WINDOW = 250
Z975, Z99 = Decimal("0.975"), Decimal("0.99")
LEVELS = (Z975, Z99)
NANO = Decimal("0.000000001")
HELD: Mapping[str, Decimal | None] = {"ETH": Decimal("-20000"), "BTC": Decimal("50000.5"), "DAI": Decimal(0)}


@pytest.fixture
def histories(make_histories: Callable[..., Histories]) -> Histories:
    draw = np.random.default_rng(41).normal
    return make_histories(
        {"BTC": draw(0, 0.03, 255), "DAI": np.zeros(300), "ETH": draw(0, 0.04, 300), "NEW": draw(0, 0.06, 100)}
    )


def ask(histories: Histories, method: Method, horizon_days: int = 1) -> list[Estimate]:
    return estimates({"ETH": Decimal(100)}, histories, [Question(method, horizon_days, WINDOW, LEVELS)])


@pytest.mark.parametrize(
    ("method", "estimator", "ten_day_rule", "interval"),
    [
        ("historical_simulation", "kth_worst_loss", "overlapping_returns", "order_statistics"),
        ("age_weighted", "weighted_worst_losses", "overlapping_returns", "bootstrap"),
        ("volatility_scaled", "kth_worst_loss", "square_root_of_time", "order_statistics"),
        ("delta_normal", "normal_closed_form", "square_root_of_time", "chi_square"),
        ("ewma_delta_normal", "normal_closed_form", "square_root_of_time", "chi_square"),
        ("student_t_copula", "kth_worst_loss", "square_root_of_time", "simulation"),
    ],
)
def test_estimate__names_all_that_it_rests_on(
    histories: Histories, method: str, estimator: str, ten_day_rule: str, interval: str
) -> None:
    for horizon_days, rule in ((1, "one_day"), (10, ten_day_rule)):
        rows = ask(histories, Method(method), horizon_days)
        assert [row.confidence for row in rows] == list(LEVELS)
        assert [row.tail_observations for row in rows] == [7, 3]
        for row in rows:
            assert (row.method, row.estimator) == (method, estimator)
            assert (row.horizon_days, row.horizon_rule) == (horizon_days, rule)
            assert (row.window_observations, row.observations) == (250, 250)
            assert (row.interval_method, row.interval_confidence) == (interval, Decimal("0.95"))
            assert (row.is_fallback, row.reason) == (False, None)
            is_simulated = method == "student_t_copula"
            assert row.seed == (histories.seed(Method.T_COPULA, WINDOW) if is_simulated else None)
            figures = [getattr(row, each.name) for each in fields(row) if each.name.endswith("_usd")]
            assert len(figures) == 6
            known = [each for each in figures if each is not None]
            assert all(each == each.quantize(NANO) and each > 0 for each in known)
            assert row.var_usd is not None
            assert row.es_usd is not None
            assert row.es_usd >= row.var_usd


def test_estimates__answer_questions_in_turn(histories: Histories) -> None:
    asked = [Question(Method.DELTA_NORMAL, 1, 60, LEVELS), Question(Method.HISTORICAL, 10, 100, (Z99,))]
    rows = estimates(HELD, histories, asked)
    found = [(row.method, row.horizon_days, row.window_observations, row.confidence) for row in rows]
    assert found == [
        (Method.DELTA_NORMAL, 1, 60, Z975),
        (Method.DELTA_NORMAL, 1, 60, Z99),
        (Method.HISTORICAL, 10, 100, Z99),
    ]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (1.5, "1.500000000"),
        (1234.5678901234, "1234.567890123"),
        (0.0000000005, "0.000000001"),
        (-0.0000000005, "-0.000000001"),
        (0.0000000004, "0.000000000"),
        (-0.0000000004, "0.000000000"),
        (-0.0, "0.000000000"),
        (1e-300, "0.000000000"),
        (1e18, "1000000000000000000.000000000"),
        (-1e25, "-10000000000000000000000000.000000000"),
        (1.5e300, f"15{'0' * 299}.{'0' * 9}"),
        (float("nan"), None),
    ],
)
def test_usd__keeps_nine_decimals_and_no_sign_on_nought(value: float, stored: str | None) -> None:
    with localcontext(prec=6):
        found = usd(value)
    assert (None if found is None else format(found, "f")) == stored


def test_exposure_vector__stands_in_the_order_of_assets() -> None:
    found = exposure_vector({"ETH": Decimal("1.5"), "BTC": None, "XRP": Decimal("NaN")}, ["BTC", "ETH", "SOL", "XRP"])
    np.testing.assert_array_equal(found, [[np.nan, 1.5, 0.0, np.nan]])


@pytest.mark.parametrize(
    ("exposures", "told"),
    [
        ({}, "the portfolio is empty: it has no exposure to estimate a risk of"),
        ({"BTC": Decimal(1), "XMR": Decimal(1), "ADA": None}, "unknown assets: ADA, XMR"),
        ({"BTC": Decimal("Infinity")}, "an exposure is infinite"),
        ({"BTC": Decimal("-1e999")}, "an exposure is infinite"),
    ],
)
def test_portfolio__that_cannot_be_one_is_refused_everywhere(
    histories: Histories, exposures: dict[str, Decimal | None], told: str
) -> None:
    window = histories.window(WINDOW, 1)
    for refusing in (
        lambda: estimates(exposures, histories, [Question(Method.HISTORICAL, 1, WINDOW, LEVELS)]),
        lambda: headline(exposures, histories, WINDOW),
        lambda: asset_components(exposures, window, LEVELS),
        lambda: scenarios(exposures, window),
    ):
        with pytest.raises(RiskInputError) as refused:
            refusing()
        assert str(refused.value) == told


def test_headline__is_historical_where_it_has_a_figure(histories: Histories) -> None:
    rows = headline(HELD, histories, WINDOW)
    assert rows == estimates(HELD, histories, [Question(Method.HISTORICAL, 1, WINDOW, STANDARD_CONFIDENCES)])
    assert {row.method for row in rows} == {Method.HISTORICAL}
    assert [row.confidence for row in rows] == list(STANDARD_CONFIDENCES)


@pytest.mark.parametrize("horizon_days", [1, 10])
def test_headline__is_the_fallback_where_history_is_short(histories: Histories, horizon_days: int) -> None:
    exposures: dict[str, Decimal | None] = {"BTC": Decimal(5), "NEW": Decimal(-3)}
    rows = headline(exposures, histories, WINDOW, horizon_days, LEVELS)
    for row in rows:
        assert (row.method, row.is_fallback) == (Method.EWMA_DELTA_NORMAL, True)
        assert (row.observations, row.window_observations) == (100, 250)
        assert row.reason == "100 common returns, for NEW has 100 of 250 returns"
        assert row.horizon_rule == ("one_day" if horizon_days == 1 else "square_root_of_time")
        assert row.var_usd is not None


def test_headline__says_that_it_is_a_fallback_though_all_one_day_returns_are_there(histories: Histories) -> None:
    # 255 returns of a day are enough for a window of 250, but make no more than 246 of ten days.
    exposures: dict[str, Decimal | None] = {"BTC": Decimal(5)}
    (direct,) = estimates(exposures, histories, [Question(Method.EWMA_DELTA_NORMAL, 10, WINDOW, (Z99,))])
    assert (direct.is_fallback, direct.reason) == (False, None)
    (row,) = headline(exposures, histories, WINDOW, 10, [Z99])
    assert (row.method, row.var_usd, row.observations) == (Method.EWMA_DELTA_NORMAL, direct.var_usd, 250)
    assert (row.is_fallback, row.reason) == (True, "BTC has 246 of 250 returns")


@pytest.mark.parametrize(
    ("exposures", "reason"),
    [
        ({"DAI": Decimal(1)}, "DAI never moved in 250 returns"),
        ({"NEW": Decimal(1), "DAI": Decimal(1)}, "DAI never moved in 250 returns; NEW has 100 of 250 returns"),
        ({"BTC": Decimal(1), "ETH": None}, "the exposure to ETH has no value"),
    ],
)
def test_headline__without_any_figure_is_historical_with_the_reason(
    histories: Histories, exposures: dict[str, Decimal | None], reason: str
) -> None:
    for row in headline(exposures, histories, WINDOW, confidences=LEVELS):
        assert (row.method, row.is_fallback, row.reason) == (Method.HISTORICAL, False, reason)
        assert {getattr(row, each.name) for each in fields(row) if each.name.endswith("_usd")} == {None}


def test_estimate__of_nothing_is_nought_without_a_sign(histories: Histories) -> None:
    for method in Method:
        for row in estimates({"ETH": Decimal(0)}, histories, [Question(method, 1, WINDOW, LEVELS)]):
            assert (str(row.var_usd), str(row.es_usd), row.reason) == ("0E-9", "0E-9", None)


@pytest.mark.parametrize("net", ["1e-18", "1e18", "-1e18", "1e20"])
def test_estimate__takes_exposures_of_any_size(histories: Histories, net: str) -> None:
    asked = [Question(Method.HISTORICAL, 1, WINDOW, (Z99,))]
    window, size, sign = histories.window(WINDOW, 1), abs(float(net)), Decimal(1).copy_sign(Decimal(net))
    (one,), (row,) = (estimates({"ETH": exposure}, histories, asked) for exposure in (sign, Decimal(net)))
    assert one.var_usd is not None
    assert row.var_usd is not None
    assert float(row.var_usd) == pytest.approx(float(one.var_usd) * size, rel=1e-7, abs=1e-9)
    (component,) = asset_components({"ETH": Decimal(net)}, window, [Z99])
    assert component.component_var_usd == component.standalone_var_usd == row.var_usd
    assert component.marginal_var_ratio == one.var_usd * sign


def test_components__sum_to_the_estimate_and_name_each_asset_that_is_exposed(histories: Histories) -> None:
    rows = asset_components(HELD, histories.window(WINDOW, 1), LEVELS)
    assert [(row.asset, row.confidence) for row in rows] == [
        (asset, level) for level in LEVELS for asset in ("ETH", "BTC")
    ]
    standard = {row.confidence: row for row in headline(HELD, histories, WINDOW, confidences=LEVELS)}
    for level, estimate in standard.items():
        parts = {row.asset: row for row in rows if row.confidence == level}
        assert estimate.var_usd is not None
        assert estimate.es_usd is not None
        assert abs(sum(row.component_var_usd for row in parts.values()) - estimate.var_usd) <= 2 * NANO
        assert abs(sum(row.component_es_usd for row in parts.values()) - estimate.es_usd) <= 2 * NANO
        for asset, other in (("BTC", "ETH"), ("ETH", "BTC")):
            row = parts[asset]
            assert row.exposure_usd == HELD[asset]
            (alone,), (without,) = (
                headline({each: HELD[each]}, histories, WINDOW, 1, [level]) for each in (asset, other)
            )
            assert row.standalone_var_usd == alone.var_usd
            assert without.var_usd is not None
            assert abs(row.incremental_var_usd - (estimate.var_usd - without.var_usd)) <= 2 * NANO
            assert row.marginal_var_ratio is not None
            assert row.marginal_var_ratio * row.exposure_usd == pytest.approx(
                row.component_var_usd, abs=Decimal("1e-4")
            )


@pytest.mark.parametrize(
    "exposures",
    [
        {"BTC": Decimal(1), "NEW": Decimal(1)},
        {"DAI": Decimal(1)},
        {"BTC": Decimal(1), "ETH": None},
        {"BTC": Decimal("NaN")},
    ],
)
def test_components_and_scenarios__are_none_where_there_is_no_estimate(
    histories: Histories, exposures: dict[str, Decimal | None]
) -> None:
    window = histories.window(WINDOW, 1)
    assert asset_components(exposures, window, LEVELS) == []
    assert scenarios(exposures, window) == []


def test_components__of_no_exposure_are_none_and_a_wrong_confidence_is_refused(histories: Histories) -> None:
    window = histories.window(WINDOW, 1)
    assert asset_components({"BTC": Decimal(0), "NEW": Decimal(0)}, window, LEVELS) == []
    with pytest.raises(RiskInputError, match="is not between"):
        asset_components(HELD, window, [Decimal(1)])


@pytest.mark.parametrize("horizon_days", [1, 10])
def test_scenarios__are_the_pnl_of_each_day_oldest_first(histories: Histories, horizon_days: int) -> None:
    window = histories.window(100, horizon_days)
    found = scenarios(HELD, window)
    last = histories.as_of
    assert [each.scenario_date for each in found] == [last - timedelta(days=back) for back in range(99, -1, -1)]
    expected = window.of(["BTC"])[:, 0] * 50000.5 - window.of(["ETH"])[:, 0] * 20000
    assert [float(each.pnl_usd) for each in found] == pytest.approx(expected, abs=1e-8)
    (row,) = headline(HELD, histories, 100, horizon_days, [Z99])
    assert row.var_usd == -min(each.pnl_usd for each in found)


def test_scenarios__do_not_need_returns_of_an_asset_without_exposure(histories: Histories) -> None:
    window = histories.window(WINDOW, 1)
    assert scenarios({"BTC": Decimal(5), "NEW": Decimal(0)}, window) == scenarios({"BTC": Decimal(5)}, window)
    assert {each.pnl_usd for each in scenarios({"NEW": Decimal(0)}, window)} == {Decimal(0)}
