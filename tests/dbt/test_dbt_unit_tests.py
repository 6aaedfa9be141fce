"""The dbt unit tests of the project, run as SQL on the embedded BigQuery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra.runtime.settings import Settings

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(1200)]

# Models in which money, quantities or the choice of a price are computed.
COMPUTING_MODELS = {
    "stg_settlements__events",
    "stg_margin__account_thresholds",
    "stg_reference__stress_scenarios",
    "int_settlements__events_deduped",
    "int_settlements__events_since",
    "int_settlements__positions_compacted",
    "int_settlements__positions_current",
    "int_settlements__compactions",
    "int_market__latest_prices",
    "int_market__prices_compacted",
    "int_risk__positions_valued",
    "int_risk__asset_returns",
    "int_risk__scenarios",
    "int_risk__asset_coverage",
    "int_risk__exposures_as_of",
    "int_risk__portfolio_exposures",
    "int_risk__portfolio_coverage",
    "int_risk__exposure_vectors",
    "int_risk__scenario_matrix",
    "int_risk__historical_tails",
    "int_risk__historical_var",
    "int_risk__book_scenarios",
    "int_risk__component_losses",
    "int_risk__component_removals",
    "int_risk__value_at_risk",
    "int_risk__realised_pnl",
    "int_risk__var_plan",
    "int_risk__stress_shocks",
    "int_risk__exposures_stressed",
    "margin_health",
    "liquidation_prices",
    "stress_account_results",
    "stress_results",
    "var_components",
    "stg_alerting__notification_events",
    "stg_alerting__preference_changes",
    "notification_deliveries",
    "delivery_rates",
    "alert_trail",
    "kyc_funnel",
    "aml_alert_outcomes",
    "screening_activity",
    "sla",
    "transaction_monitoring",
    "compliance_decision_trail",
}


def test_dbt_unit_tests__all_pass_and_cover_each_computing_model(
    built_warehouse: Settings, without_warnings: Callable[[], Any]
) -> None:
    with without_warnings():
        from assets.dbt_build import invoke

        done: Any = invoke(built_warehouse, ["test", "--select", "test_type:unit"]).result
    results = done.results
    wrong = [f"{each.node.name}: {each.status}: {each.message}" for each in results if each.status != "pass"]
    assert not wrong, "\n\n".join(wrong)
    assert {each.node.tested_node_unique_id.rsplit(".", 1)[-1] for each in results} >= COMPUTING_MODELS
