"""Options of the risk pages' charts: bins, units, marks, and the words that stand for them."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.market_data.oracle_queries import Spread
from assets.market_data.price_quality_queries import PricePath
from assets.risk.queries import ValueAtRisk
from assets.risk.stress_queries import StressResult
from assets.risk.var_page_queries import Forecast, ScenarioPnl
from assets.risk.var_queries import VarException
from streamlit_app.components import chart_options, oracle_charts, var_charts
from tests.unit.streamlit_app.oracle_book import path_row, spread_row
from tests.unit.streamlit_app.risk_book import AS_OF, exception_row, forecast_row, scenario_rows

AMOUNTS = st.decimals(-(10**9), 10**9, places=9)


def _as(row: type[Any], values: dict[str, Any]) -> Any:
    return row(**{name: values.get(name) for name in get_type_hints(row)})


def _estimate(var: str | None, shortfall: str | None) -> ValueAtRisk:
    known = {"confidence": Decimal("0.99"), "var_usd": var and Decimal(var), "es_usd": shortfall and Decimal(shortfall)}
    found: ValueAtRisk = _as(ValueAtRisk, known)
    return found


def _ladder(step: int, sell: str | None, debt: str | None, unknown: int = 0) -> StressResult:
    known = {
        "scenario_id": f"ladder_{step}",
        "kind": "ladder",
        "name": f"Ladder -{step}%",
        "collateral_to_sell_usd": sell and Decimal(sell),
        "bad_debt_usd": debt and Decimal(debt),
        "liquidation_accounts": 2,
        "unknown_accounts": unknown,
    }
    found: StressResult = _as(StressResult, known)
    return found


@given(st.lists(AMOUNTS, min_size=1, max_size=60), st.none() | AMOUNTS)
def test_bins__hold_every_value_once_within_their_edges(values: list[Decimal], limit: Decimal | None) -> None:
    found = chart_options.bins(values, limit)
    assert sum(each.beyond + each.within for each in found) == len(values)
    assert sum(each.beyond for each in found) == sum(chart_options.is_beyond(value, limit) for value in values)
    assert len(found) <= chart_options.MOST_BINS + 2
    step = found[0].high - found[0].low
    assert found[0].low <= float(min(values)) + step * 1e-6
    assert found[-1].high >= float(max(values)) - step * 1e-6


@pytest.mark.parametrize(
    ("values", "steps"),
    [(["0", "100"], 2.5), (["-480", "480"], 20.0), (["5", "5"], None), (["0", "0"], 1.0)],
)
def test_bins__have_round_edges(values: list[str], steps: float | None) -> None:
    found = chart_options.bins([Decimal(value) for value in values])
    if steps is not None:
        assert found[0].high - found[0].low == pytest.approx(steps)
    assert found[0].beyond == 0


@pytest.mark.parametrize(
    ("largest", "words"),
    [("0", "USD"), ("9999", "USD"), ("10000", "thousand USD"), ("-10000000", "million USD"), ("1e10", "billion USD")],
)
def test_unit__has_few_digits_before_the_point(largest: str, words: str) -> None:
    assert chart_options.unit_of([Decimal(1), Decimal(largest)]).words == words


def test_distribution__marks_var_and_es_and_tells_the_tail_apart() -> None:
    scenarios = [_as(ScenarioPnl, row) for row in scenario_rows("-400.0000000001", "-300", "0", "100", "250")]
    drawing = var_charts.distribution(scenarios, _estimate("300", "350"))
    assert drawing is not None
    tail, rest = drawing.option["series"]
    marks = tail["markLine"]["data"]
    assert [mark["xAxis"] for mark in marks] == [-300.0, -350.0]
    assert [mark["name"] for mark in marks] == ["VaR 300.00 USD", "ES 350.00 USD"]
    assert sum(each["value"][1] for each in tail["data"]) == 2
    assert [each["value"][0] for each in tail["data"]] == [each["value"][0] for each in rest["data"]]
    assert "2 scenarios at or beyond Value at Risk" in drawing.summary
    json.dumps(drawing.option, allow_nan=False)


def test_distribution__without_an_estimate_marks_nothing_and_without_scenarios_draws_nothing() -> None:
    scenarios = [_as(ScenarioPnl, row) for row in scenario_rows("-400", "300")]
    drawing = var_charts.distribution(scenarios, _estimate(None, None))
    assert drawing is not None
    assert all("markLine" not in each for each in drawing.option["series"])
    assert "No Value at Risk to mark" in drawing.summary
    assert var_charts.distribution([_as(ScenarioPnl, row) for row in scenario_rows(None)], None) is None


def test_forecasts__put_the_forecast_as_a_loss_and_the_exception_apart() -> None:
    found = [
        _as(Forecast, forecast_row(AS_OF - timedelta(days=2 - day), "500", pnl))
        for day, pnl in enumerate(("-700", "20", None))
    ]
    exceptions = [_as(VarException, exception_row(AS_OF - timedelta(days=1), "-700", "500"))]
    drawing = var_charts.forecasts(found, exceptions)
    assert drawing is not None
    days, marked, forecast = drawing.option["series"]
    assert [each["value"] for each in days["data"]] == [[AS_OF.isoformat(), 20.0]]
    assert (
        marked["data"][0]["name"] == "2026-02-28: exception, P&L \u2212700.00 USD, 200.00 USD beyond VaR of 500.00 USD"
    )
    assert {each["value"][1] for each in forecast["data"]} == {-500.0}
    assert "1 exception in 2 days" in drawing.summary


def test_forecasts__without_a_day_that_is_over_say_so() -> None:
    drawing = var_charts.forecasts([_as(Forecast, forecast_row(AS_OF, "500", None))], [])
    assert drawing is not None
    assert "No day since the first forecast has a known P&L yet." in drawing.summary
    assert var_charts.forecasts([_as(Forecast, forecast_row(AS_OF, None, None))], []) is None


def test_ladder__says_where_bad_debt_begins_and_that_unknown_accounts_make_bounds() -> None:
    drawing = var_charts.ladder([_ladder(5, "0", "0"), _ladder(10, "100", "7", 1), _ladder(15, None, None)])
    assert drawing is not None
    assert "At -10% 2 accounts must be liquidated, 100.00 USD sold and 7.00 USD is uncovered" in drawing.summary
    assert (
        "bad debt begins at -10%; 1 step unknown; some accounts are unknown, so these are lower bounds"
        in drawing.summary
    )
    assert drawing.option["xAxis"]["data"] == ["-5%", "-10%"]
    assert var_charts.ladder([_ladder(5, None, None)]) is None


def test_price_path__breaks_where_nothing_was_published_and_marks_what_was_degraded() -> None:
    rows = [path_row(60, "70000"), path_row(20, "70100"), path_row(15, "70200", 2), path_row(10, None)]
    drawing = oracle_charts.price_path("BTC", [_as(PricePath, row) for row in rows], timedelta(minutes=5))
    assert drawing is not None
    line, degraded = drawing.option["series"]
    assert [each["value"][1] for each in line["data"]] == [70000.0, None, 70100.0, 70200.0]
    assert [each["value"][1] for each in degraded["data"]] == [70200.0]
    assert "2 of 5 prices not current: only pyth" in degraded["data"][0]["name"]
    assert "5 without a price" in drawing.summary


@pytest.mark.parametrize(("limit", "is_drawn"), [(200, True), (2000, False), (None, False)])
def test_spreads__draw_the_limit_only_where_it_leaves_the_line_readable(limit: int | None, is_drawn: bool) -> None:
    drawing = oracle_charts.spreads([_as(Spread, spread_row(5, "61.5"))], limit)
    assert drawing is not None
    assert ("markLine" in drawing.option["series"][0]) == is_drawn
    assert ("the limit is unknown" in drawing.summary) == (limit is None)
    assert oracle_charts.spreads([_as(Spread, spread_row(5, None))], limit) is None


def test_points__carry_days_as_text() -> None:
    assert chart_options.point(date(2026, 3, 1), 1.0, "x")["value"] == ["2026-03-01", 1.0]
