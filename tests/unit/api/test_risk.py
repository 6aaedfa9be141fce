"""The risk reads: what a caller sees for given rows of the marts."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import NotFound

from alerting.margin.thresholds import OWN_THRESHOLDS_SQL
from api.risk.repository import HEALTH_PAGE_SQL, PageCursor
from assets.risk import queries
from infra.runtime.cursors import CursorInvalidError
from infra.runtime.errors import WarehouseError


def test_exposure__gives_each_position_with_price_status_and_age(client: httpx.Client) -> None:
    body = client.get("/v1/portfolios/acct-00001/exposure").json()
    assert body["positions"][0] == {
        "asset": "BTC",
        "side": "collateral",
        "quantity": "1.000000000000000001",
        "price_usd": "80000",
        "valuation_price_usd": "80000",
        "exposure_usd": "80000",
        "price_id": "price-1",
        "price_status": "ok",
        "price_observed_at": "2026-01-31T12:00:00Z",
        "price_age_seconds": 12,
        "is_simulated": True,
    }
    assert body["totals"] == {
        "collateral_usd": "80000",
        "borrow_usd": "50000",
        "net_usd": "30000",
        "is_complete": True,
        "unpriced_assets": [],
    }
    assert body["is_simulated"] is True


def test_exposure__has_no_total_for_a_side_that_was_never_priced(client: httpx.Client, reader: Any, rows: Any) -> None:
    missing = {"price_usd": None, "exposure_usd": None, "price_id": None, "price_status": "missing"}
    ages = {"price_observed_at": None, "price_age_seconds": None}
    reader.answers[queries.ACCOUNT_EXPOSURES_SQL] = [rows.position | missing | ages, rows.debt]
    totals = client.get("/v1/portfolios/acct-00001/exposure").json()["totals"]
    assert totals == {
        "collateral_usd": None,
        "borrow_usd": "50000",
        "net_usd": None,
        "is_complete": False,
        "unpriced_assets": ["BTC"],
    }


def test_exposure__marks_totals_on_stale_prices_as_incomplete(client: httpx.Client, reader: Any, rows: Any) -> None:
    reader.answers[queries.ACCOUNT_EXPOSURES_SQL] = [rows.position | {"price_status": "stale"}, rows.debt]
    totals = client.get("/v1/portfolios/acct-00001/exposure").json()["totals"]
    assert (totals["net_usd"], totals["is_complete"], totals["unpriced_assets"]) == ("30000", False, ["BTC"])


def test_exposure__of_a_closed_account_is_empty_not_unknown(client: httpx.Client, reader: Any) -> None:
    reader.answers[queries.ACCOUNT_EXPOSURES_SQL] = []
    response = client.get("/v1/portfolios/acct-00001/exposure")
    assert response.status_code == 200
    assert response.json()["positions"] == []
    assert response.json()["totals"]["net_usd"] == "0"


@pytest.mark.parametrize("read", ["exposure", "margin-health", "var"])
def test_account__without_positions_is_unknown(client: httpx.Client, reader: Any, read: str) -> None:
    reader.answers = {}
    response = client.get(f"/v1/portfolios/acct-99999/{read}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "account_unknown"
    assert "acct-99999" in response.json()["error"]["message"]


@pytest.mark.parametrize("read", ["exposure", "margin-health", "var"])
@pytest.mark.parametrize("account_id", ["-leading", "with%20space", "a" * 65, "a%27--", "%D1%8F"])
def test_account__id_outside_the_pattern_is_refused_before_any_read(
    client: httpx.Client, reader: Any, read: str, account_id: str
) -> None:
    response = client.get(f"/v1/portfolios/{account_id}/{read}")
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "request_invalid"
    assert reader.asked == []


@pytest.mark.parametrize("read", ["exposure", "margin-health", "var"])
def test_account__id_reaches_the_query_as_a_parameter(client: httpx.Client, reader: Any, read: str) -> None:
    client.get(f"/v1/portfolios/acct-00001/{read}")
    assert reader.asked
    assert all("acct-00001" not in sql for sql, _ in reader.asked)
    assert all("acct-00001" in str(parameters) for _, parameters in reader.asked)


def test_margin_health__gives_amounts_thresholds_and_trigger_prices(
    client: httpx.Client, reader: Any, rows: Any
) -> None:
    none_for_debt = {"asset": "USDC", "trigger_price_usd": None, "reason": "below_at_any_price"}
    reader.answers[queries.LIQUIDATION_PRICES_SQL] = [rows.trigger, rows.trigger | none_for_debt]
    body = client.get("/v1/portfolios/acct-00001/margin-health").json()
    assert body["status"] == "healthy"
    assert body["health_pct"] == "60.000000001"
    assert body["collateral_usd"] == "80000.000000001"
    assert body["thresholds"] == {
        "margin_call_pct": "30",
        "liquidation_pct": "15",
        "early_warning_pct": None,
        "recovery_margin_pct": "2",
    }
    assert body["price_ids"] == ["price-1", "price-2"]
    assert body["oldest_price_age_seconds"] == 12
    assert body["is_simulated"] is True
    triggers = {each["asset"]: (each["trigger_price_usd"], each["reason"]) for each in body["liquidation_prices"]}
    assert triggers == {"BTC": ("65000", None), "USDC": (None, "below_at_any_price")}


def test_margin_health__of_an_unpriced_account_names_its_assets(client: httpx.Client, reader: Any, rows: Any) -> None:
    unknown = {"status": "unpriced", "health_pct": None, "unpriced_assets": "BTC,ETH"}
    reader.answers[queries.MARGIN_HEALTH_SQL] = [rows.health | unknown]
    body = client.get("/v1/portfolios/acct-00001/margin-health").json()
    assert (body["status"], body["health_pct"], body["unpriced_assets"]) == ("unpriced", None, ["BTC", "ETH"])


def test_margin_health__never_shows_a_status_that_it_does_not_know(
    client: httpx.Client, reader: Any, rows: Any
) -> None:
    reader.answers[queries.MARGIN_HEALTH_SQL] = [rows.health | {"status": "splendid"}]
    response = client.get("/v1/portfolios/acct-00001/margin-health")
    assert response.status_code == 500
    assert "splendid" not in response.text


def test_var__gives_the_estimate_with_its_method(client: httpx.Client) -> None:
    body = client.get("/v1/portfolios/acct-00001/var").json()
    assert (body["account_id"], body["reason"]) == ("acct-00001", None)
    estimate = body["estimates"][0]
    assert estimate["var_usd"] == "4321.123456789"
    assert estimate["confidence"] == "0.99"
    assert estimate["as_of_date"] == "2026-01-30"
    assert (estimate["estimator"], estimate["price_set_id"]) == ("kth_worst_loss", "closes-1")


def test_var__without_an_estimate_says_why(client: httpx.Client, reader: Any) -> None:
    reader.answers[queries.ACCOUNT_VAR_SQL] = []
    response = client.get("/v1/portfolios/acct-00001/var")
    assert response.status_code == 200
    assert response.json() == {"account_id": "acct-00001", "estimates": [], "reason": "not_computed"}


def _not_built() -> list[dict[str, Any]]:
    raise WarehouseError("Not found: Table risk.book_var") from NotFound("risk.book_var")


def test_book__stands_before_the_first_estimate_is_built(client: httpx.Client, reader: Any) -> None:
    reader.answers[queries.BOOK_VAR_SQL] = _not_built
    response = client.get("/v1/book")
    assert response.status_code == 200
    assert response.json()["value_at_risk"] == {"estimates": [], "reason": "not_computed"}


def test_book__whose_estimates_cannot_be_read_is_a_fault(client: httpx.Client, reader: Any) -> None:
    reader.answers[queries.BOOK_VAR_SQL] = WarehouseError("refused")
    assert client.get("/v1/book").status_code == 502


def test_book__gives_totals_counts_and_value_at_risk(client: httpx.Client) -> None:
    body = client.get("/v1/book").json()
    assert body["accounts_by_status"] == {
        "healthy": 1,
        "margin_call": 0,
        "liquidation": 0,
        "unpriced": 1,
        "no_debt": 1,
    }
    assert (body["collateral_usd"], body["health_pct"], body["is_complete"]) == ("80000", "60", False)
    assert body["value_at_risk"]["estimates"][0]["es_usd"] == "5000"


def test_amounts__never_have_an_exponent(client: httpx.Client, reader: Any, rows: Any) -> None:
    reader.answers[queries.BOOK_SUMMARY_SQL] = [
        rows.book | {"collateral_usd": Decimal("8E+4"), "borrow_usd": Decimal("1E-9")}
    ]
    body = client.get("/v1/book").json()
    assert (body["collateral_usd"], body["borrow_usd"]) == ("80000", "0.000000001")


def _ranked(row: dict[str, Any]) -> tuple[Any, ...]:
    urgency = {"unpriced": 0, "no_debt": 2}.get(row["status"], 1)
    health = row["health_pct"]
    return urgency, 0 if health is None else 1, health or Decimal(0), row["account_id"]


@pytest.fixture
def twelve_accounts(reader: Any, rows: Any) -> list[str]:
    """Accounts of every status, with ties and unknown health; the reader pages over them as the statement does."""
    kinds = [("healthy", "60"), ("healthy", "60"), ("margin_call", "20"), ("unpriced", None), ("no_debt", None)]
    kinds += [("liquidation", "-100"), ("unpriced", "5"), ("no_debt", None), ("healthy", "0"), ("unpriced", None)]
    kinds += [("liquidation", "0"), ("healthy", "31.5")]
    book = [
        rows.health | {"account_id": f"acct-{n:05d}", "status": status, "health_pct": Decimal(pct) if pct else None}
        for n, (status, pct) in enumerate(kinds)
    ]
    book.sort(key=_ranked)

    def page() -> list[dict[str, Any]]:
        asked = reader.asked[-1][1]
        behind = (asked["urgency"], asked["has_health"], asked["health_key"], asked["account_id"])
        return [row for row in book if _ranked(row) > behind][: asked["max_rows"]]

    reader.answers[HEALTH_PAGE_SQL] = page
    return [row["account_id"] for row in book]


@pytest.mark.parametrize("limit", [1, 2, 5, 11, 12, 13])
def test_portfolios__pages_show_each_account_once_in_order(
    client: httpx.Client, twelve_accounts: list[str], limit: int
) -> None:
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(len(twelve_accounts)):
        parameters: dict[str, Any] = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        body = client.get("/v1/portfolios", params=parameters).json()
        assert len(body["portfolios"]) <= limit
        seen += [each["account_id"] for each in body["portfolios"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert seen == twelve_accounts
    assert cursor is None


def test_portfolios__of_an_empty_book_is_an_empty_page(client: httpx.Client, reader: Any) -> None:
    reader.answers[HEALTH_PAGE_SQL] = []
    assert client.get("/v1/portfolios").json() == {"portfolios": [], "next_cursor": None}


@pytest.mark.parametrize("limit", ["0", "201", "-1", "many"])
def test_portfolios__limit_outside_the_range_is_refused(client: httpx.Client, limit: str) -> None:
    assert client.get("/v1/portfolios", params={"limit": limit}).status_code == 422


@pytest.mark.parametrize("cursor", ["x", "!!!!", "e30", "eyJ2IjoyfQ", "я", "A" * 512, "bnVsbA"])
def test_portfolios__foreign_cursor_is_refused(client: httpx.Client, reader: Any, cursor: str) -> None:
    response = client.get("/v1/portfolios", params={"cursor": cursor})
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "cursor_invalid"
    assert reader.asked == []


@pytest.mark.parametrize("health_pct", [None, Decimal("-100"), Decimal("29.999999999")])
def test_cursor__survives_the_way_to_the_caller_and_back(health_pct: Decimal | None) -> None:
    cursor = PageCursor(u=1, h=health_pct, a="acct-00001")
    assert PageCursor.decode(cursor.encode()) == cursor


def _changed(change: Callable[[str], str]) -> str:
    return change(PageCursor(u=1, h=Decimal(1), a="acct-00001").encode())


@pytest.mark.parametrize("text", ["", _changed(lambda text: text[:-4]), _changed(lambda text: text + "AAAA")])
def test_cursor__that_was_changed_is_refused(text: str) -> None:
    with pytest.raises(CursorInvalidError):
        PageCursor.decode(text)


def test_notifications__are_mounted(client: httpx.Client) -> None:
    # The database of these tests has no tables; an address that is not mounted would be not_found.
    assert client.get("/v1/notifications").json()["error"]["code"] == "not_ready"
    assert client.get("/v1/notifications/none").json()["error"]["code"] == "not_ready"


@pytest.fixture
def terms(reader: Any) -> list[dict[str, Any]]:
    """The rows that are appended to the account's thresholds."""
    appended: list[dict[str, Any]] = []
    reader.answers[OWN_THRESHOLDS_SQL] = lambda: appended[-1:]
    reader.append = lambda table_id, rows, row_ids: appended.extend(rows)
    return appended


