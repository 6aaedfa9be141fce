"""Freshness and automation policies, all in one place, by asset group."""

from datetime import timedelta

import dagster as dg

# Closes are due once a day; risk built on them is late when a day and a half has passed.
DAILY_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26))
# Compaction and snapshots run every few minutes: an hour without one is late.
INTRADAY_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=1), warn_window=timedelta(minutes=15))
# Copies of compliance are made every quarter of an hour.
COPY_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2), warn_window=timedelta(minutes=40))

DAILY_KEYS = {
    dg.AssetKey(["raw", "daily_closes"]),
    dg.AssetKey(["risk", "portfolio_var"]),
    dg.AssetKey(["risk", "book_var"]),
    dg.AssetKey(["risk", "var_components"]),
    dg.AssetKey(["risk", "var_exposures"]),
    dg.AssetKey(["risk", "var_method_estimates"]),
    dg.AssetKey(["risk", "var_backtests"]),
    dg.AssetKey(["risk", "stress_results"]),
    dg.AssetKey(["risk", "stress_account_results"]),
    # The lists are searched for changes each night.
    dg.AssetKey(["compliance", "rescreening"]),
}
COPY_KEYS = {
    dg.AssetKey(["raw", "compliance_transaction_logs"]),
    dg.AssetKey(["raw", "compliance_case_events"]),
    dg.AssetKey(["raw", "compliance_decisions"]),
}
INTRADAY_KEYS = {
    dg.AssetKey(["intermediate", "int_settlements__positions_compacted"]),
    dg.AssetKey(["risk", "portfolio_exposures"]),
    dg.AssetKey(["risk", "margin_health_history"]),
}


def rebuild_value_at_risk() -> dg.AutomationCondition:  # type: ignore[type-arg]
    """Build what follows from closes when new closes were loaded, unless a run is under way.

    Terms: any dependency was updated since the last build; none of them is missing; nothing is in progress.
    """
    return (
        dg.AutomationCondition.any_deps_updated()
        & ~dg.AutomationCondition.any_deps_missing()
        & ~dg.AutomationCondition.in_progress()
        & ~dg.AutomationCondition.any_deps_in_progress()
    ).with_label("rebuild_value_at_risk")


def apply_policies(definitions: dg.Definitions) -> dg.Definitions:
    """Give each asset the freshness and automation policy of its kind."""

    def mapped(spec: dg.AssetSpec) -> dg.AssetSpec:
        changes: dict[str, object] = {}
        if spec.key in DAILY_KEYS:
            changes["freshness_policy"] = DAILY_FRESHNESS
        if spec.key in INTRADAY_KEYS:
            changes["freshness_policy"] = INTRADAY_FRESHNESS
        if spec.key in COPY_KEYS:
            changes["freshness_policy"] = COPY_FRESHNESS
        if spec.key in DAILY_KEYS and spec.key.path[0] == "risk":
            changes["automation_condition"] = rebuild_value_at_risk()
        return spec.replace_attributes(**changes) if changes else spec  # type: ignore[arg-type]

    return definitions.map_resolved_asset_specs(func=mapped)
