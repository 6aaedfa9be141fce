"""Jobs: named selections of assets with their checks."""

import dagster as dg

# Compliance has a job of its own: what it waits for or refuses must not hold risk up.
_COMPLIANCE_MODELS = dg.AssetSelection.tag("compliance", "")
_COMPLIANCE_COPIES = dg.AssetSelection.groups("raw") & dg.AssetSelection.owner("team:compliance")
_RESCREENING = dg.AssetSelection.assets(["compliance", "rescreening"])
_BUILT = (
    dg.AssetSelection.groups("staging", "intermediate", "risk", "audit")
    - dg.AssetSelection.assets(["risk", "margin_events"], ["risk", "margin_event_publications"])
    - _COMPLIANCE_MODELS
)
# Written outside Dagster: the API's thresholds, and what alerting mirrors.
_RAW = (
    dg.AssetSelection.groups("raw")
    - dg.AssetSelection.assets(
        ["raw", "account_thresholds"], ["raw", "notification_events"], ["raw", "alert_preference_changes"]
    )
    - _COMPLIANCE_COPIES
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

compliance_job = dg.define_asset_job(
    "compliance_job",
    selection=_COMPLIANCE_COPIES | _COMPLIANCE_MODELS,
    description="Copies what changed in compliance, compares both sides, and builds and tests its marts and trails.",
    executor_def=dg.in_process_executor,
)

compliance_rescreening_job = dg.define_asset_job(
    "compliance_rescreening_job",
    selection=_RESCREENING,
    description="Screens customers against what changed in the lists.",
    executor_def=dg.in_process_executor,
)