def test_thresholds__are_put_once_and_read_back(client: httpx.Client, terms: list[dict[str, Any]]) -> None:
    address = "/v1/accounts/acct-00001/thresholds"
    assert client.get(address).json()["set_at"] is None
    change = {"margin_call_pct": "45.5", "early_warning_pct": "60", "set_by": "ann", "reason": "volatile book"}
    put = client.put(address, json=change)
    assert put.status_code == 200, put.text
    assert client.put(address, json=change).json() == put.json() == client.get(address).json()
    assert len(terms) == 1
    assert put.json()["own"] == {
        "margin_call_pct": "45.5",
        "liquidation_pct": None,
        "early_warning_pct": "60",
        "recovery_margin_pct": None,
    }
    assert put.json()["effective"]["liquidation_pct"] == "15"
    assert put.json()["set_by"] == "ann"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"margin_call_pct": "15"}, "thresholds_invalid"),
        ({"recovery_margin_pct": "-1"}, "thresholds_invalid"),
        ({"margin_call_pct": "NaN"}, "request_invalid"),
        ({"margin_call": "40"}, "request_invalid"),
        ({"set_by": ""}, "request_invalid"),
    ],
)
def test_thresholds__that_cannot_hold_are_refused(
    client: httpx.Client, terms: list[dict[str, Any]], change: dict[str, str], code: str
) -> None:
    body = {"set_by": "ann", "reason": "why"} | change
    response = client.put("/v1/accounts/acct-00001/thresholds", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (422, code)
    assert terms == []


def test_thresholds__of_an_unknown_account_are_404(
    client: httpx.Client, reader: Any, terms: list[dict[str, Any]]
) -> None:
    reader.answers[queries.MARGIN_HEALTH_SQL] = []
    address = "/v1/accounts/nobody/thresholds"
    for response in (client.get(address), client.put(address, json={"set_by": "ann", "reason": "why"})):
        assert (response.status_code, response.json()["error"]["code"]) == (404, "account_unknown")
    assert terms == []
