"""Backtests and stress tests over HTTP: labels, reasons, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import NotFound

from assets.risk import stress_queries, var_queries
from assets.risk.stress_queries import StressedAccount, StressResult
from assets.risk.var_queries import VarBacktest
from infra.runtime.errors import WarehouseError

COMPUTED = datetime(2026, 3, 2, tzinfo=UTC)
BACKTEST = dict.fromkeys(VarBacktest.__dataclass_fields__) | {
    "as_of_date": date(2026, 3, 1),
    "backtest_kind": "history",
    "subject_kind": "book",
    "subject_id": "book",
    "method": "historical_simulation",
    "estimator": "kth_worst_loss",
    "confidence": Decimal("0.990000000"),
    "horizon_days": 1,
    "window_observations": 500,
    "period": "last_250_days",
    "observations": 250,
    "missing": 0,
    "exceptions": 5,
    "expected_exceptions": Decimal("2.5"),
    "kupiec_exact_p_value": 0.189,
    "zone": "yellow",
    "multiplier_1996": Decimal("3.40"),
    "multiplier_frtb": Decimal("1.70"),
    "verdict": "amber",
    "verdict_reason": "5 exceptions in 250 days, 2.5 expected: yellow zone",
    "notes": "duration: too few exceptions",
    "price_set_id": "px-1",
    "is_simulated": True,
    "seed": 7,
    "code_version": "ballast-0.1.0",
    "computed_at": COMPUTED,
}
SCENARIO = dict.fromkeys(StressResult.__dataclass_fields__) | {
    "as_of_date": date(2026, 3, 1),
    "price_set_id": "px-1",
    "scenario_id": "covid_2020_03",
    "scenario_version": 1,
    "kind": "historical",
    "name": "March 2020",
    "accounts": 3,
    "unknown_accounts": 3,
    "unpriced_accounts": 3,
    "reason": "3 of 3 accounts unknown: no shock of NEW",
    "is_simulated": False,
    "code_version": "ballast-0.1.0",
    "computed_at": COMPUTED,
}
STRESSED = dict.fromkeys(StressedAccount.__dataclass_fields__) | {
    "account_id": "acct-00001",
    "loss_rank": 1,
    "pnl_usd": Decimal("-10.5"),
    "status_before": "healthy",
    "status_after": "liquidation",
    "bad_debt_usd": Decimal(0),
    "is_simulated": False,
}


def _not_built() -> list[dict[str, Any]]:
    raise WarehouseError("Not found: a mart") from NotFound("a mart")


def test_backtests__give_verdict_words_and_tests(client: httpx.Client, reader: Any) -> None:
    reader.answers[var_queries.BACKTESTS_SQL] = [BACKTEST]
    body = client.get("/v1/risk/backtests").json()
    [found] = body["backtests"]
    assert body["reason"] is None
    assert (found["verdict"], found["zone"], found["multiplier_1996"]) == ("amber", "yellow", "3.40")
    assert (found["exceptions"], found["expected_exceptions"]) == (5, "2.5")
    assert found["kupiec_exact_p_value"] == 0.189
    # A test that could not be computed is null, with a note.
    assert found["duration_p_value"] is None
    assert found["notes"] == "duration: too few exceptions"


def test_backtests__before_the_first_build_say_so(client: httpx.Client, reader: Any) -> None:
    reader.answers[var_queries.BACKTESTS_SQL] = _not_built
    assert client.get("/v1/risk/backtests").json() == {"backtests": [], "reason": "not_computed"}


@pytest.mark.parametrize("query", ["subject_kind=planet", "method=guess"])
def test_backtests__refuse_what_is_not_known(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/v1/risk/backtests?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "request_invalid")


def test_stress__without_a_known_account_has_null_and_a_reason(client: httpx.Client, reader: Any) -> None:
    reader.answers[stress_queries.STRESS_RESULTS_SQL] = [SCENARIO]
    [found] = client.get("/v1/risk/stress").json()["scenarios"]
    names = ("pnl_usd", "margin_call_accounts", "liquidation_accounts", "collateral_to_sell_usd", "bad_debt_usd")
    assert [found[name] for name in names] == [None] * 5
    assert found["reason"] == "3 of 3 accounts unknown: no shock of NEW"


def test_stressed_accounts__are_listed_by_loss(client: httpx.Client, reader: Any) -> None:
    reader.answers[stress_queries.STRESSED_ACCOUNTS_SQL] = [STRESSED]
    [found] = client.get("/v1/risk/stress/covid_2020_03/accounts").json()["accounts"]
    assert (found["loss_rank"], found["pnl_usd"], found["status_after"]) == (1, "-10.5", "liquidation")


def test_stressed_accounts__of_an_unknown_scenario_are_not_found(client: httpx.Client, reader: Any) -> None:
    reader.answers[stress_queries.STRESSED_ACCOUNTS_SQL] = []
    answer = client.get("/v1/risk/stress/nowhere/accounts")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "scenario_unknown")
    assert "nowhere" in answer.json()["error"]["message"]
