"""dbt inside the process that is already warm: a subprocess would spend nine seconds on imports alone.

`prepare_manifest` parses the project when a file of it changed; `build` runs `dbt build` for some models and yields
one Dagster result a model and a data test.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator
from dagster_dbt.asset_utils import get_asset_check_key_for_test
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt_common.behavior_flags import BehaviorFlagRendered

from infra.runtime.errors import BallastError
from infra.runtime.settings import Settings, export_for_dbt

_SOURCES = ("*.sql", "*.yml", "*.csv")
# dbt keeps its profile, adapter and flags in module state: one build at a time in a process.
_one_at_a_time = threading.Lock()
# For the words of warnings dbt asks which module made each of its flags, and looks through all loaded modules for every
# frame of the stack: more than a second a command where Dagster is loaded.
BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt")  # type: ignore[method-assign]


class DbtError(BallastError):
    """dbt could not parse or build; the message names the nodes and their errors."""

    code = "dbt_failed"


@dataclass(frozen=True)
class NodeOutcome:
    """What became of one node of a build."""

    unique_id: str
    status: str
    seconds: float
    rows_affected: int | None
    failures: int | None
    message: str | None

    @property
    def is_error(self) -> bool:
        """Whether the node did not do what it should (`fail` is a data test that found rows)."""
        return self.status in ("error", "fail", "runtime error")


def project_fingerprint(project_dir: Path) -> str:
    """SHA-256 over names and contents of the project's SQL, YAML and CSV files."""
    digest = hashlib.sha256()
    files = sorted(f.relative_to(project_dir) for pattern in _SOURCES for f in project_dir.rglob(pattern))
    for file in files:
        if "target" not in file.parts:
            digest.update(f"{file}\0".encode())
            digest.update(hashlib.sha256((project_dir / file).read_bytes()).digest())
    return digest.hexdigest()


