"""`ballast risk var` on built marts: what it computes is what is stored."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from assets.risk import queries
from infra.embedded import cli
from infra.embedded.risk_options import RiskQuestion
from infra.embedded.risk_report import Agreement, report
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse")]


def test_report__of_every_account_is_what_is_stored(built_warehouse: Settings) -> None:
    warehouse, today = Warehouse(built_warehouse), SystemClock().now().date()
    for account_id in queries.account_ids(warehouse)[:10]:
        found = report(warehouse, RiskQuestion(account_id), today)
        stored = [each for each in found.compared if each.agreement is not Agreement.NOT_STORED]
        assert stored
        assert found.is_confirmed, account_id


def test_command__shows_the_book_and_ends_with_0(built_warehouse: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALLAST_STATE_DIR", str(built_warehouse.state_dir))
    result = CliRunner().invoke(cli.app, ["risk", "var", "--book", "--confidence", "0.99"])
    assert result.exit_code == 0, result.output
    assert "Risk of the book" in result.output
    assert "agrees" in result.output
    as_json = CliRunner().invoke(cli.app, ["risk", "var", "--book", "--confidence", "0.99", "--json"])
    estimate = json.loads(as_json.output)["estimates"][0]
    stored = next(e for e in queries.book_var(Warehouse(built_warehouse)) if e.confidence == Decimal("0.99"))
    assert stored.var_usd is not None
    assert abs(Decimal(estimate["var_usd"]) - stored.var_usd) <= Decimal("0.01")


def test_command__of_an_unknown_account_ends_with_an_error(built_warehouse: Settings) -> None:
    with pytest.raises(Exception, match="There is no account 'nobody'"):
        report(Warehouse(built_warehouse), RiskQuestion("nobody"), SystemClock().now().date())
