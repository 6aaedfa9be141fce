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

    def asset_set(name: str, *, select: str = "fqn:*", exclude: str = "") -> dg.AssetsDefinition:
        @dbt_assets(
            manifest=manifest,
            select=select,
            exclude=exclude,
            name=name,
            dagster_dbt_translator=translator,
            pool="dbt",
        )
        def models(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
            yield from build(context, settings, translator)

        return models

    return asset_set("intraday_dbt_assets", exclude=DAILY), asset_set("daily_dbt_assets", select=DAILY)
