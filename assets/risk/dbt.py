"""The dbt models as assets, in two sets: what is built during the day, and what is built once a day."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from assets.dbt_build import build
from infra.runtime.settings import Settings

# What follows from daily closes: returns, scenarios, Value at Risk. All else is live or built during the day.
DAILY = "tag:daily"


class BallastTranslator(DagsterDbtTranslator):
    """Names assets `<dataset>/<table>` and groups them by dataset."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=False))

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The dataset that the table stands in."""
        return str(dbt_resource_props["schema"])


def dbt_asset_sets(manifest: Path, settings: Settings) -> tuple[dg.AssetsDefinition, dg.AssetsDefinition]:
    """The intraday and the daily set of dbt assets."""
    translator = BallastTranslator()

    @dbt_assets(
        manifest=manifest,
        exclude=DAILY,
        name="intraday_dbt_assets",
        dagster_dbt_translator=translator,
        pool="dbt",
    )
    def intraday_dbt_assets(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield from build(context, settings, translator)

    @dbt_assets(
        manifest=manifest,
        select=DAILY,
        name="daily_dbt_assets",
        dagster_dbt_translator=translator,
        pool="dbt",
    )
    def daily_dbt_assets(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield from build(context, settings, translator)

    return intraday_dbt_assets, daily_dbt_assets
