"""Jobs: named selections of assets with their checks."""

import dagster as dg

_BUILT = dg.AssetSelection.groups("staging", "intermediate", "risk", "audit") - dg.AssetSelection.assets(
    ["risk", "margin_events"], ["risk", "margin_event_publications"]
)
# Written outside Dagster: the API's thresholds, and what alerting mirrors.
_RAW = dg.AssetSelection.groups("raw") - dg.AssetSelection.assets(
    ["raw", "account_thresholds"], ["raw", "notification_events"], ["raw", "alert_preference_changes"]
)
_DAILY = dg.AssetSelection.tag("daily", "")
_ARRIVED = dg.AssetSelection.assets(["raw", "market_prices"], ["raw", "settlement_events"])

risk_intraday_job = dg.define_asset_job(
    "risk_intraday_job",
    selection=_ARRIVED | (_BUILT - _DAILY),
    description="Compacts events and prices, and takes a snapshot of exposures and margin health.",
    executor_def=dg.in_process_executor,
)

risk_daily_job = dg.define_asset_job(
    "risk_daily_job",
    selection=_RAW | _BUILT,
    description="Loads closes, builds and tests the whole dbt project: positions, margin, VaR, ES.",
    executor_def=dg.in_process_executor,
)
