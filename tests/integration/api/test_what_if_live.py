"""The what-if on built marts: its figures are those of the engine, of the marts, and nothing is written for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from assets.risk import queries
from assets.risk.engine.batch import Histories, Question
from assets.risk.engine.history import Closes, closes_of
from assets.risk.engine.levels import STANDARD_CONFIDENCES
from assets.risk.engine.methods import Method
from assets.risk.engine.portfolio import Estimate, estimates
from infra.runtime.bigquery import Warehouse
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse")]

NANO = Decimal("0.000000001")
FIGURES = ("var_usd", "es_usd", "var_lower_usd", "var_upper_usd", "es_lower_usd", "es_upper_usd")
# Prices are published again each minute, by the fixture itself.
LIVE_TABLES = {"raw.market_prices"}
CLOSES_SQL = """
select daily_closes.asset, daily_closes.price_date, daily_closes.close_usd, price_sets.last_date
from raw.daily_closes
inner join raw.price_sets on daily_closes.price_set_id = price_sets.price_set_id
"""
INDEBTED_SQL = """
select account_id
from risk.margin_health
where has_borrow and status != 'unpriced'
order by account_id
limit 12
"""


@pytest.fixture(scope="module")
def client(live_api: tuple[str, str]) -> Iterator[httpx.Client]:
    """A client of an API process on the built marts."""
    url, token = live_api
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def warehouse(built_warehouse: Settings) -> Warehouse:
    return Warehouse(built_warehouse)


@pytest.fixture(scope="module")
def account_ids(warehouse: Warehouse) -> list[str]:
    """Accounts with a debt whose health is known."""
    return [str(row["account_id"]) for row in warehouse.query(INDEBTED_SQL)]


@pytest.fixture(scope="module")
def closes(warehouse: Warehouse) -> tuple[Closes, date]:
    """Closes as they were loaded, and the last day of all, read past the staging model."""
    rows = warehouse.query(CLOSES_SQL)
    assert len({row["last_date"] for row in rows}) == 1
    return closes_of((row["asset"], row["price_date"], row["close_usd"]) for row in rows), rows[0]["last_date"]


def _asked(client: httpx.Client, positions: list[queries.Exposure], **others: Any) -> dict[str, Any]:
    body = {"positions": [{"asset": p.asset, "side": p.side, "quantity": format(p.quantity, "f")} for p in positions]}
    response = client.post("/v1/risk/what-if", json=body | others)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def _shown(row: Estimate) -> dict[str, str | None]:
    figures = {name: getattr(row, name) for name in FIGURES}
    return {name: None if value is None else format(value, "f") for name, value in figures.items()}


@pytest.mark.parametrize("method", [*Method])
@pytest.mark.parametrize("horizon_days", [1, 10])
def test_what_if__of_an_accounts_own_positions_is_what_the_engine_says(
    client: httpx.Client,
    warehouse: Warehouse,
    account_ids: list[str],
    closes: tuple[Closes, date],
    method: Method,
    horizon_days: int,
) -> None:
    found, as_of = closes
    positions = queries.account_exposures(warehouse, account_ids[0])
    body = _asked(client, positions, methods=[method], horizons_days=[horizon_days])
    exposures: dict[str, Decimal] = {}
    for position in positions:
        sign = 1 if position.side == "collateral" else -1
        usd = sign * position.quantity * found.by_asset[position.asset][as_of]
        exposures[position.asset] = exposures.get(position.asset, Decimal(0)) + usd
    histories = Histories(found, tuple(sorted(found.by_asset)), as_of, body["price_set_id"])
    question = Question(method, horizon_days, 500, STANDARD_CONFIDENCES)
    expected = [_shown(row) for row in estimates(exposures, histories, [question])]
    assert [{name: row[name] for name in FIGURES} for row in body["estimates"]] == expected
    assert body["is_simulated"] is True


def test_what_if__of_an_accounts_own_positions_is_what_is_stored(
    client: httpx.Client, warehouse: Warehouse, account_ids: list[str]
) -> None:
    compared = 0
    for account_id in account_ids:
        stored = client.get(f"/v1/portfolios/{account_id}/var").json()["estimates"]
        body = _asked(client, queries.account_exposures(warehouse, account_id), as_of=stored[0]["as_of_date"])
        computed = {row["confidence"]: row for row in body["estimates"]}
        for row in stored:
            confidence = format(Decimal(row["confidence"]).normalize(), "f")
            for name in ("var_usd", "es_usd"):
                assert abs(Decimal(row[name]) - Decimal(computed[confidence][name])) <= Decimal("0.01")
            assert row["price_set_id"] == body["price_set_id"]
            compared += 1
    assert compared >= 3 * len(account_ids) > 0


def test_what_if__on_live_prices_has_the_trigger_prices_and_health_of_the_marts(
    client: httpx.Client, warehouse: Warehouse, account_ids: list[str]
) -> None:
    compared = 0
    for account_id in account_ids:
        positions = queries.account_exposures(warehouse, account_id)
        prices = {p.asset: format(p.price_usd, "f") for p in positions if p.price_usd is not None}
        body = _asked(client, positions, prices=prices, intervals=False)
        health = queries.margin_health(warehouse, account_id)
        assert health is not None
        assert health.health_pct is not None
        assert body["health"]["status"] == health.status
        # The marts round each amount to a nano-USD, the engine only the result.
        off = (len(positions) + 1) * NANO
        assert abs(Decimal(body["health"]["health_pct"]) - health.health_pct) <= off
        triggers = {(each["asset"], each["threshold"]): each for each in body["liquidation_prices"]}
        stored = queries.liquidation_prices(warehouse, [account_id])
        assert {(row.asset, row.threshold) for row in stored} == set(triggers)
        for row in stored:
            found = triggers[row.asset, row.threshold]
            assert found["reason"] == row.reason
            if row.trigger_price_usd is None:
                assert found["trigger_price_usd"] is None
                continue
            with localcontext() as context:
                context.prec = 60
                units = {p.side: p.quantity for p in positions if p.asset == row.asset}
                factor = 1 + row.threshold_pct / 100
                net = abs(units.get("collateral", Decimal(0)) - factor * units.get("borrow", Decimal(0)))
                assert abs(Decimal(found["trigger_price_usd"]) - row.trigger_price_usd) <= 2 * off / net + NANO
            compared += 1
    assert compared > len(account_ids)


def _rows_of_tables(warehouse: Warehouse) -> dict[str, int]:
    """Rows of every table of BigQuery and PostgreSQL, but for live prices."""
    counts = {}
    for dataset in warehouse.client.list_datasets():
        for table in warehouse.client.list_tables(dataset.dataset_id):
            name = f"{table.dataset_id}.{table.table_id}"
            if table.table_type == "TABLE" and name not in LIVE_TABLES:
                counts[name] = warehouse.query(f"select count(*) as counted from {name}")[0]["counted"]
    engine = postgres_engine(warehouse.settings, application_name="test")
    with engine.connect() as connection:
        tables = connection.execute(
            text("select schemaname, relname from pg_stat_user_tables order by schemaname, relname")
        ).all()
        for schema, name in tables:
            counted = connection.execute(text(f'select count(*) from "{schema}"."{name}"'))
            counts[f"postgres.{schema}.{name}"] = counted.scalar_one()
    engine.dispose()
    return counts


def test_what_if__writes_nothing(client: httpx.Client, warehouse: Warehouse, account_ids: list[str]) -> None:
    before = _rows_of_tables(warehouse)
    assert before["raw.daily_closes"] > 0
    assert any(name.startswith("postgres.") for name in before)
    _asked(client, queries.account_exposures(warehouse, account_ids[0]), methods=[*Method], horizons_days=[1, 10])
    assert _rows_of_tables(warehouse) == before


def test_what_if__of_an_asset_without_closes_is_refused(client: httpx.Client) -> None:
    position = {"asset": "DOGE", "side": "collateral", "quantity": "1"}
    response = client.post("/v1/risk/what-if", json={"positions": [position]})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "assets_unknown")
    assert "DOGE" in response.json()["error"]["message"]


def test_book_components__sum_to_the_stored_estimate(client: httpx.Client) -> None:
    body = client.get("/v1/book/var/components").json()
    stored = client.get("/v1/book/var", params={"confidence": "0.99", "method": "historical_simulation"}).json()
    var_usd = {Decimal(row["var_usd"]) for row in stored["estimates"] if row["horizon_days"] == 1}
    assert body["components"]
    assert {Decimal(row["book_var_usd"]) for row in body["components"]} <= var_usd
    summed = sum(Decimal(row["component_var_usd"]) for row in body["components"])
    assert abs(summed - Decimal(body["components"][0]["book_var_usd"])) <= len(body["components"]) * NANO


def test_reverse_stress__of_a_larger_loss_takes_a_larger_fall(client: httpx.Client) -> None:
    falls = [
        Decimal(client.get("/v1/risk/reverse-stress", params={"loss_usd": loss}).json()["fall_ratio"])
        for loss in ("1000", "2000")
    ]
    assert 0 < falls[0] < falls[1] < 1


def test_book_var__has_every_stored_estimate(client: httpx.Client) -> None:
    body = client.get("/v1/book/var", params={"all": "true"}).json()
    assert {row["confidence"] for row in client.get("/v1/book/var").json()["estimates"]} <= {
        row["confidence"] for row in body["estimates"]
    }
    assert all(row["code_version"] for row in body["estimates"])
