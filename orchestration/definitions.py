"""Everything that Dagster runs."""

import dagster as dg

from assets.compliance.assets import compliance_copies, rescreening
from assets.dbt_build import prepare_manifest
from assets.market_data.assets import daily_closes, market_prices, price_sets
from assets.market_data.checks import daily_closes_expectations, market_prices_expectations
from assets.platform import Platform
from assets.risk.assets import var_backtest_assets, var_method_estimates
from assets.risk.dbt import dbt_asset_sets
from assets.settlements.assets import settlement_events
from assets.settlements.checks import settlement_events_expectations
from infra.runtime.settings import Settings, load_settings
from orchestration.automation import apply_policies
from orchestration.jobs import compliance_job, compliance_rescreening_job, risk_daily_job, risk_intraday_job
from orchestration.schedules import (
    compliance_rescreening_schedule,
    compliance_schedule,
    risk_daily_schedule,
    risk_intraday_schedule,
)
from orchestration.sensors.arrivals import raw_arrivals_sensor
from orchestration.sensors.margin import margin_alert_sensor

# Tables that processes outside Dagster write.
WRITTEN_OUTSIDE = (
    dg.AssetSpec(["raw", "price_ticks"], group_name="raw", kinds={"bigquery"}),
    dg.AssetSpec(["raw", "oracle_sources"], group_name="raw", kinds={"bigquery"}),
    dg.AssetSpec(["raw", "account_thresholds"], group_name="raw", kinds={"bigquery"}),
    dg.AssetSpec(
        ["raw", "notification_events"], group_name="raw", deps=[["risk", "margin_events"]], kinds={"bigquery"}
    ),
    dg.AssetSpec(["raw", "alert_preference_changes"], group_name="raw", kinds={"bigquery"}),
    dg.AssetSpec(["risk", "margin_events"], group_name="risk", deps=[["risk", "margin_health"]], kinds={"bigquery"}),
    dg.AssetSpec(
        ["risk", "margin_event_publications"], group_name="risk", deps=[["risk", "margin_events"]], kinds={"pubsub"}
    ),
)


def build_definitions(settings: Settings) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors for the settings; parses the dbt project if it changed."""
    intraday, daily = dbt_asset_sets(prepare_manifest(settings), settings)
    return apply_policies(
        dg.Definitions(
            assets=[
                daily_closes,
                price_sets,
                market_prices,
                settlement_events,
                intraday,
                daily,
                var_method_estimates,
                var_backtest_assets,
                compliance_copies,
                rescreening,
                *WRITTEN_OUTSIDE,
            ],
            asset_checks=[daily_closes_expectations, market_prices_expectations, settlement_events_expectations],
            jobs=[risk_intraday_job, risk_daily_job, compliance_job, compliance_rescreening_job],
            schedules=[
                risk_daily_schedule,
                risk_intraday_schedule,
                compliance_schedule,
                compliance_rescreening_schedule,
            ],
            sensors=[
                margin_alert_sensor,
                raw_arrivals_sensor,
                dg.AutomationConditionSensorDefinition(
                    "risk_automation_sensor",
                    target=dg.AssetSelection.groups("risk"),
                    default_status=dg.DefaultSensorStatus.STOPPED,
                ),
            ],
            resources={"platform": Platform()},
        )
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster` loads."""
    return build_definitions(load_settings())
