"""The SQL of the project is what BigQuery accepts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.settings import PROJECT_ROOT
from infra.sqlcheck.__main__ import DEFAULT_PATHS, main


def test_sqlcheck__finds_no_errors_in_models_and_modules(
    without_warnings: Callable[[], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(path) for path in (PROJECT_ROOT / Path(name) for name in DEFAULT_PATHS) if path.exists()]
    with without_warnings():
        code = main(paths)
    output = capsys.readouterr()
    assert code == 0, output.out + output.err
