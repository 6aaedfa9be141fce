"""What dbt is asked for, and what becomes of its answers; no warehouse, no dbt run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    # Said by libraries of Dagster and dbt at their import.
    warnings.simplefilter("ignore")
    import dagster as dg

    from assets.dbt_build import NodeOutcome, build_arguments, project_fingerprint, to_dagster
    from assets.risk.dbt import BallastTranslator

MARGIN = dg.AssetKey(["risk", "margin_health"])
MODEL = "model.ballast.margin_health"
SEED = "seed.ballast.thresholds"
TEST = "test.ballast.not_null_margin_health_account_id.abc"


def node(unique_id: str, kind: str, **more: Any) -> dict[str, Any]:
    name = unique_id.split(".")[2]
    return {
        "unique_id": unique_id,
        "resource_type": kind,
        "name": name,
        "alias": name,
        "schema": "risk",
        "database": "ballast",
        "package_name": "ballast",
        "fqn": ["ballast", name],
        "original_file_path": f"models/{name}.sql",
        "path": f"{name}.sql",
        "description": "",
        "columns": {},
        "tags": [],
        "meta": {},
        "config": {"materialized": "view", "schema": "risk", "tags": [], "meta": {}, "severity": "ERROR"},
        "depends_on": {"nodes": []},
        **more,
    }


def manifest(severity: str = "ERROR") -> dict[str, Any]:
    test = node(
        TEST,
        "test",
        depends_on={"nodes": [MODEL]},
        attached_node=MODEL,
        config={"severity": severity, "tags": [], "meta": {}},
    )
    nodes = {MODEL: node(MODEL, "model"), SEED: node(SEED, "seed"), TEST: test}
    return {
        "metadata": {"project_name": "ballast", "adapter_type": "bigquery", "project_id": "x"},
        "nodes": nodes,
        "sources": {},
        "exposures": {},
        "metrics": {},
        "semantic_models": {},
        "unit_tests": {},
        "groups": {},
        "macros": {},
        "child_map": {MODEL: [TEST], SEED: [], TEST: []},
        "parent_map": {MODEL: [], SEED: [], TEST: [MODEL]},
    }


def outcome(unique_id: str, status: str, failures: int | None = None, rows: int | None = None) -> NodeOutcome:
    return NodeOutcome(unique_id, status, 1.23456, rows, failures, "told")


def results(
    *outcomes: NodeOutcome, found: Mapping[str, Any] | None = None, selected: frozenset[dg.AssetKey] | None = None
) -> list[Any]:
    chosen = frozenset({MARGIN, dg.AssetKey(["risk", "thresholds"])}) if selected is None else selected
    return list(to_dagster(outcomes, found or manifest(), BallastTranslator(), chosen))


def test_arguments__name_the_models_sorted_and_leave_unit_tests_out() -> None:
    assert build_arguments(["b", "a"]) == [
        *("build", "--indirect-selection", "buildable"),
        *("--exclude-resource-type", "unit_test", "--select", "a", "b"),
    ]


def test_arguments__may_include_unit_tests() -> None:
    assert "--exclude-resource-type" not in build_arguments(["a"], with_unit_tests=True)


def test_results__a_model_and_a_seed_that_succeeded_are_materialized() -> None:
    first, second = results(outcome(SEED, "success"), outcome(MODEL, "success", rows=7))
    assert [first.asset_key, second.asset_key] == [dg.AssetKey(["risk", "thresholds"]), MARGIN]
    assert second.metadata == {"seconds": 1.235, "dagster/row_count": 7}
    assert "dagster/row_count" not in first.metadata


@pytest.mark.parametrize("status", ["error", "skipped", "runtime error", "partial success"])
def test_results__a_model_that_did_not_succeed_is_not_materialized(status: str) -> None:
    assert results(outcome(MODEL, status)) == []


@pytest.mark.parametrize(
    ("severity", "status", "passed", "told"),
    [
        ("ERROR", "pass", True, dg.AssetCheckSeverity.ERROR),
        ("ERROR", "fail", False, dg.AssetCheckSeverity.ERROR),
        ("ERROR", "error", False, dg.AssetCheckSeverity.ERROR),
        ("ERROR", "warn", False, dg.AssetCheckSeverity.WARN),
        ("WARN", "pass", True, dg.AssetCheckSeverity.WARN),
        ("warn", "warn", False, dg.AssetCheckSeverity.WARN),
        ("WARN", "error", False, dg.AssetCheckSeverity.ERROR),
    ],
)
def test_results__a_data_test_is_a_check_and_unknown_is_an_error(
    severity: str, status: str, passed: bool, told: dg.AssetCheckSeverity
) -> None:
    [check] = results(outcome(TEST, status, failures=3), found=manifest(severity))
    assert isinstance(check, dg.AssetCheckResult)
    assert check.asset_key == MARGIN
    assert (check.passed, check.severity) == (passed, told)
    assert check.metadata["rows_found"].value == 3
    assert check.description == "told"


def test_results__a_skipped_test_and_one_of_an_asset_that_is_not_selected_are_no_check() -> None:
    assert results(outcome(TEST, "skipped")) == []
    assert results(outcome(TEST, "pass"), selected=frozenset()) == []


@pytest.mark.parametrize(
    ("status", "is_error"),
    [("success", False), ("pass", False), ("warn", False), ("skipped", False), ("error", True), ("fail", True)],
)
def test_outcome__says_whether_it_is_an_error(status: str, is_error: bool) -> None:
    assert outcome(MODEL, status).is_error is is_error


@pytest.fixture(params=["project", "target/project"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project with one file; also below a folder called `target`."""
    folder: Path = tmp_path / request.param
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "a.sql").write_text("select 1")
    return folder


def test_fingerprint__changes_with_name_and_content_of_each_source(project: Path) -> None:
    seen = [project_fingerprint(project)]
    for name, content in (
        ("models/a.sql", "select 2"),
        ("models/b.sql", "select 1"),
        ("seeds/a.csv", "x"),
        ("models/_a.yml", "version: 2"),
    ):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(content)
        seen.append(project_fingerprint(project))
    (project / "models" / "b.sql").rename(project / "models" / "c.sql")
    seen.append(project_fingerprint(project))
    assert len(set(seen)) == 6


def test_fingerprint__does_not_change_with_what_dbt_writes(project: Path) -> None:
    before = project_fingerprint(project)
    (project / "target").mkdir()
    (project / "target" / "compiled.sql").write_text("select 1")
    (project / "README.md").write_text("x")
    assert project_fingerprint(project) == before
