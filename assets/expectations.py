"""Great Expectations suites as Dagster asset checks: one check an expectation, on a bounded read of the table."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pandas as pd

from infra.runtime.bigquery import Warehouse


@dataclass(frozen=True)
class Expected:
    """One expectation: the name of its check, its class in Great Expectations, and its arguments."""

    name: str
    expectation: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Suite:
    """What is expected of the rows that `sql` reads; `sql` bounds their number."""

    asset_key: dg.AssetKey
    sql: str
    expected: Sequence[Expected]

    def check_specs(self) -> list[dg.AssetCheckSpec]:
        """A blocking check for each expectation: what it guards is not built on rows that break it."""
        return [
            dg.AssetCheckSpec(item.name, asset=self.asset_key, blocking=True, description=_describe(item))
            for item in self.expected
        ]


def _describe(item: Expected) -> str:
    arguments = ", ".join(f"{name}={value}" for name, value in item.arguments.items())
    return f"{item.expectation}({arguments})"


def evaluate(suite: Suite, rows: pd.DataFrame) -> Iterator[dg.AssetCheckResult]:
    """One result an expectation. An expectation that could not be evaluated fails its check: unknown is never fine."""
    # Great Expectations takes ten seconds to import and would report usage: it is loaded where it is used.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    import great_expectations.expectations as gxe

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    batch_definition = (
        context.data_sources.add_pandas("raw").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    )
    batch = batch_definition.get_batch(batch_parameters={"dataframe": rows})
    for item in suite.expected:
        found = batch.validate(getattr(gxe, item.expectation)(**item.arguments))
        error = _exception_message(found.exception_info or {})
        result = found.result or {}
        yield dg.AssetCheckResult(
            asset_key=suite.asset_key,
            check_name=item.name,
            passed=bool(found.success),
            description=f"could not be evaluated: {error}" if error else None,
            metadata={
                "rows_checked": len(rows),
                "unexpected_rows": int(result.get("unexpected_count") or 0),
                "examples": dg.MetadataValue.json([str(v) for v in result.get("partial_unexpected_list") or []][:10]),
            },
        )


def _exception_message(info: Mapping[str, Any]) -> str | None:
    """Great Expectations tells one exception, or one a metric under the metric's id."""
    told = [info, *(item for item in info.values() if isinstance(item, Mapping))]
    messages = [str(item["exception_message"]) for item in told if item.get("exception_message")]
    return "; ".join(messages) or None


def read_rows(warehouse: Warehouse, suite: Suite) -> pd.DataFrame:
    """The rows that the suite reads; a table without rows keeps its columns, so that expectations still apply."""
    rows = warehouse.query(suite.sql)
    columns = sorted({str(item.arguments["column"]) for item in suite.expected if "column" in item.arguments})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
