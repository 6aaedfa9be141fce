"""The API on embedded servers and built marts: each read answers, and the reads agree with each other."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from assets.risk import queries
from infra.runtime.bigquery import Warehouse
from infra.runtime.settings import Settings

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse")]


@pytest.fixture(scope="module")
def client(live_api: tuple[str, str]) -> Iterator[httpx.Client]:
    """A client of an API process on the built marts."""
    url, token = live_api
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def account_ids(built_warehouse: Settings) -> list[str]:
    """Every account of the simulated book, from the mart itself."""
    return queries.account_ids(Warehouse(built_warehouse))


def _got(client: httpx.Client, path: str, **parameters: Any) -> dict[str, Any]:
    response = client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_readyz__is_ready(client: httpx.Client) -> None:
    assert _got(client, "/readyz")["status"] == "ready"


def test_portfolios__pages_show_each_account_once(client: httpx.Client, account_ids: list[str]) -> None:
    limit = max(1, len(account_ids) // 3)
    seen: list[dict[str, Any]] = []
    page = _got(client, "/v1/portfolios", limit=limit)
    seen += page["portfolios"]
    while page["next_cursor"]:
        page = _got(client, "/v1/portfolios", limit=limit, cursor=page["next_cursor"])
        seen += page["portfolios"]
    assert sorted(each["account_id"] for each in seen) == account_ids
    urgency = [{"unpriced": 0, "no_debt": 2}.get(each["status"], 1) for each in seen]
    assert urgency == sorted(urgency)
    health = [Decimal(each["health_pct"]) for each in seen if urgency[seen.index(each)] == 1]
    assert health == sorted(health)


def test_exposure__sums_to_margin_health(client: httpx.Client) -> None:
    exposure = _got(client, "/v1/portfolios/acct-00001/exposure")
    health = _got(client, "/v1/portfolios/acct-00001/margin-health")
    assert exposure["positions"]
    assert {each["asset"] for each in exposure["positions"]} == {each["asset"] for each in health["liquidation_prices"]}
    assert {each["threshold"] for each in health["liquidation_prices"]} == {"margin_call", "liquidation"}
    for each in health["liquidation_prices"]:
        assert (each["trigger_price_usd"] is None) is (each["reason"] is not None)
    if exposure["totals"]["is_complete"]:
        for name in ("collateral_usd", "borrow_usd"):
            assert Decimal(exposure["totals"][name]) == Decimal(health[name])
    assert health["is_simulated"] is True
    assert exposure["is_simulated"] is True


def test_var__of_account_and_book_has_figures_or_reasons(client: httpx.Client) -> None:
    account = _got(client, "/v1/portfolios/acct-00001/var")
    book = _got(client, "/v1/book")["value_at_risk"]
    for report in (account, book):
        assert report["estimates"]
        for each in report["estimates"]:
            # A fallback has a figure, and a reason why it stands in.
            assert (each["reason"] is None) is (each["var_usd"] is not None and not each["is_fallback"])
            assert each["var_usd"] is None or Decimal(each["es_usd"]) >= Decimal(each["var_usd"])


def test_book__counts_every_account(client: httpx.Client, account_ids: list[str]) -> None:
    book = _got(client, "/v1/book")
    assert book["accounts"] == len(account_ids) == sum(book["accounts_by_status"].values())
    assert book["is_simulated"] is True


@pytest.mark.parametrize("read", ["exposure", "margin-health", "var"])
def test_unknown_account__is_404(client: httpx.Client, read: str) -> None:
    response = client.get(f"/v1/portfolios/nobody/{read}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "account_unknown")