def prepare_manifest(settings: Settings) -> Path:
    """The manifest of the project as it stands; parsed anew (seconds, no network) only after a change.

    Processes that start together wait for one parse. Raises `DbtError` when the project does not parse.
    """
    target = settings.dbt_target_dir
    target.mkdir(parents=True, exist_ok=True)
    manifest, mark = target / "manifest.json", target / "manifest.sha256"
    wanted = f"{project_fingerprint(settings.dbt_project_dir)}:{settings.dbt_target}"
    with (target / "manifest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (manifest.exists() and mark.exists() and mark.read_text() == wanted):
            invoke(settings, ["parse"])
            mark.write_text(wanted)
    return manifest


def invoke(
    settings: Settings, arguments: Sequence[str], on_event: Callable[[Any], None] | None = None
) -> dbtRunnerResult:
    """Run one dbt command in this process against the settings' endpoints.

    Raises `DbtError` when dbt itself failed (bad project, no connection); nodes that failed are in the result.
    """
    with _one_at_a_time:
        export_for_dbt(settings)
        runner = dbtRunner(callbacks=[on_event] if on_event else [])
        result = runner.invoke([*arguments, *_common_flags(settings)])
    if result.exception is not None:
        raise DbtError(f"dbt {arguments[0]} failed: {result.exception}")
    return result


def _common_flags(settings: Settings) -> list[str]:
    return [
        "--project-dir",
        str(settings.dbt_project_dir),
        "--profiles-dir",
        str(settings.dbt_project_dir),
        "--target",
        settings.dbt_target,
        "--target-path",
        str(settings.dbt_target_dir),
        "--log-path",
        str(settings.state_dir / "logs"),
        "--quiet",
    ]


def build_arguments(models: Sequence[str], *, with_unit_tests: bool = False) -> list[str]:
    """Arguments of `dbt build` for the named models, seeds and their data tests."""
    skipped = [] if with_unit_tests else ["--exclude-resource-type", "unit_test"]
    return ["build", "--indirect-selection", "buildable", *skipped, "--select", *sorted(models)]


def run_build(
    settings: Settings, models: Sequence[str], on_event: Callable[[Any], None] | None = None
) -> list[NodeOutcome]:
    """Build the models; one outcome a node, in the order in which they ended."""
    result = invoke(settings, build_arguments(models), on_event)
    return [
        NodeOutcome(
            unique_id=node.node.unique_id,
            status=str(node.status),
            seconds=float(node.execution_time),
            rows_affected=(node.adapter_response or {}).get("rows_affected"),
            failures=node.failures,
            message=node.message,
        )
        for node in getattr(result.result, "results", [])
    ]


def build(
    context: dg.AssetExecutionContext, settings: Settings, translator: DagsterDbtTranslator
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Build what `context` selects and yield a result a model and a check a data test.

    Raises `DbtError` after the results are yielded when a node failed, so that the run fails with all that is known.
    """
    manifest = json.loads((settings.dbt_target_dir / "manifest.json").read_text())
    nodes = _selected_nodes(manifest, translator, context.selected_asset_keys)
    outcomes = run_build(settings, [_selector(manifest["nodes"][node]) for node in nodes], _narrate(context))
    yield from to_dagster(outcomes, manifest, translator, context.selected_asset_keys)
    wrong = [outcome for outcome in outcomes if outcome.is_error]
    if wrong:
        told = "\n".join(f"  {outcome.unique_id}: {outcome.status}: {outcome.message}" for outcome in wrong)
        raise DbtError(f"{len(wrong)} of {len(outcomes)} dbt nodes failed:\n{told}")


def to_dagster(
    outcomes: Sequence[NodeOutcome],
    manifest: Mapping[str, Any],
    translator: DagsterDbtTranslator,
    selected: frozenset[dg.AssetKey] | set[dg.AssetKey],
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Dagster results of a build: nodes that failed or were skipped are not materialized."""
    for outcome in outcomes:
        kind = outcome.unique_id.split(".", 1)[0]
        if kind in ("model", "seed") and outcome.status == "success":
            yield _materialized(outcome, translator.get_asset_spec(manifest, outcome.unique_id, None).key)
        elif kind == "test" and outcome.status in ("pass", "fail", "warn", "error"):
            check = get_asset_check_key_for_test(manifest, translator, outcome.unique_id, None)
            if check is not None and check.asset_key in selected:
                yield _checked(outcome, check, manifest["nodes"][outcome.unique_id])


def _materialized(outcome: NodeOutcome, key: dg.AssetKey) -> dg.MaterializeResult[Any]:
    metadata: dict[str, Any] = {"seconds": round(outcome.seconds, 3)}
    if outcome.rows_affected is not None:
        metadata["dagster/row_count"] = outcome.rows_affected
    return dg.MaterializeResult(asset_key=key, metadata=metadata)


def _checked(outcome: NodeOutcome, check: dg.AssetCheckKey, node: Mapping[str, Any]) -> dg.AssetCheckResult:
    # A test that could not run (`error`) is an error whatever its severity.
    is_mild = outcome.status == "pass" and str(node["config"].get("severity", "error")).lower() == "warn"
    return dg.AssetCheckResult(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=outcome.status == "pass",
        severity=dg.AssetCheckSeverity.WARN if is_mild or outcome.status == "warn" else dg.AssetCheckSeverity.ERROR,
        metadata={"rows_found": outcome.failures or 0, "seconds": round(outcome.seconds, 3)},
        description=outcome.message,
    )


def _selected_nodes(
    manifest: Mapping[str, Any], translator: DagsterDbtTranslator, selected: frozenset[dg.AssetKey] | set[dg.AssetKey]
) -> list[str]:
    return [
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed")
        and translator.get_asset_spec(manifest, unique_id, None).key in selected
    ]


def _selector(node: Mapping[str, Any]) -> str:
    return str(node["name"])


def _narrate(context: dg.AssetExecutionContext) -> Callable[[Any], None]:
    """Tells the run's log of each node that ended, so that progress is visible while dbt works."""

    def on_event(event: Any) -> None:
        if event.info.name == "NodeFinished":
            node = event.data.node_info
            context.log.info(f"dbt {node.node_name}: {node.node_status}")

    return on_event
