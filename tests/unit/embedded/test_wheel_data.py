"""Files that the product reads at run time are in its wheel, though they are no modules of a package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from infra.runtime.settings import PROJECT_ROOT

DATA = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
    "package-data"
]
READ_AT_RUN_TIME = [
    "alerting/migrations/versions/*.py",
    "alerting/rendering/templates/**/*.*",
    "compliance/migrations/versions/*.py",
    "compliance/policies/*.yaml",
    "compliance/policies/*.json",
    "infra/embedded/compliance_sample/*.csv",
]


def _packed() -> set[Path]:
    files: set[Path] = set()
    for package, patterns in DATA.items():
        if package != "*":
            folder = PROJECT_ROOT.joinpath(*package.split("."))
            assert (folder / "__init__.py").is_file(), f"{package} is no package"
            files.update(file for pattern in patterns for file in folder.glob(pattern))
    return files


@pytest.mark.parametrize("pattern", READ_AT_RUN_TIME)
def test_wheel__has_what_is_read_at_run_time(pattern: str) -> None:
    wanted = {file for file in PROJECT_ROOT.glob(pattern) if file.name != "__init__.py"}
    assert wanted
    assert wanted <= _packed()
