"""The what-if over HTTP: figures of the engine, their labels, what is refused, and what happens past the deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from google.api_core.exceptions import NotFound

from alerting.margin.thresholds import DEFAULT_THRESHOLDS_SQL
from api.risk.what_if import THRESHOLDS_KEPT_S
from assets.risk.engine.batch import Histories, Question
from assets.risk.engine.history import closes_of
from assets.risk.engine.levels import STANDARD_CONFIDENCES
from assets.risk.engine.methods import Method
from assets.risk.engine.portfolio import estimates, headline
from assets.risk.history_queries import ACTIVE_PRICE_SET_SQL, CHECK_ACTIVE_EVERY_S, CLOSES_SQL
from infra.runtime.errors import WarehouseError
from infra.runtime.version import code_version

LAST = date(2026, 1, 30)
PRICE_SET = "px-1"
# NEW has too few days for a window of 500, SHORT too few for any estimate.
DAYS = {"BTC": 700, "ETH": 700, "USDC": 700, "NEW": 200, "SHORT": 20}
FIRST = LAST - timedelta(days=DAYS["BTC"] - 1)


def _close_rows(scale: int = 1) -> list[tuple[str, date, Decimal]]:
    generator = np.random.default_rng(7)
    rows = []
    for asset, days in DAYS.items():
        path = 1000 * scale * np.exp(np.cumsum(generator.standard_normal(days) * 0.03))
        rows += [
            (asset, LAST - timedelta(days=days - 1 - day), Decimal(f"{value:.6f}")) for day, value in enumerate(path)
        ]
    return rows


CLOSES = _close_rows()


def _answer(rows: list[tuple[str, date, Decimal]], price_set_id: str = PRICE_SET) -> list[dict[str, Any]]:
    """Rows of CLOSES_SQL."""
    return [
        {
            "price_set_id": price_set_id,
            "as_of_date": LAST,
            "asset": asset,
            "is_simulated": asset == "ETH",
            "closes": ",".join(f"{day} {close}" for name, day, close in rows if name == asset),
        }
        for asset in sorted(DAYS)
    ]


@dataclass
class FakeTime:
    """A monotonic clock that a test moves, in seconds."""

    at: float = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def monotonic() -> FakeTime:
    return FakeTime()


@pytest.fixture
def ask(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client], reader: Any, monotonic: FakeTime
) -> Callable[..., httpx.Response]:
    """Send a what-if."""
    reader.answers[ACTIVE_PRICE_SET_SQL] = [{"price_set_id": PRICE_SET}]
    reader.answers[CLOSES_SQL] = _answer(CLOSES)
    client = serve(make_app(monotonic=monotonic))

    def send(*positions: dict[str, Any], **others: Any) -> httpx.Response:
        return client.post("/v1/risk/what-if", json={"positions": list(positions)} | others)

    return send


@pytest.fixture
def got(ask: Callable[..., httpx.Response]) -> Callable[..., dict[str, Any]]:
    """Send a what-if that is answered."""

    def send(*positions: dict[str, Any], **others: Any) -> dict[str, Any]:
        response = ask(*positions, **others)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    return send


@pytest.fixture
def refused(ask: Callable[..., httpx.Response]) -> Callable[..., tuple[str, str]]:
    """Send a what-if that is refused; its code and message."""

    def send(*positions: dict[str, Any], **others: Any) -> tuple[str, str]:
        response = ask(*positions, **others)
        assert response.status_code == 422, response.text
        error = response.json()["error"]
        return error["code"], error["message"]

    return send


def held(asset: str, quantity: Any, **others: Any) -> dict[str, Any]:
    return {"asset": asset, "side": "collateral", "quantity": quantity} | others


def owed(asset: str, quantity: Any, **others: Any) -> dict[str, Any]:
    return {"asset": asset, "side": "borrow", "quantity": quantity} | others


BTC = held("BTC", "1")
DEBT = owed("USDC", "50000", price_usd="1")


def engine_histories() -> Histories:
    return Histories(closes_of(CLOSES), tuple(sorted(DAYS)), LAST, PRICE_SET)


def close_of(asset: str, day: date = LAST) -> Decimal:
    return next(close for name, at, close in CLOSES if (name, at) == (asset, day))


Got = Callable[..., dict[str, Any]]
Refused = Callable[..., tuple[str, str]]


def test_health__has_the_reference_trigger_prices_and_cures(got: Got) -> None:
    body = got(BTC, DEBT, prices={"BTC": "60000"}, thresholds={"cure_target_pct": "35"})
    assert body["health"] == {
        "status": "margin_call",
        "health_pct": "20.000000000",
        "collateral_usd": "60000.000000000",
        "borrow_usd": "50000.000000000",
        "thresholds": {"margin_call_pct": "30", "liquidation_pct": "15"},
        "cure": {"target_pct": "35", "deposit_usd": "7500.000000000", "repay_usd": "5555.555555556"},
    }
    triggers = {
        (each["asset"], each["threshold"]): (each["trigger_price_usd"], each["reason"])
        for each in body["liquidation_prices"]
    }
    assert triggers["BTC", "margin_call"] == ("65000.000000000", None)
    assert triggers["BTC", "liquidation"] == ("57500.000000000", None)


def test_health__is_brought_back_to_the_margin_call_unless_told(got: Got) -> None:
    cure = got(BTC, DEBT, prices={"BTC": "60000"})["health"]["cure"]
    assert (cure["target_pct"], Decimal(cure["deposit_usd"])) == ("30", 5000)


@pytest.mark.parametrize(
    ("positions", "status", "pct", "reasons"),
    [
        ((BTC,), "no_debt", None, {"no_debt"}),
        ((DEBT,), "liquidation", "-100.000000000", {"below_at_any_price"}),
        ((held("BTC", "1.3"), owed("BTC", "1")), "healthy", "30.000000000", {"price_has_no_effect", None}),
    ],
)
def test_health__without_a_price_that_matters_says_why(
    got: Got, positions: tuple[dict[str, Any], ...], status: str, pct: str | None, reasons: set[str | None]
) -> None:
    body = got(*positions)
    assert (body["health"]["status"], body["health"]["health_pct"]) == (status, pct)
    assert {each["reason"] for each in body["liquidation_prices"]} <= reasons | {"covered_without_asset"}


def test_assets__name_the_price_that_was_used_and_its_day(got: Got) -> None:
    body = got(BTC, held("ETH", "2", price_usd="2000.5"), owed("USDC", "1000"), prices={"USDC": "1", "NEW": "5"})
    assert {
        each["asset"]: (each["price_usd"], each["price_source"], each["price_date"]) for each in body["assets"]
    } == {
        "BTC": (str(close_of("BTC")), "close", LAST.isoformat()),
        "ETH": ("2000.5", "override", None),
        "USDC": ("1", "override", None),
    }
    assert {each["asset"]: each["is_simulated"] for each in body["assets"]} == {
        "BTC": False,
        "ETH": True,
        "USDC": False,
    }
    assert body["is_simulated"] is True
    assert got(BTC)["is_simulated"] is False


def test_estimates__are_those_of_the_engine(got: Got) -> None:
    rows = got(BTC, held("ETH", "2"), DEBT)["estimates"]
    exposures = {"BTC": close_of("BTC"), "ETH": 2 * close_of("ETH"), "USDC": Decimal(-50000)}
    expected = headline(exposures, engine_histories(), 500)
    names = ("var_usd", "es_usd", "var_lower_usd", "var_upper_usd", "es_lower_usd", "es_upper_usd")
    assert [[row[name] for name in names] for row in rows] == [
        [None if getattr(row, name) is None else format(getattr(row, name), "f") for name in names] for row in expected
    ]
    assert [row["confidence"] for row in rows] == ["0.95", "0.975", "0.99", "0.999"]
    assert all(Decimal(row["es_usd"]) >= Decimal(row["var_usd"]) > 0 for row in rows)


def test_estimates__carry_every_label_of_a_stored_row(got: Got) -> None:
    row = got(BTC, confidences=["0.99"])["estimates"][0]
    figures = {name for name in row if name.endswith("_usd")}
    assert {name: value for name, value in row.items() if name not in figures} == {
        "as_of_date": LAST.isoformat(),
        "method": "historical_simulation",
        "estimator": "kth_worst_loss",
        "confidence": "0.99",
        "horizon_days": 1,
        "horizon_rule": "one_day",
        "window_observations": 500,
        "observations": 500,
        "tail_observations": 5,
        "interval_method": "order_statistics",
        "interval_confidence": "0.95",
        "is_fallback": False,
        "reason": None,
        "price_set_id": PRICE_SET,
        "is_simulated": False,
        "seed": None,
        "code_version": code_version(),
        "computed_at": "2026-01-31T12:00:00Z",
    }


def test_estimates__of_every_method_and_horizon_come_in_the_order_asked(got: Got) -> None:
    body = got(BTC, DEBT, methods=[*Method], horizons_days=[10, 1], confidences=["0.99", "0.975"], window=250)
    asked = [(method, horizon, c) for method in Method for horizon in (10, 1) for c in ("0.99", "0.975")]
    assert [(row["method"], row["horizon_days"], row["confidence"]) for row in body["estimates"]] == asked
    assert all(row["var_usd"] is not None and row["reason"] is None for row in body["estimates"])
    assert {row["horizon_rule"] for row in body["estimates"]} == {
        "one_day",
        "overlapping_returns",
        "square_root_of_time",
    }
    assert {row["method"] for row in body["estimates"] if row["seed"] is not None} == {"student_t_copula"}
    again = got(BTC, DEBT, methods=[*Method], horizons_days=[10, 1], confidences=["0.99", "0.975"], window=250)
    assert again == body


def test_estimates__without_intervals_have_no_bootstrap(got: Got) -> None:
    row = got(BTC, intervals=False, confidences=["0.95"])["estimates"][0]
    assert row["var_lower_usd"] is not None
    assert (row["es_lower_usd"], row["es_upper_usd"]) == (None, None)


def test_estimates__of_a_short_history_are_a_fallback_that_says_so(got: Got) -> None:
    body = got(BTC, held("NEW", "3"))
    assert {(row["method"], row["is_fallback"]) for row in body["estimates"]} == {("ewma_delta_normal", True)}
    assert {row["reason"] for row in body["estimates"]} == {"199 common returns, for NEW has 199 of 500 returns"}
    assert all(Decimal(row["var_usd"]) > 0 for row in body["estimates"])
    assert (body["components"], body["components_reason"]) == ([], "NEW has 199 of 500 returns")


def test_estimates__of_a_named_method_have_no_stand_in(got: Got) -> None:
    rows = got(BTC, held("NEW", "3"), methods=["historical_simulation"])["estimates"]
    assert {(row["method"], row["var_usd"], row["reason"]) for row in rows} == {
        ("historical_simulation", None, "NEW has 199 of 500 returns")
    }


def test_estimates__of_a_history_too_short_for_any_have_none_but_a_reason(got: Got) -> None:
    body = got(held("SHORT", "3"))
    assert {(row["method"], row["var_usd"], row["es_usd"], row["reason"]) for row in body["estimates"]} == {
        ("historical_simulation", None, None, "SHORT has 19 of 500 returns")
    }
    assert body["health"]["status"] == "no_debt"


def test_components__sum_to_the_estimate(got: Got) -> None:
    body = got(held("BTC", "3"), held("ETH", "5"), DEBT, horizons_days=[1, 10])
    totals = {(row["horizon_days"], row["confidence"]): row for row in body["estimates"]}
    assert {(each["horizon_days"], each["confidence"]) for each in body["components"]} == set(totals)
    for each in body["components"]:
        total = totals[each["horizon_days"], each["confidence"]]
        for figure in ("var", "es"):
            summed = sum(Decimal(part[f"component_{figure}_usd"]) for part in each["assets"])
            assert summed == Decimal(each[f"{figure}_usd"])
            assert abs(summed - Decimal(total[f"{figure}_usd"])) <= Decimal("1e-8")
        assert [part["asset"] for part in each["assets"]] == ["BTC", "ETH", "USDC"]
    assert body["components_reason"] is None


def test_components__leave_out_an_asset_whose_sides_cancel_out(got: Got) -> None:
    body = got(BTC, held("SHORT", "2"), owed("SHORT", "2"))
    assert {part["asset"] for each in body["components"] for part in each["assets"]} == {"BTC"}
    assert {row["method"] for row in body["estimates"]} == {"historical_simulation"}
    assert body["components_reason"] is None


@pytest.mark.parametrize("method", [None, *Method])
@pytest.mark.parametrize("window", [500, 2000])
def test_portfolio__without_net_exposure_has_no_risk_and_no_minus_sign(
    got: Got, method: Method | None, window: int
) -> None:
    asked = {"methods": [method]} if method else {}
    body = got(held("BTC", "1"), owed("BTC", "1"), window=window, confidences=["0.99"], **asked)
    assert body["components_reason"] == "no asset has a net exposure"
    assert {Decimal(row["var_usd"]) for row in body["estimates"]} == {Decimal(0)}
    assert '"-0' not in str(body).replace("'", '"')


def test_positions__of_one_asset_and_side_are_summed_exactly(got: Got) -> None:
    positions = [held("BTC", "1000000000000000000"), held("BTC", "0.000000000000000001"), owed("BTC", "1e-18")]
    asset = got(*positions)["assets"][0]
    assert asset["collateral_quantity"] == "1000000000000000000.000000000000000001"
    assert asset["borrow_quantity"] == "0.000000000000000001"


@pytest.mark.parametrize("quantity", ["0.000000000000000001", "1e-18", "1000000000000000000", "1e18"])
@pytest.mark.parametrize("side", [held, owed])
def test_positions__may_be_very_small_or_very_large(got: Got, quantity: str, side: Callable[..., Any]) -> None:
    body = got(side("BTC", quantity), held("ETH", "1"), owed("USDC", "1"), methods=[*Method], horizons_days=[1, 10])
    assert all(row["var_usd"] is not None for row in body["estimates"])
    assert body["health"]["health_pct"] is not None


def test_account_id__is_a_label_only(got: Got, reader: Any) -> None:
    assert got(BTC, account_id="acct-nobody")["account_id"] == "acct-nobody"
    assert "acct-nobody" not in str(reader.asked)


def test_thresholds__are_those_of_the_installation_read_once_in_a_while(
    got: Got, reader: Any, monotonic: FakeTime
) -> None:
    for _ in range(3):
        assert got(BTC)["health"]["thresholds"] == {"margin_call_pct": "30", "liquidation_pct": "15"}
    assert [sql for sql, _ in reader.asked].count(DEFAULT_THRESHOLDS_SQL) == 1
    monotonic.at += THRESHOLDS_KEPT_S
    got(BTC)
    assert [sql for sql, _ in reader.asked].count(DEFAULT_THRESHOLDS_SQL) == 2


def test_thresholds__of_the_request_are_enough(got: Got, reader: Any) -> None:
    body = got(BTC, DEBT, prices={"BTC": "60000"}, thresholds={"margin_call_pct": "20", "liquidation_pct": "10"})
    assert body["health"]["status"] == "healthy"
    assert DEFAULT_THRESHOLDS_SQL not in [sql for sql, _ in reader.asked]


def test_closes__are_read_once_until_another_set_is_active(got: Got, reader: Any, monotonic: FakeTime) -> None:
    def count(sql: str) -> int:
        return [asked for asked, _ in reader.asked].count(sql)

    first = got(BTC)
    monotonic.at += CHECK_ACTIVE_EVERY_S - 0.001
    assert got(BTC) == first
    assert (count(CLOSES_SQL), count(ACTIVE_PRICE_SET_SQL)) == (1, 0)
    monotonic.at += 0.001
    assert got(BTC) == first
    assert (count(CLOSES_SQL), count(ACTIVE_PRICE_SET_SQL)) == (1, 1)
    reader.answers[ACTIVE_PRICE_SET_SQL] = [{"price_set_id": "px-2"}]
    reader.answers[CLOSES_SQL] = _answer(_close_rows(2), "px-2")
    monotonic.at += CHECK_ACTIVE_EVERY_S
    second = got(BTC)
    assert second["price_set_id"] == "px-2"
    assert Decimal(second["assets"][0]["price_usd"]) > Decimal(first["assets"][0]["price_usd"])
    assert count(CLOSES_SQL) == 2


def test_as_of__moves_window_and_prices(got: Got) -> None:
    day = LAST - timedelta(days=30)
    body = got(BTC, as_of=day.isoformat())
    assert body["as_of_date"] == day.isoformat()
    assert (body["assets"][0]["price_date"], body["assets"][0]["price_usd"]) == (
        day.isoformat(),
        str(close_of("BTC", day)),
    )
    histories = Histories(closes_of(CLOSES), ("BTC",), day, PRICE_SET)
    expected = headline({"BTC": close_of("BTC", day)}, histories, 500)
    assert [row["var_usd"] for row in body["estimates"]] == [format(row.var_usd or Decimal(0), "f") for row in expected]


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        ((LAST + timedelta(days=1)).isoformat(), f"lies after {LAST}, the last day with closes"),
        ((FIRST - timedelta(days=1)).isoformat(), f"lies before {FIRST}, the first day with closes"),
    ],
)
def test_as_of__outside_the_closes_is_refused(refused: Refused, as_of: str, message: str) -> None:
    code, words = refused(BTC, as_of=as_of)
    assert code == "risk_input_invalid"
    assert message in words


def test_as_of__before_the_first_close_of_an_asset_needs_a_price(refused: Refused, got: Got) -> None:
    early = (LAST - timedelta(days=400)).isoformat()
    code, words = refused(held("NEW", "1"), as_of=early)
    assert code == "risk_input_invalid"
    assert "no close of NEW up to" in words
    body = got(held("NEW", "1", price_usd="7"), as_of=early)
    assert {row["reason"] for row in body["estimates"]} == {f"no close of NEW on {early}"}


def test_unknown_assets__are_named(refused: Refused) -> None:
    code, words = refused(BTC, held("DOGE", "1"), prices={"PEPE": "1"})
    assert code == "assets_unknown"
    assert "DOGE, PEPE" in words
    assert "BTC, ETH" in words


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("NaN", "plain decimal"),
        ("Infinity", "plain decimal"),
        ("-Infinity", "plain decimal"),
        ("-1", "greater than 0"),
        ("0", "greater than 0"),
        ("0.0", "greater than 0"),
        (-1, "greater than 0"),
        (0.1, "a JSON number loses digits"),
        ("1e20", "less than"),
        ("1e-19", "18 decimal places"),
        ("one", "plain decimal"),
        ("", "plain decimal"),
        (None, "Decimal"),
        ([1], "Decimal"),
    ],
)
def test_quantity__that_is_none_is_refused(refused: Refused, reader: Any, quantity: Any, words: str) -> None:
    code, message = refused(held("BTC", quantity))
    assert code == "request_invalid"
    assert "body.positions.0.quantity" in message
    assert words in message
    assert reader.asked == []


@pytest.mark.parametrize(
    "confidence", ["0.5", "1", "1.5", "0", "-0.99", "NaN", "Infinity", 0.5, 1, 1.5, "0.9999999999"]
)
def test_confidence__outside_the_range_is_refused(refused: Refused, confidence: Any) -> None:
    code, message = refused(BTC, confidences=["0.99", confidence])
    assert code == "request_invalid"
    assert "body.confidences.1" in message


@pytest.mark.parametrize(
    ("others", "place"),
    [
        ({"positions": []}, "body.positions"),
        ({"positions": [BTC] * 501}, "body.positions"),
        ({"positions": [BTC | {"asset": "btc"}]}, "body.positions.0.asset"),
        ({"positions": [BTC | {"side": "short"}]}, "body.positions.0.side"),
        ({"positions": [BTC | {"price_usd": "0"}]}, "body.positions.0.price_usd"),
        ({"positions": [BTC | {"price_usd": "-1"}]}, "body.positions.0.price_usd"),
        ({"positions": [BTC | {"price_usd": "NaN"}]}, "body.positions.0.price_usd"),
        ({"positions": [BTC | {"colour": "red"}]}, "body.positions.0.colour"),
        ({"prices": {"BTC": "0"}}, "body.prices.BTC"),
        ({"prices": {"btc": "1"}}, "body.prices.btc"),
        ({"methods": []}, "body.methods"),
        ({"methods": ["magic"]}, "body.methods"),
        ({"confidences": []}, "body.confidences"),
        ({"confidences": [f"0.9{n}" for n in range(9)]}, "body.confidences"),
        ({"horizons_days": []}, "body.horizons_days"),
        ({"horizons_days": [0]}, "body.horizons_days.0"),
        ({"horizons_days": [5]}, "body.horizons_days.0"),
        ({"window": 59}, "body.window"),
        ({"window": 2001}, "body.window"),
        ({"deadline_ms": 0}, "body.deadline_ms"),
        ({"deadline_ms": 15_001}, "body.deadline_ms"),
        ({"account_id": "a b"}, "body.account_id"),
        ({"as_of": "yesterday"}, "body.as_of"),
        ({"thresholds": {"margin_call_pct": "NaN"}}, "body.thresholds.margin_call_pct"),
        ({"thresholds": {"liquidation_pct": "-101"}}, "body.thresholds.liquidation_pct"),
        ({"thresholds": {"cure_target_pct": "-100"}}, "body.thresholds.cure_target_pct"),
        ({"store": True}, "body.store"),
    ],
)
def test_request__outside_its_limits_is_refused_before_any_read(
    refused: Refused, reader: Any, others: dict[str, Any], place: str
) -> None:
    code, message = refused(*others.get("positions", [BTC]), **{k: v for k, v in others.items() if k != "positions"})
    assert code == "request_invalid"
    assert place in message
    assert reader.asked == []


@pytest.mark.parametrize(
    ("positions", "prices"),
    [
        ([held("BTC", "1", price_usd="1"), owed("BTC", "1", price_usd="2")], {}),
        ([held("BTC", "1", price_usd="1")], {"BTC": "2"}),
    ],
)
def test_prices__of_which_an_asset_has_two_are_refused(
    refused: Refused, positions: list[dict[str, Any]], prices: dict[str, str]
) -> None:
    code, message = refused(*positions, prices=prices)
    assert code == "request_invalid"
    assert "more than one price is given for BTC" in message


def test_prices__that_agree_are_one(got: Got) -> None:
    body = got(held("BTC", "1", price_usd="2"), owed("BTC", "1", price_usd="2.0"), prices={"BTC": "2"})
    assert Decimal(body["assets"][0]["price_usd"]) == 2


def test_thresholds__that_contradict_each_other_are_refused(refused: Refused) -> None:
    code, message = refused(BTC, thresholds={"liquidation_pct": "30"})
    assert code == "risk_input_invalid"
    assert "must be below the margin call's 30 %" in message


def test_deadline__past_before_a_method_leaves_it_without_figure_and_ewma_stands_in(
    got: Got, reader: Any, monotonic: FakeTime
) -> None:
    def slowly() -> list[dict[str, Any]]:
        monotonic.at += 5
        return _answer(CLOSES)

    reader.answers[CLOSES_SQL] = slowly
    body = got(BTC, DEBT, methods=["student_t_copula", "historical_simulation"], confidences=["0.99"])
    reason = "deadline of 5000 ms passed"
    assert [
        (row["method"], row["var_usd"] is None, row["is_fallback"], row["reason"]) for row in body["estimates"]
    ] == [
        ("student_t_copula", True, False, reason),
        ("historical_simulation", True, False, reason),
        ("ewma_delta_normal", False, True, reason),
    ]
    stand_in = body["estimates"][-1]
    exposures = {"BTC": close_of("BTC"), "USDC": Decimal(-50000)}
    question = Question(Method.EWMA_DELTA_NORMAL, 1, 500, (Decimal("0.99"),))
    assert stand_in["var_usd"] == str(estimates(exposures, engine_histories(), [question])[0].var_usd)
    assert (body["components"], body["components_reason"]) == ([], reason)
    assert body["health"]["health_pct"] is not None


def test_deadline__past_in_the_headline_shows_both(got: Got, reader: Any, monotonic: FakeTime) -> None:
    def slowly() -> list[dict[str, Any]]:
        monotonic.at += 0.2
        return _answer(CLOSES)

    reader.answers[CLOSES_SQL] = slowly
    body = got(BTC, held("NEW", "1"), deadline_ms=100, horizons_days=[1, 10])
    kinds = [(row["method"], row["horizon_days"], row["is_fallback"]) for row in body["estimates"]]
    each = len(STANDARD_CONFIDENCES)
    assert kinds == [
        *[("historical_simulation", 1, False)] * each,
        *[("historical_simulation", 10, False)] * each,
        *[("ewma_delta_normal", 1, True)] * each,
        *[("ewma_delta_normal", 10, True)] * each,
    ]
    assert {row["reason"] for row in body["estimates"] if row["is_fallback"]} == {
        "deadline of 100 ms passed; 199 common returns, for NEW has 199 of 500 returns"
    }


def test_deadline__past_still_answers_ewma_itself(got: Got, reader: Any, monotonic: FakeTime) -> None:
    def slowly() -> list[dict[str, Any]]:
        monotonic.at += 6
        return _answer(CLOSES)

    reader.answers[CLOSES_SQL] = slowly
    rows = got(BTC, methods=["delta_normal", "ewma_delta_normal"], confidences=["0.99"])["estimates"]
    assert [(row["method"], row["var_usd"] is None, row["is_fallback"]) for row in rows] == [
        ("delta_normal", True, False),
        ("ewma_delta_normal", False, False),
    ]


def test_deadline__not_reached_leaves_every_method_its_figure(got: Got, reader: Any, monotonic: FakeTime) -> None:
    def slowly() -> list[dict[str, Any]]:
        monotonic.at += 4.999
        return _answer(CLOSES)

    reader.answers[CLOSES_SQL] = slowly
    body = got(BTC, confidences=["0.99"])
    assert [(row["method"], row["reason"]) for row in body["estimates"]] == [("historical_simulation", None)]
    assert body["components"]


def test_before_the_first_price_set__it_is_not_ready(ask: Callable[..., httpx.Response], reader: Any) -> None:
    reader.answers[CLOSES_SQL] = reader.answers[ACTIVE_PRICE_SET_SQL] = []
    response = ask(BTC)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")


def test_before_the_first_build__the_closes_are_not_built(ask: Callable[..., httpx.Response], reader: Any) -> None:
    def absent() -> list[dict[str, Any]]:
        raise WarehouseError("Not found: staging.stg_market__daily_closes") from NotFound("staging")

    reader.answers[CLOSES_SQL] = absent
    response = ask(BTC)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "marts_not_built")


def test_request__is_neither_logged_nor_sent_to_the_warehouse(
    ask: Callable[..., httpx.Response], reader: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = {"account_id": "acct-secret", "prices": {"BTC": "54321.75"}}
    assert ask(held("BTC", "123456.789"), owed("DOGE", "98765.4321"), **secret).status_code == 422
    assert ask(held("BTC", "123456.789"), owed("ETH", "98765.4321"), **secret).status_code == 200
    assert ask(held("BTC", "-123456.789"), **secret).status_code == 422
    shown = capsys.readouterr()
    logged = shown.out + shown.err
    assert "/v1/risk/what-if" in logged
    for value in ("acct-secret", "123456", "98765", "54321"):
        assert value not in logged + str(reader.asked)
    assert {sql for sql, _ in reader.asked} <= {CLOSES_SQL, ACTIVE_PRICE_SET_SQL, DEFAULT_THRESHOLDS_SQL}
