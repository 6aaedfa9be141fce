"""Compiles the dbt project without a server: a throw-away profile, no introspection, and relations that are supposed.

`is_incremental()` asks the warehouse whether the model's table is there. The compilation answers for it, so that the
two texts of an incremental model, of its first run and of a later one, can both be checked.

Run as a process of its own (`python -m infra.sqlcheck.compile`), because dbt keeps flags, adapters and logging in
module state.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest.mock import patch

from infra.runtime.errors import BallastError

TIMEOUT_SECONDS = 300
_PROFILE = {
    "type": "bigquery",
    "method": "oauth-secrets",
    "token": "unused",
    # Nothing listens on port 1: a statement that reached for the warehouse would fail at once.
    "api_endpoint": "http://127.0.0.1:1",
    "project": "ballast",
    "dataset": "risk",
    "location": "US",
    "threads": 1,
    "job_retries": 0,
}


class Relations(StrEnum):
    """Which tables the compilation supposes to be there."""

    NONE = "none"
    ALL = "all"


class DbtCompileError(BallastError):
    """dbt could not compile the project; the message holds the end of its output."""

    code = "dbt_compile_failed"


def compile_project(project_dir: Path, target_dir: Path, relations: Relations, target: str) -> Path:
    """Compile into `target_dir` in a child process; gives the path of the manifest. Raises `DbtCompileError`."""
    target_dir.mkdir(parents=True, exist_ok=True)
    profiles = target_dir / "profiles"
    profiles.mkdir(exist_ok=True)
    outputs = dict.fromkeys(("embedded", "production", target), _PROFILE)
    profile = {_profile_name(project_dir): {"target": target, "outputs": outputs}}
    (profiles / "profiles.yml").write_text(json.dumps(profile))
    command = [sys.executable, "-W", "ignore", "-m", "infra.sqlcheck.compile"]
    command += ["--project-dir", str(project_dir.absolute()), "--target-dir", str(target_dir.absolute())]
    command += ["--relations", relations.value, "--target", target]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise DbtCompileError(f"dbt compile of {project_dir} took over {TIMEOUT_SECONDS} s and was stopped") from None
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise DbtCompileError(f"dbt could not compile {project_dir}; mend what it names:\n{tail}")
    return target_dir / "manifest.json"


def _profile_name(project_dir: Path) -> str:
    import yaml

    file = project_dir / "dbt_project.yml"
    if not file.is_file():
        raise DbtCompileError(f"{file} does not exist: give the folder of a dbt project")
    return str(yaml.safe_load(file.read_text())["profile"])


def _invoke(project_dir: Path, target_dir: Path, relations: Relations, target: str) -> str | None:
    """Run dbt in this process; gives its complaint, or `None`."""
    from dbt.adapters.bigquery.impl import BigQueryAdapter
    from dbt.cli.main import dbtRunner

    def supposed_relation(adapter: Any, database: str, schema: str, identifier: str) -> Any:
        if relations is Relations.NONE:
            return None
        return adapter.Relation.create(database=database, schema=schema, identifier=identifier, type="table")

    arguments = ["--quiet", "--no-send-anonymous-usage-stats", "--no-version-check", "--no-use-colors"]
    arguments += ["--log-level-file", "none", "--log-path", str(target_dir / "logs")]
    arguments += ["compile", "--no-introspect", "--no-populate-cache", "--target", target]
    arguments += ["--project-dir", str(project_dir), "--profiles-dir", str(target_dir / "profiles")]
    arguments += ["--target-path", str(target_dir)]
    with patch.object(BigQueryAdapter, "get_relation", supposed_relation):
        result = dbtRunner().invoke(arguments)
    if result.success:
        return None
    return str(result.exception or "see the messages above")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the child process: 0 when compiled, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m infra.sqlcheck.compile")
    parser.add_argument("--project-dir", type=Path, required=True)
    parser.add_argument("--target-dir", type=Path, required=True)
    parser.add_argument("--relations", type=Relations, required=True)
    parser.add_argument("--target", required=True)
    options = parser.parse_args(arguments)
    complaint = _invoke(options.project_dir, options.target_dir, options.relations, options.target)
    if complaint is not None:
        sys.stderr.write(f"{complaint}\n")
    return 0 if complaint is None else 1


if __name__ == "__main__":
    sys.exit(main())
