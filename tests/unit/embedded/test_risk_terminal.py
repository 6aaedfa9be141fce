"""What `ballast risk var` shows for a report, and which report it makes of closes, positions and stored figures."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from google.api_core.exceptions import NotFound
from rich.console import Console, RenderableType

from assets.risk import history_queries
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.methods import Method
from infra.embedded.errors import EmbeddedError
from infra.embedded.risk_options import RiskQuestion, question
from infra.embedded.risk_report import Agreement, RiskReport, report
from infra.embedded.risk_terminal import (
    BLOCKS,
    CHART_WIDTH,
    MARK,
    Bins,
    as_json,
    bars,
    chart,
    components_table,
    estimates_table,
    percent,
    render,
    with_interval,
)
from infra.runtime.errors import WarehouseError

TODAY = date(2026, 1, 31)
LAST = date(2026, 1, 30)
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
DAYS = {"BTC": 700, "ETH": 700, "NEW": 200, "USDC": 700}


def _closes() -> list[dict[str, Any]]:
    generator = np.random.default_rng(3)
    rows = []
    for asset, days in DAYS.items():
        path = 1000 * np.exp(np.cumsum(generator.standard_normal(days) * 0.03))
        closes = [f"{LAST - timedelta(days=days - 1 - day)} {value:.6f}" for day, value in enumerate(path)]
        labels = {"price_set_id": "px-1", "as_of_date": LAST, "is_simulated": asset == "USDC"}
        rows.append(labels | {"asset": asset, "closes": ",".join(closes)})
    return rows


def _position(asset: str, collateral: str, borrow: str) -> dict[str, Any]:
    return {"asset": asset, "collateral_quantity": Decimal(collateral), "borrow_quantity": Decimal(borrow)}


@dataclass
class FakeReader:
    """Closes, positions of one account and of the book, and stored figures."""

    closes: list[dict[str, Any]] = field(default_factory=_closes)
    positions: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {
            "": [_position("BTC", "3", "0"), _position("ETH", "5", "0"), _position("USDC", "0", "2")],
            "acct-1": [_position("BTC", "1", "0"), _position("ETH", "2", "0"), _position("USDC", "0", "1")],
            "acct-new": [_position("NEW", "1", "0")],
            "acct-closed": [_position("BTC", "0", "0")],
            "acct-flat": [_position("NEW", "1", "1"), _position("BTC", "2", "0")],
        }
    )
    stored: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        if sql in self.errors:
            raise self.errors[sql]
        if sql == history_queries.CLOSES_SQL:
            return self.closes
        if sql == history_queries.POSITIONS_SQL:
            return self.positions.get((parameters or {})["account_id"], [])
        return self.stored


def _absent() -> WarehouseError:
    error = WarehouseError("Not found")
    error.__cause__ = NotFound("table")
    return error


def _stored(found: RiskReport, **changes: Any) -> list[dict[str, Any]]:
    """Rows of the marts that agree with a report."""
    rows = []
    for each in found.compared:
        row = {name: getattr(each.estimate, name) for name in type(each.estimate).__dataclass_fields__}
        labels = {"account_id": "acct-1", "as_of_date": LAST, "price_set_id": "px-1", "is_simulated": True}
        made = {"code_version": "ballast-0.1.0", "computed_at": datetime(2026, 1, 31, 6, tzinfo=UTC)}
        rows.append(row | {"method": str(row["method"])} | labels | made | changes)
    return rows


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def found(reader: FakeReader) -> RiskReport:
    """The report on an account with BTC, ETH and a debt."""
    return report(reader, RiskQuestion("acct-1"), TODAY)


def shown(part: RenderableType, width: int = 150, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(part, highlight=False)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_report__names_day_prices_and_exposures(found: RiskReport) -> None:
    assert (found.as_of, found.price_set_id, found.is_simulated) == (LAST, "px-1", True)
    held = {each.position.asset: (each.close_usd, each.net_exposure_usd) for each in found.held}
    assert held["ETH"][0] is not None
    assert held["ETH"][1] == 2 * held["ETH"][0]
    assert held["USDC"][1] == -(held["USDC"][0] or 0)


def test_report__of_the_book_takes_every_account(reader: FakeReader, found: RiskReport) -> None:
    book = report(reader, RiskQuestion(None), TODAY)
    assert (book.compared[0].estimate.var_usd or 0) > (found.compared[0].estimate.var_usd or 0)


def test_report__of_a_short_history_falls_back(reader: FakeReader) -> None:
    found = report(reader, RiskQuestion("acct-new"), TODAY)
    assert {each.estimate.method for each in found.compared} == {Method.EWMA_DELTA_NORMAL}
    assert (found.components, found.scenarios, chart(found)) == ((), (), None)
    text = shown(render(found))
    assert "ewma_delta_normal, fallback (normal_closed_form" in text
    assert "reason: 199 common returns, for NEW has 199 of 500 returns" in text
    assert "historical_simulation" not in text


def test_report__without_a_figure_says_why(reader: FakeReader) -> None:
    asked = RiskQuestion("acct-new", methods=(Method.HISTORICAL,))
    text = shown(render(report(reader, asked, TODAY)))
    assert "reason: NEW has 199 of 500 returns" in text


def test_report__bears_an_asset_whose_sides_cancel_out(reader: FakeReader) -> None:
    found = report(reader, RiskQuestion("acct-flat"), TODAY)
    assert {each.asset for each in found.components} == {"BTC"}
    assert len(found.scenarios) == 500


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (RiskQuestion("nobody"), "There is no account 'nobody'"),
        (RiskQuestion("acct-closed"), "account acct-closed held and owed nothing"),
        (RiskQuestion(None, date(2026, 2, 1)), "2026-02-01 is in the future"),
        (RiskQuestion(None, TODAY), f"the last day with all of them is {LAST}"),
        (RiskQuestion(None, date(2020, 1, 1)), "the first ones are of 2024-03-02"),
    ],
)
def test_report__that_cannot_be_made_says_what_is_missing(
    reader: FakeReader, asked: RiskQuestion, message: str
) -> None:
    with pytest.raises(EmbeddedError, match=message):
        report(reader, asked, TODAY)


def test_report__before_the_first_load_or_build_says_what_to_wait_for(reader: FakeReader) -> None:
    reader.errors[history_queries.POSITIONS_SQL] = _absent()
    with pytest.raises(EmbeddedError, match="not compacted yet"):
        report(reader, RiskQuestion(None), TODAY)
    reader.closes = []
    with pytest.raises(EmbeddedError, match="No daily closes"):
        report(reader, RiskQuestion(None), TODAY)


@pytest.mark.parametrize("statement", [history_queries.POSITIONS_SQL, history_queries.STORED_ACCOUNT_VAR_SQL])
def test_report__of_a_read_that_is_refused_is_no_missing_table(reader: FakeReader, statement: str) -> None:
    reader.errors[statement] = WarehouseError("refused")
    with pytest.raises(WarehouseError, match="refused"):
        report(reader, RiskQuestion("acct-1"), TODAY)


def test_agreement__is_told_for_each_estimate(reader: FakeReader, found: RiskReport) -> None:
    assert {each.agreement for each in found.compared} == {Agreement.NOT_STORED}
    assert found.is_confirmed
    reader.stored = _stored(found)
    again = report(reader, RiskQuestion("acct-1"), TODAY)
    assert {each.agreement for each in again.compared} == {Agreement.AGREES}
    assert "agrees" in shown(render(again))


@pytest.mark.parametrize(
    ("off_usd", "agreement"), [("0.01", Agreement.AGREES), ("0.02", Agreement.DIFFERS), ("-0.02", Agreement.DIFFERS)]
)
@pytest.mark.parametrize("name", ["var_usd", "es_usd"])
def test_agreement__is_to_the_cent(
    reader: FakeReader, found: RiskReport, name: str, off_usd: str, agreement: Agreement
) -> None:
    reader.stored = _stored(found)[:1]
    reader.stored[0][name] += Decimal(off_usd)
    again = report(reader, RiskQuestion("acct-1"), TODAY)
    assert again.compared[0].agreement is agreement
    assert again.is_confirmed is (agreement is Agreement.AGREES)


def test_agreement__of_a_figure_with_none_is_none(reader: FakeReader, found: RiskReport) -> None:
    reader.stored = _stored(found, var_usd=None, es_usd=None, reason="x")
    assert not report(reader, RiskQuestion("acct-1"), TODAY).is_confirmed


def test_agreement__before_the_marts_are_built_is_not_stored(reader: FakeReader) -> None:
    reader.errors[history_queries.STORED_BOOK_VAR_SQL] = _absent()
    found = report(reader, RiskQuestion(None), TODAY)
    assert {each.agreement for each in found.compared} == {Agreement.NOT_STORED}


def test_estimates_table__has_figures_intervals_and_confidences(found: RiskReport) -> None:
    text = shown(estimates_table(found.compared))
    for each in found.compared:
        assert f"{each.estimate.var_usd:,.2f}" in text
        assert f"{each.estimate.es_usd:,.2f}" in text
    assert "99.9%" in text
    assert "below a figure: its 95% interval" in text
    assert "500 observations" in text


def test_components_table__sums_to_the_figure(found: RiskReport) -> None:
    var_usd = next(e.estimate.var_usd for e in found.compared if e.estimate.confidence == Decimal("0.99"))
    last = shown(components_table(found)).rstrip().splitlines()[-1]
    assert last.startswith("all")
    assert f"{var_usd:,.2f}" in last
    assert "100.0%" in last


def test_chart__marks_var_and_es_in_the_tail(found: RiskReport) -> None:
    drawn = chart(found)
    assert drawn is not None
    lines = drawn.plain.splitlines()
    marks = {line.split()[1]: line.index(MARK) for line in lines if MARK in line}
    assert 0 <= marks["ES"] <= marks["VaR"] < CHART_WIDTH
    assert lines[0] == f"P&L of 500 scenarios, {LAST - timedelta(days=499)} to {LAST}"
    assert max(map(len, lines[1:9])) == CHART_WIDTH


def test_chart__of_scenarios_that_are_all_alike_has_one_bar(found: RiskReport) -> None:
    alike = replace(found, scenarios=tuple(replace(each, pnl_usd=Decimal(0)) for each in found.scenarios))
    drawn = chart(alike)
    assert drawn is not None
    assert drawn.plain.splitlines()[1] == "█"


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((8, 4, 1, 0), ["█▄▁ "]), ((1, 1), ["██"]), ((1000, 1), ["█▁"])],
)
def test_bars__show_every_count_above_zero(counts: tuple[int, ...], expected: list[str]) -> None:
    assert bars(counts, 1) == expected


def test_bars__rise_from_the_lowest_row() -> None:
    assert bars((4, 2, 1), 2) == ["█  ", "██▄"]
    assert set("".join(bars((3, 2), 5))) <= set(BLOCKS)


def test_bins__hold_every_scenario_once() -> None:
    values = [Decimal(value) for value in (-5, -4, 0, 3, 5)]
    bins = Bins.of(values, 10)
    assert bins.counts == (1, 1, 0, 0, 0, 1, 0, 0, 1, 1)
    assert (bins.place(Decimal(-99)), bins.place(Decimal(99))) == (0, 9)


def test_render__in_a_pipe_has_no_colour_and_is_not_cut_off(found: RiskReport) -> None:
    plain = shown(render(found), width=60)
    assert "\x1b" not in plain
    assert "…" not in plain
    in_terminal = {"force_terminal": True, "color_system": "standard", "_environ": {}}
    assert COLOUR.search(shown(render(found), **in_terminal))
    assert not COLOUR.search(shown(render(found), **in_terminal, no_color=True))


def test_json__keeps_every_digit(found: RiskReport) -> None:
    document = json.loads(as_json(found))
    assert (document["account_id"], document["as_of_date"], document["is_confirmed"]) == ("acct-1", "2026-01-30", True)
    first = found.compared[0].estimate
    assert document["estimates"][0]["var_usd"] == format(first.var_usd or 0, "f")
    assert document["estimates"][0]["agreement"] == "not stored"
    assert document["estimates"][0]["stored"] is None
    assert len(document["scenarios"]) == 500
    assert document["positions"][0]["asset"] == "BTC"


def test_json__of_stored_figures_tells_times_in_utc(reader: FakeReader, found: RiskReport) -> None:
    reader.stored = _stored(found)
    document = json.loads(as_json(report(reader, RiskQuestion("acct-1"), TODAY)))
    assert document["estimates"][0]["stored"]["computed_at"] == "2026-01-31T06:00:00+00:00"


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [("900", "1300", "1,000.00\n900 to 1,300"), ("900", None, "1,000.00\n900 to -"), (None, None, "1,000.00")],
)
def test_interval__stands_under_its_figure(lower: str | None, upper: str | None, words: str) -> None:
    ends = [None if end is None else Decimal(end) for end in (lower, upper)]
    assert with_interval(Decimal(1000), *ends) == words


def test_percent__has_no_trailing_zeros() -> None:
    assert [percent(Decimal(value)) for value in ("0.95", "0.975", "0.990", "0.9")] == ["95%", "97.5%", "99%", "90%"]


def asked(**options: Any) -> RiskQuestion:
    usual: dict[str, Any] = {"account": "acct-1", "is_book": False, "as_of": None, "window": None, "horizon": None}
    return question(**(usual | {"methods": (), "confidences": ()} | options))


def test_options__left_out_ask_for_the_headline() -> None:
    assert asked() == RiskQuestion("acct-1")
    assert asked(account=None, is_book=True) == RiskQuestion(None)


def test_options__take_methods_with_commas_and_confidences_repeated() -> None:
    found = asked(
        methods=["delta_normal, age_weighted", "delta_normal"], confidences=["0.99", "0.990"], as_of="2026-01-30"
    )
    assert found.methods == (Method.DELTA_NORMAL, Method.AGE_WEIGHTED)
    assert (found.confidences, found.as_of) == ((Decimal("0.99"),), LAST)
    assert asked(methods=["all"]).methods == tuple(Method)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"account": None}, "Give --account ACCOUNT or --book"),
        ({"is_book": True}, "Give --account ACCOUNT or --book"),
        ({"account": " "}, "--account is empty"),
        ({"as_of": "yesterday"}, "no day such as 2026-01-31"),
        ({"window": 59}, "give 60 to 2000"),
        ({"window": 2001}, "give 60 to 2000"),
        ({"horizon": 5}, "give 1 or 10"),
        ({"methods": ["magic"]}, "There is no method 'magic'"),
        ({"confidences": ["high"]}, "'high' is not a number"),
        ({"confidences": ["0.5"]}, "confidence 0.5 is not between 0.5 and 1"),
        ({"confidences": ["1"]}, "confidence 1 is not between 0.5 and 1"),
        ({"confidences": ["1.5"]}, "confidence 1.5 is not between 0.5 and 1"),
        ({"confidences": ["NaN"]}, "confidence NaN is not between 0.5 and 1"),
    ],
)
def test_options__that_have_no_answer_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((EmbeddedError, RiskInputError), match=message):
        asked(**options)
