"""Stored estimates, their components and reverse stress: filters, labels, reasons, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import NotFound

from assets.risk import queries, stress_queries, var_queries
from infra.runtime.errors import WarehouseError

ACCOUNT = "acct-00001"

FALLBACK = {
    "method": "ewma_delta_normal",
    "estimator": "normal_closed_form",
    "interval_method": "chi_square",
    "is_fallback": True,
    "reason": "199 common returns, for NEW has 199 of 500 returns",
}


def _not_built() -> list[dict[str, Any]]:
    raise WarehouseError("Not found: a mart") from NotFound("a mart")


def test_var__gives_interval_rule_and_version(client: httpx.Client) -> None:
    estimate = client.get("/v1/portfolios/acct-00001/var").json()["estimates"][0]
    names = ("var_lower_usd", "var_upper_usd", "es_lower_usd", "es_upper_usd")
    assert [estimate[name] for name in names] == ["4000", "6000", "4500", None]
    assert (estimate["interval_method"], estimate["interval_confidence"]) == ("order_statistics", "0.95")
    assert (estimate["horizon_rule"], estimate["is_fallback"], estimate["seed"]) == ("one_day", False, None)
    assert estimate["code_version"] == "ballast-0.1.0"


def test_var__of_a_fallback_has_both_a_figure_and_a_reason(client: httpx.Client, reader: Any, rows: Any) -> None:
    reader.answers[queries.ACCOUNT_VAR_SQL] = [rows.value_at_risk | FALLBACK]
    estimate = client.get("/v1/portfolios/acct-00001/var").json()["estimates"][0]
    assert {name: estimate[name] for name in FALLBACK} == FALLBACK
    assert estimate["var_usd"] == "4321.123456789"


@pytest.mark.parametrize("address", ["/v1/portfolios/acct-00001/var", "/v1/book/var"])
@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"all": "true"}, [0, 1, 2, 3]),
        ({"method": "ewma_delta_normal"}, [3]),
        ({"horizon_days": "10"}, [1]),
        ({"window": "250"}, [2]),
        ({"confidence": "0.990"}, [0, 1, 2]),
        ({"method": "historical_simulation", "window": "500", "horizon_days": "1"}, [0]),
        ({"all": "true", "confidence": "0.95"}, [3]),
    ],
)
def test_var__of_a_filter_gives_every_estimate_that_fits(
    client: httpx.Client, reader: Any, rows: Any, address: str, parameters: dict[str, str], found: list[int]
) -> None:
    stored = [
        rows.value_at_risk,
        rows.value_at_risk | {"horizon_days": 10, "horizon_rule": "overlapping_returns"},
        rows.value_at_risk | {"window_observations": 250},
        rows.value_at_risk | FALLBACK | {"confidence": Decimal("0.95")},
    ]
    stored = [row | {"var_usd": Decimal(number)} for number, row in enumerate(stored)]
    reader.answers[queries.ACCOUNT_VAR_ESTIMATES_SQL] = reader.answers[queries.BOOK_VAR_ESTIMATES_SQL] = stored
    body = client.get(address, params=parameters).json()
    assert [int(each["var_usd"]) for each in body["estimates"]] == found
    assert body["reason"] is None


@pytest.mark.parametrize("address", ["/v1/portfolios/acct-00001/var", "/v1/book/var"])
def test_var__that_fits_no_filter_is_told_from_one_that_is_not_computed(
    client: httpx.Client, reader: Any, rows: Any, address: str
) -> None:
    assert client.get(address, params={"all": "true"}).json()["reason"] == "not_computed"
    stored = [rows.value_at_risk]
    reader.answers[queries.ACCOUNT_VAR_ESTIMATES_SQL] = reader.answers[queries.BOOK_VAR_ESTIMATES_SQL] = stored
    body = client.get(address, params={"window": "123"}).json()
    assert (body["estimates"], body["reason"]) == ([], "no_match")


@pytest.mark.parametrize("address", ["/v1/portfolios/acct-00001/var", "/v1/book/var"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "magic"),
        ("horizon_days", "0"),
        ("window", "many"),
        ("confidence", "0.5"),
        ("confidence", "1"),
        ("confidence", "1.5"),
        ("confidence", "NaN"),
        ("all", "perhaps"),
    ],
)
def test_var__of_a_filter_that_is_none_is_refused(
    client: httpx.Client, reader: Any, address: str, name: str, value: str
) -> None:
    response = client.get(address, params={name: value})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "request_invalid")
    assert f"query.{name}" in response.json()["error"]["message"]
    assert reader.asked == []


def test_book_var__is_the_headline_of_the_book(client: httpx.Client, reader: Any) -> None:
    assert client.get("/v1/book/var").json() == client.get("/v1/book").json()["value_at_risk"]
    reader.answers[queries.BOOK_VAR_SQL] = _not_built
    assert client.get("/v1/book/var").json() == {"estimates": [], "reason": "not_computed"}


COMPONENT: dict[str, Any] = {
    "part_kind": "asset",
    "part_id": "BTC",
    "as_of_date": date(2026, 1, 30),
    "method": "historical_simulation",
    "estimator": "kth_worst_loss",
    "confidence": Decimal("0.99"),
    "horizon_days": 1,
    "window_observations": 500,
    "observations": 500,
    "tail_observations": 5,
    "exposure_usd": Decimal("80000"),
    "component_var_usd": Decimal("4000.5"),
    "component_es_usd": Decimal("5000"),
    "marginal_var_ratio": Decimal("0.05"),
    "incremental_var_usd": Decimal("3900"),
    "standalone_var_usd": Decimal("4100"),
    "book_var_usd": Decimal("4000.5"),
    "book_es_usd": Decimal("5000"),
    "reason": None,
    "price_set_id": "closes-1",
    "is_simulated": True,
    "code_version": "ballast-0.1.0",
    "computed_at": datetime(2026, 1, 31, tzinfo=UTC),
}


def test_book_components__are_those_of_the_mart(client: httpx.Client, reader: Any) -> None:
    reader.answers[var_queries.COMPONENTS_SQL] = [COMPONENT]
    body = client.get("/v1/book/var/components", params={"part_kind": "account", "limit": "7"}).json()
    assert (body["part_kind"], body["reason"]) == ("account", None)
    assert body["components"][0]["component_var_usd"] == "4000.5"
    assert body["components"][0]["marginal_var_ratio"] == "0.05"
    assert reader.asked == [
        (var_queries.COMPONENTS_SQL, {"part_kind": "account", "confidence": Decimal("0.99"), "max_rows": 7})
    ]


def test_book_components__before_the_first_build_say_so(client: httpx.Client, reader: Any) -> None:
    reader.answers[var_queries.COMPONENTS_SQL] = _not_built
    body = client.get("/v1/book/var/components").json()
    assert body == {"part_kind": "asset", "components": [], "reason": "not_computed"}


@pytest.mark.parametrize(
    ("name", "value"), [("part_kind", "chain"), ("confidence", "1"), ("limit", "0"), ("limit", "201")]
)
def test_book_components__of_a_parameter_that_is_none_are_refused(client: httpx.Client, name: str, value: str) -> None:
    response = client.get("/v1/book/var/components", params={name: value})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "request_invalid")


SHARE: dict[str, Any] = {
    "as_of_date": date(2026, 1, 30),
    "price_set_id": "closes-1",
    "account_id": ACCOUNT,
    "has_borrow": True,
    "collateral_usd": Decimal("80000"),
    "borrow_usd": Decimal("0"),
    "other_collateral_usd": Decimal("0"),
    "other_borrow_usd": Decimal("50000"),
    "unpriced_positions": 0,
    "other_unpriced_positions": 0,
}


@pytest.mark.parametrize(
    ("parameters", "fall", "reason"),
    [
        ({"loss_usd": "20000"}, "0.250000000000000000", None),
        ({"loss_usd": "10000", "measure": "bad_debt"}, "0.500000000000000000", None),
        ({"loss_usd": "90000"}, None, "never_reached"),
    ],
)
def test_reverse_stress__is_the_smallest_fall_or_a_reason(
    client: httpx.Client, reader: Any, parameters: dict[str, str], fall: str | None, reason: str | None
) -> None:
    reader.answers[stress_queries.ASSET_SHARES_SQL] = [SHARE]
    body = client.get("/v1/risk/reverse-stress", params=parameters).json()
    assert (body["asset"], body["fall_ratio"], body["reason"]) == ("BTC", fall, reason)
    assert (body["accounts"], body["as_of_date"], body["price_set_id"]) == (1, "2026-01-30", "closes-1")


def test_reverse_stress__of_an_empty_book_has_no_date(client: httpx.Client) -> None:
    body = client.get("/v1/risk/reverse-stress", params={"loss_usd": "1", "asset": "ETH"}).json()
    assert (body["fall_ratio"], body["reason"], body["as_of_date"]) == (None, "no_exposure", None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss_usd", "0"),
        ("loss_usd", "-1"),
        ("loss_usd", "NaN"),
        ("loss_usd", "1e29"),
        ("loss_usd", "1e-19"),
        ("loss_usd", "much"),
        ("asset", "btc"),
        ("measure", "feelings"),
    ],
)
def test_reverse_stress__of_a_parameter_that_is_none_is_refused(client: httpx.Client, name: str, value: str) -> None:
    response = client.get("/v1/risk/reverse-stress", params={"loss_usd": "1"} | {name: value})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "request_invalid")
    assert f"query.{name}" in response.json()["error"]["message"]


def test_reverse_stress__without_an_amount_is_refused(client: httpx.Client) -> None:
    assert client.get("/v1/risk/reverse-stress").status_code == 422
