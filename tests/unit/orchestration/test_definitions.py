"""The whole asset graph, compared with the committed text; and what must hold of it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

# Dagster asks pydantic for an attribute by its old name whenever a resource is made.
pytestmark = pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated:DeprecationWarning")

COMMITTED = Path(__file__).parent / "asset_graph.txt"


def test_graph__is_the_committed_one(definitions: dg.Definitions) -> None:
    from orchestration.describe import describe

    assert describe(definitions) == COMMITTED.read_text(encoding="utf-8"), (
        "The asset graph changed. If that is meant: "
        "python -m orchestration.describe > tests/unit/orchestration/asset_graph.txt"
    )


def test_definitions__can_be_loaded(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_graph__every_asset_has_a_group_and_an_owner_or_stands_outside(definitions: dg.Definitions) -> None:
    groups = {spec.group_name for spec in definitions.resolve_all_asset_specs()}
    assert "default" not in groups
    assert {"raw", "staging", "intermediate", "risk"} <= groups


def test_jobs__daily_builds_all_that_intraday_builds(definitions: dg.Definitions) -> None:
    built = {
        name: definitions.resolve_job_def(name).asset_layer.selected_asset_keys
        for name in ("risk_daily_job", "risk_intraday_job")
    }
    assert built["risk_intraday_job"] < built["risk_daily_job"]
    assert dg.AssetKey(["risk", "portfolio_var"]) in built["risk_daily_job"] - built["risk_intraday_job"]
    assert dg.AssetKey(["risk", "margin_events"]) not in built["risk_daily_job"]


def test_policies__name_assets_that_exist(definitions: dg.Definitions) -> None:
    from orchestration.automation import DAILY_KEYS, INTRADAY_KEYS

    known = {spec.key for spec in definitions.resolve_all_asset_specs()}
    assert known >= DAILY_KEYS | INTRADAY_KEYS


def test_jobs__intraday_compacts_and_feeds_the_last_24_hours(definitions: dg.Definitions) -> None:
    built = definitions.resolve_job_def("risk_intraday_job").asset_layer.selected_asset_keys
    assert {
        dg.AssetKey(["intermediate", "int_settlements__events_deduped"]),
        dg.AssetKey(["intermediate", "int_settlements__positions_compacted"]),
        dg.AssetKey(["intermediate", "int_settlements__compactions"]),
        dg.AssetKey(["intermediate", "int_market__prices_compacted"]),
        dg.AssetKey(["risk", "portfolio_exposures"]),
        dg.AssetKey(["risk", "recent_portfolio_exposures_mv"]),
        dg.AssetKey(["risk", "recent_portfolio_exposures"]),
        dg.AssetKey(["risk", "margin_health_history"]),
    } <= built
