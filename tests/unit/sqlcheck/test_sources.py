"""SQL is found in manifests, files and modules, and findings are placed where a person edits."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.settings import PROJECT_ROOT
from infra.sqlcheck import RULES
from infra.sqlcheck.__main__ import DEFAULT_PATHS, main
from infra.sqlcheck.compile import DbtCompileError, Relations, compile_project
from infra.sqlcheck.sources import SourceError, file_texts, manifest_texts, python_texts


@pytest.fixture
def dbt_project(tmp_path: Path) -> Path:
    """A dbt project with one incremental mart, one test and one source."""
    project = tmp_path / "warehouse"
    files = {
        "dbt_project.yml": """
name: warehouse
version: "1.0"
config-version: 2
profile: warehouse
models: {warehouse: {marts: {+materialized: table}}}
""",
        "models/schema.yml": """
sources: [{name: raw, schema: raw, tables: [{name: events}]}]
models: [{name: totals, columns: [{name: account_id, data_tests: [not_null]}]}]
""",
        "models/marts/totals.sql": """{{ config(materialized="incremental", unique_key="account_id") }}
select
    account_id,
    sum(amount_usd) as total_usd
from {{ source("raw", "events") }}
{% if is_incremental() %}
where
    epoch(observed_at) > (select max(seconds) from {{ this }})
    and now() > observed_at
{% endif %}
group by account_id
""",
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    return project


def manifest(node: dict[str, Any], **more: Any) -> str:
    base = {
        "resource_type": "model",
        "name": "prices",
        "package_name": "warehouse",
        "original_file_path": "models/marts/prices.sql",
        "compiled_code": "select 1 as a",
        "config": {"materialized": "table"},
        "depends_on": {"nodes": []},
    }
    return json.dumps({"nodes": {"model.warehouse.prices": {**base, **node}, **more}, "sources": {}})


def test_python_texts__reads_module_constants_that_end_in_sql(tmp_path: Path) -> None:
    module = tmp_path / "queries.py"
    module.write_text(
        "TABLE = 'x'\n"
        "A_SQL = '''\nselect now()\n'''\n"
        "B_SQL: str = f'select a from {TABLE}'\n"
        "C_SQL = 'select a from {dataset}.t'\n"
        "D_SQL = {'a': 'select now()'}\n"
        "STATEMENT = 'select now()'\n"
        "def f():\n    E_SQL = 'select now()'\n    return E_SQL\n"
    )
    texts = {text.name: text for text in python_texts(module)}
    assert set(texts) == {"A_SQL", "B_SQL", "C_SQL"}
    assert texts["A_SQL"].place(2) == (module, 3)
    assert texts["B_SQL"].sql == "select a from placeholder"
    assert texts["C_SQL"].sql == "select a from dataset.t"


def test_python_texts__refuses_what_is_not_python(tmp_path: Path) -> None:
    module = tmp_path / "queries.py"
    module.write_text("A_SQL = (")
    with pytest.raises(SourceError, match="is not a Python module"):
        list(python_texts(module))


def test_file_texts__reads_sql_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "purge.sql").write_text("delete from d.t where true")
    (tmp_path / "notes.md").write_text("select now()")
    assert [text.name for file in sorted(tmp_path.iterdir()) for text in file_texts(file)] == ["purge"]


def test_manifest_texts__carry_materialization_layer_bases_and_waivers(tmp_path: Path) -> None:
    parent = {"resource_type": "model", "name": "stg", "config": {"materialized": "view"}}
    config = {"materialized": "materialized_view", "meta": {"sqlcheck_allow": ["BQ007"]}}
    node = {"depends_on": {"nodes": ["model.warehouse.stg"]}, "config": config}
    file = tmp_path / "manifest.json"
    full = json.loads(manifest(node))
    full["nodes"]["model.warehouse.stg"] = {
        **full["nodes"]["model.warehouse.prices"],
        **parent,
        "original_file_path": "models/staging/stg.sql",
    }
    file.write_text(json.dumps(full))
    prices, stg = manifest_texts(file, tmp_path)
    assert (prices.materialization, prices.layer, prices.allowed) == (
        "materialized_view",
        "marts",
        frozenset({"BQ007"}),
    )
    assert prices.bases == {"stg": "view"}
    assert (stg.materialization, stg.layer) == ("view", "staging")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a dbt manifest"),
        (manifest({"compiled_code": None}), "not compiled"),
        (manifest({"config": {"meta": {"sqlcheck_allow": "BQ007"}}}), "must be a list of codes"),
    ],
)
def test_manifest_texts__refuse_what_cannot_be_checked(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(text)
    with pytest.raises(SourceError, match=message):
        manifest_texts(file, tmp_path)


def test_main__prints_place_code_and_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "queries.py"
    module.write_text("PRICES_SQL = '''\nselect\n    epoch(a) as seconds\nfrom t\n'''\n")
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{module}:3 BQ004 PRICES_SQL: epoch() is not a function of BigQuery (unix_seconds)",
        "sqlcheck: 1 statements, 1 errors, 0 warnings",
    ]


def test_main__lets_warnings_pass_unless_strict(tmp_path: Path) -> None:
    file = tmp_path / "a.sql"
    file.write_text('select "text" as a')
    assert main([str(file)]) == 0
    assert main([str(file), "--strict"]) == 1


def test_main__is_clean_on_clean_sql_and_fails_on_a_path_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.sql"
    file.write_text("select 1 as a")
    assert main([str(file)]) == 0
    assert main([str(tmp_path / "absent.sql")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_main__lists_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted({rule.code for rule in RULES} | {"BQ006"})


def test_main__checks_a_given_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(manifest({"compiled_code": "select now() as a"}))
    assert main(["--manifest", str(file), "--project-dir", str(tmp_path)]) == 1
    assert "models/marts/prices.sql:1 BQ004 prices: now()" in capsys.readouterr().out


def test_main__compiles_a_project_without_a_server_and_sees_both_runs_of_an_incremental_model(
    dbt_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(dbt_project)]) == 1
    output = capsys.readouterr().out.splitlines()
    model = dbt_project / "models/marts/totals.sql"
    assert output == [
        f"{model}:8 BQ004 totals: epoch() is not a function of BigQuery (unix_seconds)",
        f"{model}:9 BQ004 totals: now() is not a function of BigQuery (current_timestamp())",
        "sqlcheck: 3 statements, 2 errors, 0 warnings",
    ]


def test_compile__says_what_dbt_could_not_compile(dbt_project: Path, tmp_path: Path) -> None:
    model = dbt_project / "models/marts/broken.sql"
    model.write_text("select * from {{ ref('absent') }}")
    with pytest.raises(DbtCompileError, match="absent"):
        compile_project(dbt_project, tmp_path / "out", Relations.NONE, "production")


def test_compile__wants_a_project(tmp_path: Path) -> None:
    with pytest.raises(DbtCompileError, match=r"dbt_project\.yml does not exist"):
        compile_project(tmp_path, tmp_path / "out", Relations.NONE, "production")


def test_default_paths__cover_every_package_of_the_product() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = set(project["tool"]["importlinter"]["root_packages"])
    assert packages == {Path(path).parts[0] for path in DEFAULT_PATHS} - {"dbt_project"}


def test_default_paths__hold_the_sql_that_compares_copies_of_compliance() -> None:
    [found] = file_texts(PROJECT_ROOT / "assets" / "compliance" / "reconciliation.py")
    assert "not in unnest(@waiting)" in found.sql
